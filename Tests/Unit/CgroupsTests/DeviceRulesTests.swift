import Testing

@testable import Cgroups

@Suite struct DeviceRulesTests {
    private let docker: [DeviceRule] = [
        .init(allow: false), .init(allow: true, kind: .character, major: 1, minor: 3), .init(allow: true, kind: .character, major: 1, minor: 5, access: .read),
    ]

    @Test func `a list becomes a default and its exceptions`() throws {
        let policy = try DevicePolicy(docker)
        #expect(!policy.allowsByDefault)
        #expect(policy.writesV1.reset == ("devices.deny", "a"))
        #expect(policy.writesV1.file == "devices.allow")
        #expect(policy.writesV1.values == ["c 1:3 rwm", "c 1:5 r"])
    }

    @Test func `without any rule everything is refused`() throws {
        #expect(try DevicePolicy([]).allowsByDefault == false)
    }

    @Test func `allowing all and refusing one turns the list around`() throws {
        let policy = try DevicePolicy(docker + [.init(allow: true), .init(allow: false, kind: .block, major: 8)])
        #expect(policy.allowsByDefault)
        #expect(policy.writesV1.file == "devices.deny")
        #expect(policy.writesV1.values == ["b 8:* rwm"])
    }

    @Test func `a later rule takes back an exception or a part of it`() throws {
        let policy = try DevicePolicy(docker + [.init(allow: false, kind: .character, major: 1, minor: 3, access: [.write, .mknod])])
        #expect(policy.writesV1.values == ["c 1:3 r", "c 1:5 r"])
        #expect(try DevicePolicy(docker + [.init(allow: false, kind: .character, major: 1)]).exceptions.isEmpty)
    }

    @Test func `a rule for all kinds with a number stands for both`() throws {
        #expect(try DevicePolicy([.init(allow: true, major: 8)]).writesV1.values == ["c 8:* rwm", "b 8:* rwm"])
    }

    @Test func `a hole in a wildcard is refused`() {
        #expect(throws: CgroupError.self) {
            try DevicePolicy([.init(allow: true, kind: .character, major: 1), .init(allow: false, kind: .character, major: 1, minor: 3)])
        }
    }

    @Test(arguments: [
        // type (1 block, 2 character), access, major, minor, allowed
        (2, 7, 1, 3, true), (2, 2, 1, 3, true), (2, 2, 1, 5, true), (2, 4, 1, 5, false), (2, 6, 1, 5, false), (1, 2, 1, 3, false), (2, 2, 2, 3, false),
    ] as [(UInt64, UInt64, UInt64, UInt64, Bool)])
    func `the program answers as the list says`(type: UInt64, access: UInt64, major: UInt64, minor: UInt64, allowed: Bool) throws {
        let program = DeviceProgram(try DevicePolicy(docker))
        #expect(Interpreter.run(program.instructions, [access << 16 | type, major, minor]) == (allowed ? 1 : 0))
        // The other way round, the same exceptions are refused when any access of theirs is asked for.
        let turned = DeviceProgram(try DevicePolicy([.init(allow: true)] + docker.dropFirst().map { .init(allow: false, kind: $0.kind, major: $0.major, minor: $0.minor, access: $0.access) }))
        let touches = type == 2 && major == 1 && (minor == 3 || minor == 5 && access & 2 != 0)
        #expect(Interpreter.run(turned.instructions, [access << 16 | type, major, minor]) == (touches ? 0 : 1))
    }
}

/// As much of eBPF as the programs use.
private enum Interpreter {
    static func run(_ program: [UInt64], _ context: [UInt64]) -> UInt64? {
        var registers = [UInt64](repeating: 0, count: 11), next = 0
        for _ in 0..<1000 {
            guard program.indices.contains(next) else { return nil }
            let instruction = program[next]
            let target = Int(instruction >> 8 & 15), source = Int(instruction >> 12 & 15)
            let offset = Int(Int16(truncatingIfNeeded: instruction >> 16)), immediate = instruction >> 32
            next += 1
            switch instruction & 0xFF {
            case 0x61: registers[target] = context[offset / 4]
            case 0xBF: registers[target] = registers[source]
            case 0x57: registers[target] &= immediate
            case 0x77: registers[target] >>= immediate
            case 0xB7: registers[target] = immediate
            case 0x55: if registers[target] != immediate { next += offset }
            case 0x15: if registers[target] == immediate { next += offset }
            case 0x95: return registers[0]
            default: return nil
            }
        }
        return nil
    }
}
