import DockerAPI
import LinuxSystem
import OCISpec

/// HostConfig and image configuration → the OCI runtime spec. Pure apart from looking at device nodes of the host.
///
/// Spec: OCI runtime-spec, config.md and config-linux.md. What Docker adds to them follows dockerd's defaults.
struct SpecBuilder: Sendable {
    /// What the builder cannot know from the record.
    struct Context: Sendable {
        var identity: UserDatabase.Identity
        /// Host files mounted over `/etc/hostname`, `/etc/hosts`, `/etc/resolv.conf`; nil: none (host network without own files).
        var filesDirectory: String
        /// Volume name → host path, for this start.
        var volumePaths: [String: String]
        /// Destination → host path of a part of a volume.
        var volumeParts: [String: String] = [:]
        /// The network namespace to join: another container's, or the one that was made for this start.
        var networkPath: String?
        /// Pids of the containers whose namespaces are joined.
        var pidPID: Int32?
        var ipcPID: Int32?
        /// Host path of a `/dev/shm` that containers share; nil: one of its own.
        var sharedMemoryPath: String?
        /// Host path of the init program for `--init`.
        var initPath: String?
        /// Of legacy links; the container's own win.
        var linkEnvironment: [String] = []
        var cgroupParent: String
        var seccomp: RuntimeSpec.Linux.Seccomp?
        var noNewPrivileges: Bool
        /// nil: only privileged containers write to their cgroups.
        var writableCgroups: Bool?
        var appArmorProfile: String?
        var defaultUlimits: [Ulimit]
        var unifiedCgroups: Bool
        var dataRoot: String
    }

    let record: ContainerRecord
    let context: Context
    var host: HostConfig { record.hostConfig }
    var isPrivileged: Bool { host.Privileged ?? false }

    static let defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    /// Where the init program appears in the container, as in Docker.
    static let initDestination = "/sbin/docker-init"

    func build() throws -> RuntimeSpec {
        var spec = RuntimeSpec()
        spec.ociVersion = "1.2.0"
        spec.root = .init(path: "rootfs", readonly: host.ReadonlyRootfs ?? false)
        if host.UTSMode != "host" {
            spec.hostname = record.config.Hostname
            if let domain = record.config.Domainname, !domain.isEmpty { spec.domainname = domain }
        }
        spec.process = try process()
        spec.mounts = try mounts()
        spec.annotations = host.Annotations ?? [:]
        spec.linux = try linux()
        return spec
    }

    // MARK: Process

    private func process() throws -> RuntimeSpec.Process {
        var args = record.command
        if context.initPath != nil { args = [Self.initDestination, "--"] + args }
        var process = RuntimeSpec.Process(
            terminal: record.isTerminal, user: .init(uid: context.identity.uid, gid: context.identity.gid, additionalGids: context.identity.additionalGids),
            args: args, env: environment, cwd: workingDirectory, capabilities: Capabilities.sets(of: host, uid: context.identity.uid))
        if let size = host.ConsoleSize, size.count == 2, size[0] > 0 {
            process.consoleSize = .init(height: UInt16(clamping: size[0]), width: UInt16(clamping: size[1]))
        }
        process.rlimits = try Self.rlimits(context.defaultUlimits, host.Ulimits ?? [])
        process.noNewPrivileges = context.noNewPrivileges
        process.apparmorProfile = isPrivileged ? nil : context.appArmorProfile
        process.oomScoreAdj = host.OomScoreAdj ?? 0
        return process
    }

    var workingDirectory: String {
        guard let directory = record.config.WorkingDir, !directory.isEmpty else { return "/" }
        return RootedPath.cleaned(directory)
    }

    /// PATH, HOSTNAME and TERM, then what image and user said, then HOME if nobody did.
    var environment: [String] {
        var base = [Self.defaultPath, "HOSTNAME=\(record.config.Hostname ?? "")"]
        if record.isTerminal { base.append("TERM=xterm") }
        return Environment.withHome(Environment.replacing(base + context.linkEnvironment, with: record.config.Env ?? []), home: context.identity.home)
    }

    static func rlimits(_ defaults: [Ulimit], _ own: [Ulimit]) throws -> [RuntimeSpec.Rlimit] {
        var byName: [String: Ulimit] = [:]
        for limit in defaults + own { byName[limit.Name ?? ""] = limit }
        return try byName.keys.sorted().map { name in
            guard UlimitNames.all.contains(name), let limit = byName[name] else { throw DaemonError.invalid("invalid ulimit type: \(name)") }
            // -1 is infinity, which is all bits set.
            return RuntimeSpec.Rlimit(type: "RLIMIT_" + name.uppercased(), soft: UInt64(bitPattern: limit.Soft ?? 0), hard: UInt64(bitPattern: limit.Hard ?? 0))
        }
    }

    // MARK: Linux

    private func linux() throws -> RuntimeSpec.Linux {
        var linux = RuntimeSpec.Linux()
        linux.namespaces = namespaces
        linux.cgroupsPath = cgroupsPath
        let devices = try DeviceList(host: host, isPrivileged: isPrivileged)
        linux.devices = devices.nodes
        var resources = try ResourceLimits(host).resources()
        resources.devices = devices.rules
        linux.resources = resources
        linux.maskedPaths = isPrivileged ? [] : record.maskedPaths ?? []
        linux.readonlyPaths = isPrivileged ? [] : record.readonlyPaths ?? []
        linux.sysctl = sysctls
        linux.seccomp = context.seccomp.map { .known($0) }
        if let propagation = rootPropagation { linux.rootfsPropagation = propagation }
        return linux
    }

    private var namespaces: [RuntimeSpec.Linux.Namespace] {
        var list: [RuntimeSpec.Linux.Namespace] = [.init(type: "mount")]
        switch record.networkMode {
        case "host": break
        default: list.append(.init(type: "network", path: context.networkPath))
        }
        if host.UTSMode != "host" { list.append(.init(type: "uts")) }
        switch host.PidMode ?? "" {
        case "host": break
        case let mode where mode.hasPrefix("container:"): list.append(.init(type: "pid", path: context.pidPID.map { "/proc/\($0)/ns/pid" }))
        default: list.append(.init(type: "pid"))
        }
        switch host.IpcMode ?? "" {
        case "host": break
        case let mode where mode.hasPrefix("container:"): list.append(.init(type: "ipc", path: context.ipcPID.map { "/proc/\($0)/ns/ipc" }))
        default: list.append(.init(type: "ipc"))
        }
        if host.CgroupnsMode != "host" { list.append(.init(type: "cgroup")) }
        return list
    }

    /// cgroupfs: `/docker/ID`, or below the parent that was asked for.
    var cgroupsPath: String {
        var parent = "/docker"
        if !context.cgroupParent.isEmpty { parent = context.cgroupParent }
        if let own = host.CgroupParent, !own.isEmpty { parent = own }
        return RootedPath.cleaned(parent + "/" + record.id)
    }

    /// Ports below 1024 and ping without privileges inside a network namespace of its own, as in Docker.
    private var sysctls: [String: String] {
        var values: [String: String] = [:]
        if record.networkMode != "host", !record.networkMode.hasPrefix("container:") {
            values["net.ipv4.ip_unprivileged_port_start"] = "0"
            values["net.ipv4.ping_group_range"] = "0 2147483647"
        }
        return values.merging(host.Sysctls ?? [:]) { $1 }
    }

    /// A shared or slave bind mount needs a root that passes mounts on.
    private var rootPropagation: String? {
        let wanted = record.mounts.map(\.propagation)
        if wanted.contains(where: { $0 == "shared" || $0 == "rshared" }) { return "shared" }
        if wanted.contains(where: { $0 == "slave" || $0 == "rslave" }) { return "rslave" }
        return nil
    }
}

enum UlimitNames {
    static let all: Set<String> = [
        "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
    ]
}

/// Lists of `NAME=value`.
enum Environment {
    static func name(_ entry: String) -> Substring { entry.prefix { $0 != "=" } }

    /// `base` with each variable of `own` replaced in place or added. A bare name takes the variable away.
    static func replacing(_ base: [String], with own: [String]) -> [String] {
        var result = base
        var position: [Substring: Int] = [:]
        for (index, entry) in result.enumerated() { position[name(entry)] = index }
        var removed: Set<Int> = []
        for entry in own {
            let name = name(entry)
            if !entry.contains("=") {
                if let index = position[name] { removed.insert(index) }
            } else if let index = position[name] {
                result[index] = entry
                removed.remove(index)
            } else {
                position[name] = result.count
                result.append(entry)
            }
        }
        return result.enumerated().filter { !removed.contains($0.offset) }.map(\.element)
    }

    static func withHome(_ environment: [String], home: String) -> [String] {
        environment.contains { $0.hasPrefix("HOME=") } ? environment : environment + ["HOME=\(home)"]
    }
}
