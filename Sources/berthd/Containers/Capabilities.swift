import DockerAPI
import LinuxSystem
import OCISpec

/// Capability names of HostConfig → the sets of the process.
enum Capabilities {
    /// In the order of their numbers, from CAP_CHOWN = 0.
    static let known: [String] = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE",
        "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
        "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
        "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ",
        "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
    ]

    /// What the running kernel has and what this process may pass on: an engine in a container has fewer than its kernel knows.
    static let available: [String] = {
        let status = (try? Files.readText("/proc/self/status")) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("CapBnd:") }
        guard let mask = line.flatMap({ UInt64($0.dropFirst(7).trimmed(), radix: 16) }) else { return known }
        return known.enumerated().filter { mask >> UInt64($0.offset) & 1 == 1 }.map(\.element)
    }()

    /// `net_admin` and `CAP_NET_ADMIN` are the same; `ALL` stays `ALL`.
    ///
    /// - Throws: `.invalidArgument` naming one that does not exist, as dockerd words it.
    static func normalize(_ names: [String], field: String) throws(DaemonError) -> [String] {
        var result: [String] = []
        for name in names {
            var upper = name.uppercased()
            if upper == "ALL" {
                result.append(upper)
                continue
            }
            if !upper.hasPrefix("CAP_") { upper = "CAP_" + upper }
            guard known.contains(upper) else { throw .invalid("invalid \(field): unknown capability: \"\(name)\"") }
            result.append(upper)
        }
        return result
    }

    /// The names a container has after `--cap-add`, `--cap-drop` and `--privileged`.
    static func names(of host: HostConfig) -> [String] {
        let add = (try? normalize(host.CapAdd ?? [], field: "CapAdd")) ?? []
        let drop = (try? normalize(host.CapDrop ?? [], field: "CapDrop")) ?? []
        if host.Privileged ?? false { return available }
        if add.contains("ALL") { return available.filter { !drop.contains($0) } }
        if drop.contains("ALL") { return add.filter { available.contains($0) } }
        return (DefaultCapabilities.names.filter { !drop.contains($0) && !add.contains($0) } + add.filter { !drop.contains($0) }).filter { available.contains($0) }
    }

    /// Inheritable stays empty (CVE-2022-24769), ambient too. A process that is not root begins without effective ones, as execve(2) would leave it.
    static func sets(of host: HostConfig, uid: UInt32) -> RuntimeSpec.Capabilities {
        let names = names(of: host)
        return uid == 0
            ? .init(bounding: names, effective: names, permitted: names)
            : .init(bounding: names)
    }
}
