import BerthDefaults
import Glibc
import LinuxSystem
import OCISpec

/// One mount of the container, decided: nobody looks into the spec again while it is carried out.
struct PlannedMount {
    enum Source {
        /// A path of the host.
        case bind(path: String, recursive: Bool)
        /// A new filesystem.
        case filesystem(type: String, source: String)
        /// No mount of its own: what is mounted there gets other attributes and options.
        case remount
        /// The container's cgroup: v2, or a tmpfs with one directory per v1 hierarchy.
        case cgroup
    }

    /// Absolute inside the container, cleaned by its letters; symlinks are resolved when it is mounted.
    let destination: String
    let source: Source
    var options: MountOptions
    let uidMappings: [RuntimeSpec.IDMapping]
    let gidMappings: [RuntimeSpec.IDMapping]

    /// Made read-only only after the runtime has put its own files into it.
    var readonlyAtTheEnd: Bool {
        guard options.attributes.set.contains(.readonly) else { return false }
        if case .filesystem(let type, _) = source, type == "tmpfs" { return true }
        return destination == "/dev"
    }

    /// The source of a bind mount is a file of the container's own root, at this path of the host.
    func isInside(_ rootfs: String) -> Bool {
        guard case .bind(let path, _) = source, path.begins(with: rootfs) else { return false }
        return RootedPath.cleaned(path).begins(with: "\(rootfs)/")
    }

    /// For messages, in runc's form: `"proc" to rootfs at "/proc"`.
    var label: String {
        let what =
            switch source {
            case .bind(let path, _): path
            case .filesystem(_, let source): source
            case .cgroup: "cgroup"
            case .remount: "remount"
            }
        return "\"\(what)\" to rootfs at \"\(destination)\""
    }
}

/// What may be mounted on and below /proc: whoever puts files of their own there deceives what reads them, labels and masks of the runtime included.
private enum ProcMounts {
    /// Files of lxcfs and two knobs, as in runc.
    private static let allowed = [
        "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg", "/proc/slabinfo", "/proc/net/dev",
        "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
    ]

    /// What is wrong with the place; nil when nothing is.
    static func problem(_ mount: PlannedMount) -> String? {
        if mount.destination.begins(with: "/proc/") { return allowed.contains(mount.destination) ? nil : "inside /proc" }
        guard mount.destination == "/proc" else { return nil }
        switch mount.source {
        case .filesystem("proc", _), .remount: return nil
        case .bind(let path, _) where isProc(path): return nil
        case .bind, .filesystem, .cgroup: return "not of type proc"
        }
    }

    private static func isProc(_ path: String) -> Bool {
        guard let opened = try? Files.open(path, O_PATH) else { return false }
        return (try? ProcHandle.isProc(opened, name: path)) ?? false
    }
}

/// The spec's mounts as a list of `PlannedMount`, in its order. Looks at nothing but the type of what is bound to /proc.
enum MountPlan {
    /// - Parameter rootfs: destinations may be written as paths of the host, below it.
    static func make(_ mounts: [RuntimeSpec.Mount], bundle: String, rootfs: String) throws(RuntimeError) -> [PlannedMount] {
        var planned: [PlannedMount] = []
        planned.reserveCapacity(mounts.count)
        for (index, mount) in mounts.enumerated() { planned.append(try plan(mount, index: index, bundle: bundle, rootfs: rootfs)) }
        return planned
    }

    private static func plan(_ mount: RuntimeSpec.Mount, index: Int, bundle: String, rootfs: String) throws(RuntimeError) -> PlannedMount {
        func refused(_ problem: String) -> RuntimeError { RuntimeError(.invalidArgument, "mounts[\(index)] \(mount.destination): \(problem)") }
        guard !mount.destination.isEmpty else { throw refused("the destination is empty") }
        for text in [mount.destination, mount.source ?? "", mount.type ?? ""] + mount.options where text.contains(byte: 0) { throw refused("a NUL character") }
        var options = MountOptions(mount.options)
        let type = mount.type ?? ""
        if type == "bind" && !options.bind { options.bind = true }
        let hasMappings = !mount.uidMappings.isEmpty || !mount.gidMappings.isEmpty
        if hasMappings {
            guard !mount.uidMappings.isEmpty, !mount.gidMappings.isEmpty else { throw refused("uidMappings and gidMappings go together") }
            guard options.bind else { throw refused("id mappings need a bind mount") }
            options.idmap = true
        }
        if options.tmpcopyup && type != "tmpfs" { throw refused("tmpcopyup needs type tmpfs") }
        let source: PlannedMount.Source
        if options.remount {
            if hasMappings || options.idmap || options.tmpcopyup { throw refused("remount does not go with id mappings and tmpcopyup") }
            // Of a bind mount only the attributes are its own.
            if options.bind && !options.filesystem.isEmpty { throw refused("remount,bind does not take the option \(options.settings[0].key)") }
            source = .remount
        } else if options.bind {
            guard let path = mount.source, !path.isEmpty else { throw refused("a bind mount needs a source") }
            source = .bind(path: path.isAbsolutePath ? path : "\(bundle)/\(path)", recursive: options.bindRecursive)
        } else if type == "cgroup" || type == "cgroup2" {
            source = .cgroup
        } else {
            guard !type.isEmpty else { throw refused("neither a type nor a bind option") }
            source = .filesystem(type: type, source: mount.source.flatMap { $0.isEmpty ? nil : $0 } ?? type)
        }
        var destination = RootedPath.cleaned(mount.destination)
        if rootfs != "/", destination.begins(with: "\(rootfs)/") { destination = destination.dropping(bytes: rootfs.utf8.count) }
        guard destination != "/" else { throw refused("the root itself cannot be mounted over") }
        let planned = PlannedMount(destination: destination, source: source, options: options, uidMappings: mount.uidMappings, gidMappings: mount.gidMappings)
        if let problem = ProcMounts.problem(planned) {
            throw RuntimeError(.invalidArgument, "error mounting \(planned.label): \"\(rootfs)\(destination)\" cannot be mounted because it is \(problem)")
        }
        return planned
    }
}
