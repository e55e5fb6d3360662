import CSeccomp
import Glibc
import OCISpec

/// Instructions in front of a filter that answer ENOSYS for system calls newer than every one the profile names.
///
/// A profile that refuses what it does not name with EPERM breaks programs on newer kernels: libc takes EPERM as an answer, and only ENOSYS as "try
/// the older call". The numbers of new system calls are above all older ones, and who wrote the profile cannot have meant them.
enum SeccompStub {
    private typealias Code = FilterInstruction.Code

    /// Number from which on a call of x86-64 is one of x32, and libseccomp's name for that architecture.
    private static let x32Bit: UInt32 = 0x4000_0000, x32Token: UInt32 = 0x4000_003E, x86_64Token: UInt32 = 0xC000_003E

    static func instructions(for seccomp: RuntimeSpec.Linux.Seccomp, _ architectures: [UInt32]) -> [FilterInstruction] {
        // Profiles that allow by default have nothing to repair, and those that say ENOSYS are right already.
        if ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG"].contains(seccomp.defaultAction) { return [] }
        if seccomp.defaultAction == "SCMP_ACT_ERRNO", seccomp.defaultErrnoRet == UInt32(ENOSYS) { return [] }
        var sections: [[FilterInstruction]] = []
        for token in architectures where token != x32Token {
            guard let last = lastNumber(of: seccomp, on: token) else { continue }
            let x32Last = token == x86_64Token && architectures.contains(x32Token) ? lastNumber(of: seccomp, on: x32Token) : nil
            sections.append(section(token, last: last, x32Last: x32Last))
        }
        if sections.isEmpty { return [] }
        // Each section ends by jumping to the filter.
        var rest = sections.reduce(0) { $0 + $1.count + 1 }
        var program = [FilterInstruction(Code.load, 4)]  // load the architecture
        for section in sections {
            rest -= section.count + 1
            program += section + [FilterInstruction(Code.jump, UInt32(rest))]  // go to the filter
        }
        return program
    }

    /// The last instruction's successor is the jump to the filter.
    private static func section(_ token: UInt32, last: UInt32, x32Last: UInt32?) -> [FilterInstruction] {
        let answer = FilterInstruction(Code.answer, 0x0005_0000 | UInt32(ENOSYS))
        guard token == x86_64Token else {
            return [
                FilterInstruction(Code.ifEqual, token, whenFalse: 4),  // another architecture: over this section and its jump
                FilterInstruction(Code.load, 0),  // load the number
                FilterInstruction(Code.ifGreater, last, whenFalse: 1),  // not above the last
                answer,
            ]
        }
        // The calls of x32 have their bit set and would all be above: they are compared with their own last one, or left to the filter.
        return [
            FilterInstruction(Code.ifEqual, token, whenFalse: 6),
            FilterInstruction(Code.load, 0),
            FilterInstruction(Code.ifNotLess, x32Bit, whenTrue: 1),
            FilterInstruction(Code.ifGreater, last, whenTrue: 1, whenFalse: 2),
            FilterInstruction(Code.ifGreater, x32Last ?? .max, whenFalse: 1),
            answer,
        ]
    }

    private static func lastNumber(of seccomp: RuntimeSpec.Linux.Seccomp, on token: UInt32) -> UInt32? {
        var last: CInt?
        for rule in seccomp.syscalls {
            for name in rule.names {
                // Calls that the architecture lacks have negative numbers.
                let number = seccomp_syscall_resolve_name_arch(token, name)
                if number >= 0 { last = max(last ?? 0, number) }
            }
        }
        return last.map { UInt32($0) | (token == x32Token ? x32Bit : 0) }
    }
}
