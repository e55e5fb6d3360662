import BerthDefaults
import LinuxSystem
import OCISpec

/// The five capability sets of a process to come, as bit masks.
///
/// Names the kernel does not know are left out, as runc does: a config written for a newer kernel still runs. Without `capabilities` in the config nothing
/// is dropped from a root process but also nothing granted; see capabilities(7).
struct CapabilityPlan {
    let bounding: UInt64
    let effective: UInt64
    let inheritable: UInt64
    let permitted: UInt64
    let ambient: UInt64

    /// In the order of their numbers.
    static let names = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
        "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
        "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
        "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP",
        "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
        "CAP_CHECKPOINT_RESTORE",
    ]

    /// Without `capabilities` all five sets are empty, as runc has it.
    init(_ sets: RuntimeSpec.Capabilities?) throws(RuntimeError) {
        let sets = sets ?? RuntimeSpec.Capabilities()
        bounding = Self.mask(sets.bounding)
        effective = Self.mask(sets.effective)
        inheritable = Self.mask(sets.inheritable)
        permitted = Self.mask(sets.permitted)
        ambient = Self.mask(sets.ambient)
    }

    /// Warns of what is left out, in runc's words: unknown names, and ambient capabilities that the kernel will refuse.
    static func warnOfUnknown(in sets: RuntimeSpec.Capabilities?, _ diagnostics: Diagnostics) {
        guard let sets else { return }
        var unknown: [String] = []
        for name in sets.bounding + sets.effective + sets.inheritable + sets.permitted + sets.ambient where !names.contains(name) && !unknown.contains(name) { unknown.append(name) }
        if !unknown.isEmpty { diagnostics.warn("ignoring unknown or unavailable capabilities: [\(unknown.sorted().joined(separator: " "))]") }
        for name in sets.ambient where names.contains(name) && !(sets.inheritable.contains(name) && sets.permitted.contains(name)) {
            diagnostics.warn("can't raise ambient capability \(name): operation not permitted")
        }
    }

    private static func mask(_ names: [String]) -> UInt64 {
        var mask: UInt64 = 0
        for name in names { if let number = Self.names.firstIndex(of: name) { mask |= 1 << UInt64(number) } }
        return mask
    }

    /// Takes every capability out of the bounding set that is not in the plan's. Needs CAP_SETPCAP.
    func dropBounding() throws(SystemError) { try CapabilityState.dropBounding(keeping: bounding, known: Self.names.count) }

    /// Makes everything permitted effective again, after the change of user.
    func raiseAll() throws(SystemError) { try CapabilityState.raiseAll() }

    /// Sets the other four. Ambient ones the kernel refuses (not permitted or not inheritable) are left out, as runc does with a warning.
    func apply() throws(SystemError) {
        try CapabilityState.set(effective: effective, permitted: permitted, inheritable: inheritable)
        CapabilityState.setAmbient(ambient)
    }
}
