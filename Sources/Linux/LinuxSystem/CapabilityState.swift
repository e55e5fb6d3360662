// Glibc first: whoever is imported first owns the C types that both modules declare, and this is the first file of the module.
import Glibc
import CLinux

/// Capability sets of the calling process as 64-bit masks. Kernel: capset(2), prctl(2).
package enum CapabilityState {
    private static let version3: UInt32 = 0x2008_0522

    package static func set(effective: UInt64, permitted: UInt64, inheritable: UInt64) throws(SystemError) {
        var header: [UInt32] = [version3, 0]
        var data: [UInt32] = [effective, permitted, inheritable].map { UInt32(truncatingIfNeeded: $0) } + [effective, permitted, inheritable].map { UInt32($0 >> 32) }
        try syscall("capset", on: "effective \(hex(effective)) permitted \(hex(permitted)) inheritable \(hex(inheritable))") { berth_capset(&header, &data) }
    }

    /// Makes everything permitted effective.
    package static func raiseAll() throws(SystemError) {
        var header: [UInt32] = [version3, 0]
        var data = [UInt32](repeating: 0, count: 6)
        try syscall("capget", on: "") { berth_capget(&header, &data) }
        (data[0], data[3]) = (data[1], data[4])
        try syscall("capset", on: "all permitted effective") { berth_capset(&header, &data) }
    }

    /// The effective set of the caller.
    package static func effective() -> UInt64 {
        var header: [UInt32] = [version3, 0]
        var data = [UInt32](repeating: 0, count: 6)
        return berth_capget(&header, &data) == 0 ? UInt64(data[0]) | UInt64(data[3]) << 32 : 0
    }

    /// Drops what is not in `keeping`, of the first `known` capabilities and of those a newer kernel has.
    package static func dropBounding(keeping: UInt64, known: Int) throws(SystemError) {
        for number in 0..<64 where number >= known || keeping >> UInt64(number) & 1 == 0 {
            do throws(SystemError) { try syscall("prctl", on: "PR_CAPBSET_DROP \(number)") { berth_prctl(PR_CAPBSET_DROP, UInt(number), 0, 0, 0) } } catch {
                if error.errno == .invalid { return }  // beyond the kernel's last
                throw error
            }
        }
    }

    package static func setAmbient(_ mask: UInt64) {
        _ = berth_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
        for number in 0..<64 where mask >> UInt64(number) & 1 == 1 { _ = berth_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_RAISE), UInt(number), 0, 0) }
    }

    private static func hex(_ mask: UInt64) -> String { String(mask, radix: 16) }
}
