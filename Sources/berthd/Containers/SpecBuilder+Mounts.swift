import DockerAPI
import LinuxSystem
import OCISpec

extension SpecBuilder {
    /// The kernel's filesystems, then the engine's files and the user's mounts from the shallowest on, each replacing what stands at its place.
    func mounts() throws -> [RuntimeSpec.Mount] {
        let own = try userMounts()
        let destinations = Set(own.map(\.destination))
        let replacesDev = destinations.contains("/dev")
        let base = systemMounts.filter { mount in
            if destinations.contains(mount.destination) { return false }
            return !(replacesDev && mount.destination.hasPrefix("/dev/"))
        }
        // A volume on /etc comes before the engine's files in it.
        let others = engineFiles.filter { !destinations.contains($0.destination) } + own
        var result = base + others.enumerated().sorted { (depth($0.element.destination), $0.offset) < (depth($1.element.destination), $1.offset) }.map(\.element)
        if let path = context.initPath {
            result.append(.init(destination: Self.initDestination, type: "bind", source: path, options: ["bind", "ro"]))
        }
        return result
    }

    private func depth(_ path: String) -> Int { RootedPath.components(path).count }

    private var systemMounts: [RuntimeSpec.Mount] {
        let writable = isPrivileged
        var list: [RuntimeSpec.Mount] = [
            .init(destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"]),
            .init(destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            .init(destination: "/dev/pts", type: "devpts", source: "devpts", options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            .init(destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", writable ? "rw" : "ro"]),
            .init(destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [context.writableCgroups ?? writable ? "rw" : "ro", "nosuid", "noexec", "nodev"]),
        ]
        // mqueue shows the queues of the IPC namespace that is mounted in, the host's too; the host need not have it mounted.
        list.append(.init(destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"]))
        if host.IpcMode == "host" {
            list.append(.init(destination: "/dev/shm", type: "bind", source: "/dev/shm", options: ["rbind"]))
        } else if let shared = context.sharedMemoryPath {
            list.append(.init(destination: "/dev/shm", type: "bind", source: shared, options: ["rbind", "rprivate"]))
        } else if host.IpcMode != "none" {
            list.append(.init(destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", "size=\(host.ShmSize ?? 64 << 20)"]))
        }
        return list
    }

    private var engineFiles: [RuntimeSpec.Mount] {
        ContainerFiles.names.map { name in
            .init(destination: "/etc/\(name)", type: "bind", source: "\(context.filesDirectory)/\(name)", options: ["rbind", "rprivate"] + (host.ReadonlyRootfs ?? false ? ["ro"] : []))
        }
    }

    private func userMounts() throws -> [RuntimeSpec.Mount] {
        try record.mounts.map { mount in
            switch mount.kind {
            case .tmpfs:
                return .init(destination: mount.destination, type: "tmpfs", source: "tmpfs", options: TmpfsOptions.merge(["noexec", "nosuid", "nodev"], mount.tmpfsOptions))
            case .bind, .volume:
                var source = mount.source
                if let volume = mount.volumeName, let path = context.volumePaths[volume] { source = path }
                if let part = context.volumeParts[mount.destination] { source = part }
                try requirePeers(of: source, for: mount.propagation)
                var options = [mount.nonRecursive ? "bind" : "rbind", mount.propagation.isEmpty ? "rprivate" : mount.propagation]
                if mount.readOnly {
                    let recursive = mount.readOnlyForceRecursive || !mount.readOnlyNonRecursive && !mount.nonRecursive
                    // rro needs mount_setattr(2), Linux 5.12; only forcing it makes an older kernel an error.
                    options.append(recursive && (KernelFeatures.hasMountSetattr || mount.readOnlyForceRecursive) ? "rro" : "ro")
                }
                return .init(destination: mount.destination, type: "bind", source: source, options: options)
            case .image:
                throw DaemonError.unimplemented("mounting an image (type=image)")
            }
        }
    }

    /// A bind mount travels only where what it is made of does. A bind that holds the engine's own files follows the host without having been asked to, and need
    /// not be able to.
    private func requirePeers(of source: String, for propagation: String) throws {
        let (mustShare, mayFollow) = (propagation.hasSuffix("shared"), propagation.hasSuffix("slave"))
        guard mustShare || mayFollow && !MountSettlement.holdsEngineFiles(source, dataRoot: context.dataRoot) else { return }
        let point = try HoldingMount.of(source)
        if point.isShared || mayFollow && point.isSlave { return }
        throw DaemonError.internalError("path \(source) is mounted on \(point.path) but it is not a shared\(mayFollow ? " or slave" : "") mount")
    }
}

/// The three files that the engine keeps for a container and mounts over the image's.
enum ContainerFiles {
    static let names = ["resolv.conf", "hostname", "hosts"]
}

enum TmpfsOptions {
    private static let opposites: [String: String] = [
        "exec": "noexec", "noexec": "exec", "suid": "nosuid", "nosuid": "suid", "dev": "nodev", "nodev": "dev", "ro": "rw", "rw": "ro", "sync": "async", "async": "sync",
        "atime": "noatime", "noatime": "atime", "diratime": "nodiratime", "nodiratime": "diratime", "relatime": "norelatime", "norelatime": "relatime",
        "strictatime": "nostrictatime", "nostrictatime": "strictatime",
    ]
    private static let flags = Set(opposites.keys).union(["defaults", "mand", "nomand", "bind", "rbind", "unbindable", "runbindable", "private", "rprivate", "shared", "rshared", "slave", "rslave", "remount"])
    private static let values: Set<String> = ["mode", "uid", "gid", "size", "nr_inodes", "nr_blocks", "mpol"]

    /// A later option wins over its opposite and over an earlier value of the same name.
    static func merge(_ defaults: [String], _ own: [String]) -> [String] {
        var result = defaults
        for option in own where !option.isEmpty && option != "defaults" {
            let key = option.prefix { $0 != "=" }
            result.removeAll { $0 == option || opposites[option] == $0 || (option.contains("=") && $0.hasPrefix(key + "=")) }
            result.append(option)
        }
        return result
    }

    /// - Throws: `.invalidArgument` naming what tmpfs does not know.
    static func validate(_ options: [String]) throws(DaemonError) {
        for option in options where !option.isEmpty {
            let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let known = parts.count == 1 ? flags.contains(option) : values.contains(String(parts[0]))
            guard known else { throw .invalid("invalid tmpfs option [\"\(option)\"]") }
        }
    }
}

/// What the running kernel has, looked up once.
enum KernelFeatures {
    static let release: (major: Int, minor: Int) = {
        let parts = ((try? Files.readText("/proc/sys/kernel/osrelease")) ?? "").split(whereSeparator: { $0 == "." || $0 == "-" }).compactMap { Int($0) }
        return (parts.first ?? 0, parts.count > 1 ? parts[1] : 0)
    }()
    static let hasMountSetattr = release >= (5, 12)
}
