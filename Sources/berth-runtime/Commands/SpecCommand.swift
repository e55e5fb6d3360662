import BerthDefaults
import Cgroups
import LinuxSystem
import OCISpec

/// `spec`: writes a config.json to start from, the same as runc's.
enum SpecCommand {
    static var specs: [OptionSpec] {
        [OptionSpec("bundle", "b", .value, "where to write; default: the working directory"), OptionSpec("rootless", nil, .flag, "for a user without privileges")]
    }

    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        guard options.arguments.isEmpty else { throw RuntimeError(.invalidArgument, "\"spec\" requires exactly 0 argument(s)") }
        let path = try ConfigLoader.absolute("config.json", from: try ConfigLoader.absolute(options["bundle"] ?? "."))
        if Files.exists(path) { throw RuntimeError(.alreadyExists, "File config.json exists. Remove it first") }
        var spec = example()
        // On v1 the container would not see its own path, which tooling for v1 expects.
        if (try? CgroupLayout.current())?.isUnified == false { spec.linux?.namespaces.removeAll { $0.type == "cgroup" } }
        if options.has("rootless") { makeRootless(&spec) }
        let bytes = try ConfigLoader.encode(spec, indented: true)
        try attempt { () throws(SystemError) in try Files.replace(path, with: bytes, mode: 0o666 & ~0o022) }
        return 0
    }

    static func example() -> RuntimeSpec {
        let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
        let process = RuntimeSpec.Process(
            terminal: true, args: ["sh"], env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"], cwd: "/",
            capabilities: RuntimeSpec.Capabilities(bounding: capabilities, effective: capabilities, permitted: capabilities),
            rlimits: [RuntimeSpec.Rlimit(type: "RLIMIT_NOFILE", soft: 1024, hard: 1024)], noNewPrivileges: true)
        let linux = RuntimeSpec.Linux(
            namespaces: ["pid", "network", "ipc", "uts", "mount", "cgroup"].map { RuntimeSpec.Linux.Namespace(type: $0) },
            resources: RuntimeSpec.Linux.Resources(devices: [RuntimeSpec.Linux.Resources.DeviceRule(allow: false, access: "rwm")]),
            maskedPaths: [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ], readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"])
        return RuntimeSpec(process: process, root: RuntimeSpec.Root(path: "rootfs", readonly: true), hostname: "berth", mounts: mounts, linux: linux)
    }

    private static let mounts = [
        RuntimeSpec.Mount(destination: "/proc", type: "proc", source: "proc"),
        RuntimeSpec.Mount(destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        RuntimeSpec.Mount(
            destination: "/dev/pts", type: "devpts", source: "devpts", options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        RuntimeSpec.Mount(destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        RuntimeSpec.Mount(destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"]),
        RuntimeSpec.Mount(destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"]),
        RuntimeSpec.Mount(destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]

    /// For an unprivileged user: that user is root in a user namespace; no network of its own, /sys from the host.
    static func makeRootless(_ spec: inout RuntimeSpec, ids: (user: UInt32, group: UInt32) = ProcessAttributes.userAndGroup()) {
        spec.linux?.namespaces.removeAll { $0.type == "network" }
        spec.linux?.namespaces.append(RuntimeSpec.Linux.Namespace(type: "user"))
        spec.linux?.uidMappings = [RuntimeSpec.IDMapping(containerID: 0, hostID: ids.user, size: 1)]
        spec.linux?.gidMappings = [RuntimeSpec.IDMapping(containerID: 0, hostID: ids.group, size: 1)]
        spec.linux?.resources = nil
        for index in spec.mounts.indices {
            spec.mounts[index].options.removeAll { $0.hasPrefix("gid=") || $0.hasPrefix("uid=") }
            if spec.mounts[index].destination == "/sys" {
                spec.mounts[index] = RuntimeSpec.Mount(
                    destination: "/sys", type: "none", source: "/sys", options: ["rbind", "nosuid", "noexec", "nodev", "ro"])
            }
        }
    }
}
