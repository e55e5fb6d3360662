import Glibc
import JSONCodec
import OCISpec
import Testing

@testable import berth_runtime

/// As much of classic BPF as filters use.
enum Interpreter {
    /// What the kernel would do: the action in the upper half, its value in the lower.
    static func run(_ program: [UInt64], number: UInt32, architecture: UInt32, arguments: [UInt64] = []) -> UInt32? {
        var data = [number, architecture, 0, 0]
        for index in 0..<6 {
            let value = index < arguments.count ? arguments[index] : 0
            data += [UInt32(truncatingIfNeeded: value), UInt32(value >> 32)]
        }
        var a: UInt32 = 0, x: UInt32 = 0, memory = [UInt32](repeating: 0, count: 16), next = 0
        for _ in 0..<10_000 {
            guard program.indices.contains(next) else { return nil }
            let instruction = program[next], value = UInt32(instruction >> 32)
            let whenTrue = Int(instruction >> 16 & 0xFF), whenFalse = Int(instruction >> 24 & 0xFF)
            next += 1
            switch instruction & 0xFFFF {
            case 0x20: a = data[Int(value / 4)]
            case 0x54: a &= value
            case 0x05: next += Int(value)
            case 0x15: next += a == value ? whenTrue : whenFalse
            case 0x25: next += a > value ? whenTrue : whenFalse
            case 0x35: next += a >= value ? whenTrue : whenFalse
            case 0x45: next += a & value != 0 ? whenTrue : whenFalse
            case 0x02: memory[Int(value)] = a
            case 0x60: a = memory[Int(value)]
            case 0x61: x = memory[Int(value)]
            case 0x07: x = a
            case 0x87: a = x
            case 0x06: return value
            default: return nil
            }
        }
        return nil
    }
}

private let x86_64: UInt32 = 0xC000_003E, i386: UInt32 = 0x4000_0003
private let allow: UInt32 = 0x7FFF_0000, refuse: UInt32 = 0x0005_0001, unknown: UInt32 = 0x0005_0026

@Suite(.enabled(if: isX86, "the numbers are those of x86-64")) struct SeccompTests {
    private let profile = RuntimeSpec.Linux.Seccomp(
        defaultAction: "SCMP_ACT_ERRNO", architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        syscalls: [
            .init(names: ["read", "write", "openat2", "no_such_call"], action: "SCMP_ACT_ALLOW"),
            .init(names: ["socket"], action: "SCMP_ACT_ALLOW", args: [.init(index: 0, value: 38, op: "SCMP_CMP_LT")]),
            .init(names: ["socket"], action: "SCMP_ACT_ALLOW", args: [.init(index: 0, value: 40, op: "SCMP_CMP_GT")]),
            .init(
                names: ["clone"], action: "SCMP_ACT_ALLOW", args: [.init(index: 0, value: 0x7E02_0000, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ")]),
            .init(
                names: ["personality"], action: "SCMP_ACT_ALLOW",
                args: [.init(index: 0, value: 0, op: "SCMP_CMP_EQ"), .init(index: 0, value: 0xFFFF_FFFF, op: "SCMP_CMP_EQ")]),
            .init(names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38),
            .init(names: ["reboot"], action: "SCMP_ACT_KILL_PROCESS"),
        ])

    private func answer(_ number: UInt32, _ arguments: UInt64..., on architecture: UInt32 = x86_64) throws -> UInt32? {
        Interpreter.run(try SeccompCompiler.compile(profile), number: number, architecture: architecture, arguments: arguments)
    }

    @Test func `named calls are allowed and others refused`() throws {
        #expect(try answer(0) == allow)
        #expect(try answer(2) == refuse)
        #expect(try answer(435) == unknown)
        #expect(try answer(169) == 0x8000_0000)
        // read and open on i386.
        #expect(try answer(3, on: i386) == allow)
        #expect(try answer(5, on: i386) == refuse)
    }

    @Test func `calls newer than the profile do not exist`() throws {
        #expect(try answer(436) == refuse)
        #expect(try answer(437) == allow)
        #expect(try answer(438) == unknown)
        #expect(try answer(9999) == unknown)
        #expect(try answer(9999, on: i386) == unknown)
        // x32 has numbers of its own, far above.
        #expect(try answer(0x4000_0000) == allow)
        #expect(try answer(0x4000_0002) == refuse)
        #expect(try answer(0x4000_0000 + 9999) == unknown)
    }

    @Test func `arguments decide`() throws {
        #expect(try answer(41, 2) == allow)
        #expect(try answer(41, 38) == refuse)
        #expect(try answer(41, 41) == allow)
        #expect(try answer(56, 0x11) == allow)
        #expect(try answer(56, 0x1000_0000) == refuse)
        #expect(try answer(135, 0) == allow)
        #expect(try answer(135, 0xFFFF_FFFF) == allow)
        #expect(try answer(135, 5) == refuse)
    }

    @Test func `a profile that says ENOSYS itself, or allows, has nothing in front`() {
        var other = profile
        other.defaultErrnoRet = 38
        #expect(SeccompStub.instructions(for: other, [x86_64]).isEmpty)
        other.defaultAction = "SCMP_ACT_ALLOW"
        #expect(SeccompStub.instructions(for: other, [x86_64]).isEmpty)
    }

    @Test func `a profile that says nothing of flags keeps speculative loads, an empty list does not`() throws {
        var profile = profile
        #expect(try SeccompFilter(.known(profile)).flags == SeccompFilter.flagSpecAllow)
        profile.flags = []
        #expect(try SeccompFilter(.known(profile)).flags == 0)
    }

    @Test func `what is wrong is named by its field`() {
        func message(_ change: (inout RuntimeSpec.Linux.Seccomp) -> Void) -> String {
            var changed = profile
            change(&changed)
            do throws(RuntimeError) {
                _ = try SeccompFilter(.known(changed))
                return "accepted"
            } catch { return error.message }
        }
        #expect(message { $0.defaultAction = "X" } == "linux.seccomp.defaultAction: unknown action \"X\"")
        #expect(message { $0.architectures = ["SCMP_ARCH_Z80"] } == "linux.seccomp.architectures[0]: unknown architecture \"SCMP_ARCH_Z80\"")
        #expect(message { $0.flags = ["X"] } == "linux.seccomp.flags: seccomp flag X is not known")
        #expect(message { $0.syscalls[1].args[0].op = "X" } == "linux.seccomp.syscalls[1].args[0].op: unknown operator \"X\"")
        #expect(message { $0.syscalls[1].args[0].index = 6 } == "linux.seccomp.syscalls[1].args[0].index: 6 is not between 0 and 5")
        #expect(message { $0.syscalls[0].names = [] } == "linux.seccomp.syscalls[0].names: at least one system call must be named")
        #expect(message { $0.syscalls[0].errnoRet = 5 } == "linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_ALLOW returns no error number")
        #expect(message { $0.syscalls[5].errnoRet = 70_000 } == "linux.seccomp.syscalls[5].errnoRet: 70000 does not fit into 16 bits")
        #expect(message { $0.syscalls[0].action = "SCMP_ACT_NOTIFY" }.contains("SCMP_ACT_NOTIFY cannot be used for the write syscall"))
        #expect(message { $0.defaultAction = "SCMP_ACT_NOTIFY" }.contains("SCMP_ACT_NOTIFY cannot be used as default action"))
    }

    // MARK: The cache

    private func withRoot(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/berth-test-\(getpid())-XXXXXX".utf8CString)
        let root = String(cString: try #require(mkdtemp(&template)))
        defer { _ = system("rm -r '\(root)'") }
        try body(root)
    }

    private func cacheKey(of profile: RuntimeSpec.Linux.Seccomp) throws -> [UInt8] { SeccompCache.key(of: try RuntimeSpec.Linux.SeccompProfile.known(profile).text()) }

    private func file(in root: String) -> String? {
        var match = glob_t()
        defer { globfree(&match) }
        guard glob("\(root)/.seccomp/*.bpf", 0, nil, &match) == 0, match.gl_pathc == 1, let path = match.gl_pathv[0] else { return nil }
        return String(cString: path)
    }

    @Test func `a program is kept for exactly one profile`() throws {
        try withRoot { root in
            let cache = SeccompCache(root: root), key = try cacheKey(of: profile)
            #expect(cache.program(for: key) == nil)
            cache.store(.init(program: [1, 2, 3], notifies: true), for: key)
            #expect(cache.program(for: key) == .init(program: [1, 2, 3], notifies: true))
            var other = profile
            other.syscalls[1].args[0].value = 39
            #expect(cache.program(for: try cacheKey(of: other)) == nil)
            // Even where the names of the files collide, the profile in the file decides.
            let path = try #require(file(in: root))
            cache.store(.init(program: [4], notifies: false), for: try cacheKey(of: other))
            #expect(rename(path, path + ".x") == 0)
            let second = try #require(file(in: root))
            #expect(rename(second, path) == 0)
            #expect(cache.program(for: key) == nil)
        }
    }

    @Test func `a program is kept before there is a first container`() throws {
        try withRoot { root in
            let cache = SeccompCache(root: "\(root)/not/yet"), key = try cacheKey(of: profile)
            cache.store(.init(program: [1], notifies: false), for: key)
            #expect(cache.program(for: key) == .init(program: [1], notifies: false))
        }
    }

    @Test func `a profile whose program is known is not read, and is the same filter`() throws {
        try withRoot { root in
            let cache = SeccompCache(root: root)
            func filter(_ rules: String) throws -> SeccompFilter {
                let text = "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"listenerPath\":\"/run/agent\",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"syscalls\":[\(rules)]}"
                return try SeccompFilter(try JSON.read(from: Array(text.utf8)), cache: cache)
            }
            let rules = "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"},{\"names\":[\"mount\"],\"action\":\"SCMP_ACT_NOTIFY\"}"
            let first = try filter(rules), second = try filter(rules)
            for filter in [first, second] {
                #expect(filter.notifies && filter.flags == SeccompFilter.flagLog | SeccompFilter.flagNewListener && filter.profile.listenerPath == "/run/agent")
            }
            #expect(first.program == second.program && !first.program.isEmpty)
            // What was never compiled is read, and its fields are named.
            #expect(throws: RuntimeError.self) { try filter("{\"names\":[\"read\"]}") }
            #expect(throws: RuntimeError.self) { try filter("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_X\"}") }
        }
    }

    @Test func `what others could have written is not believed`() throws {
        try withRoot { root in
            let cache = SeccompCache(root: root), key = try cacheKey(of: profile)
            cache.store(.init(program: [1], notifies: false), for: key)
            let path = try #require(file(in: root))
            chmod(path, 0o666)
            #expect(cache.program(for: key) == nil)
            chmod(path, 0o600)
            #expect(cache.program(for: key) == .init(program: [1], notifies: false))
            chmod("\(root)/.seccomp", 0o755)
            #expect(cache.program(for: key) == nil)
            chmod("\(root)/.seccomp", 0o700)
            #expect(rename(path, "\(root)/elsewhere") == 0)
            #expect(symlink("\(root)/elsewhere", path) == 0)
            #expect(cache.program(for: key) == nil)
            #expect(unlink(path) == 0)
            #expect(rename("\(root)/.seccomp", "\(root)/away") == 0)
            #expect(symlink("\(root)/away", "\(root)/.seccomp") == 0)
            cache.store(.init(program: [1], notifies: false), for: key)
            #expect(cache.program(for: key) == nil)
        }
    }
}

#if arch(x86_64)
    let isX86 = true
#else
    let isX86 = false
#endif
