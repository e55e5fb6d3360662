import CSeccomp
import OCISpec
import Testing

@testable import berth_runtime

@Suite(.enabled(if: isX86, "the numbers are those of x86-64")) struct FilterCompactionTests {
    /// Numbers that repeat from run to run.
    private struct Seeded: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    private static let names: [String] = (CInt(0)..<470).compactMap { number in
        guard let name = seccomp_syscall_resolve_num_arch(seccomp_arch_native(), number) else { return nil }
        return String(cString: name)
    }
    private static let operators = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"].map { "SCMP_CMP_\($0)" }
    private static let values: [UInt64] = [0, 1, 38, 0xFFFF_FFFF, 0x1_0000_0000, 0x7E02_0000, .max]

    private func profile(_ random: inout Seeded) -> RuntimeSpec.Linux.Seccomp {
        var rules: [RuntimeSpec.Linux.SeccompRule] = []
        for name in Self.names.shuffled(using: &random).prefix(Int.random(in: 1...400, using: &random)) {
            let isConditional = Int.random(in: 0..<20, using: &random) == 0
            let argument = RuntimeSpec.Linux.SeccompArgument(
                index: .random(in: 0..<6, using: &random), value: Self.values.randomElement(using: &random)!, valueTwo: Self.values.randomElement(using: &random)!,
                op: Self.operators.randomElement(using: &random)!)
            let action = Int.random(in: 0..<10, using: &random) == 0 ? "SCMP_ACT_TRAP" : "SCMP_ACT_ALLOW"
            rules.append(.init(names: [name], action: action, args: isConditional ? [argument] : []))
        }
        let architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"].filter { _ in Bool.random(using: &random) }
        return .init(defaultAction: Bool.random(using: &random) ? "SCMP_ACT_ERRNO" : "SCMP_ACT_LOG", architectures: architectures, syscalls: rules)
    }

    @Test(arguments: 0..<12) func `the smaller program answers every call as the library's does`(seed: UInt64) throws {
        var random = Seeded(state: seed)
        try expectTheSame(SeccompCompiler.translate(profile(&random)), &random)
    }

    @Test func `ranges that are more than one jump leads over are divided`() throws {
        var random = Seeded(state: 0)
        let everyOther = Self.names.enumerated().compactMap { $0.offset % 2 == 0 ? $0.element : nil }
        let whole = try SeccompCompiler.translate(
            .init(defaultAction: "SCMP_ACT_ERRNO", architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], syscalls: [.init(names: everyOther, action: "SCMP_ACT_ALLOW")]))
        // Two architectures as the kernel tells them, of which one has more than the 256 that a jump leads over.
        #expect(FilterCompaction.compact(whole).count > 600)
        try expectTheSame(whole, &random)
    }

    private func expectTheSame(_ whole: [UInt64], _ random: inout Seeded) throws {
        let small = FilterCompaction.compact(whole)
        #expect(small.count <= whole.count)
        let numbers = Array(0..<520) + [0x3FFF_FFFF, 0x7FFF_FFFF, 0x8000_0000, UInt32.max] + (0x4000_0000..<0x4000_0240)
        for architecture: UInt32 in [0xC000_003E, 0x4000_0003, 0xC000_00B7, 0, .max] {
            for number in numbers {
                for _ in 0..<3 {
                    let arguments = (0..<6).map { _ in Self.values.randomElement(using: &random)! &+ UInt64.random(in: 0...1, using: &random) }
                    let expected = Interpreter.run(whole, number: number, architecture: architecture, arguments: arguments)
                    guard expected != Interpreter.run(small, number: number, architecture: architecture, arguments: arguments) else { continue }
                    Issue.record("call \(number) of \(String(architecture, radix: 16)) with \(arguments)")
                    return
                }
            }
        }
    }

    @Test func `a profile of many names becomes a fifth as long`() throws {
        let names = Self.names.filter { !["reboot", "kexec_load", "mount", "umount2", "swapon", "ptrace"].contains($0) }
        let whole = try SeccompCompiler.translate(.init(defaultAction: "SCMP_ACT_ERRNO", syscalls: [.init(names: names, action: "SCMP_ACT_ALLOW")]))
        #expect(FilterCompaction.compact(whole).count * 5 < whole.count)
    }

    @Test func `what libseccomp would not write is left as it is`() {
        // A number masked before it is compared, a jump behind the end, an architecture that is ordered.
        for foreign: [FilterInstruction] in [
            [.init(0x20, 0), .init(0x54, 0xFF), .init(0x15, 1, whenFalse: 1), .init(0x06, 0), .init(0x06, 1)],
            [.init(0x20, 0), .init(0x15, 1, whenTrue: 9), .init(0x06, 0)],
            [.init(0x20, 4), .init(0x25, 1, whenTrue: 1), .init(0x06, 0), .init(0x06, 1)],
        ] {
            #expect(FilterCompaction.compact(foreign.map(\.word)) == foreign.map(\.word))
        }
        #expect(FilterCompaction.compact([]) == [])
    }
}
