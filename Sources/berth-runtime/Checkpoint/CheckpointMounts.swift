import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import OCISpec

/// What of a container's mounts and namespaces is not CRIU's to save: it is named at the checkpoint and supplied at the restore.
struct CheckpointMounts {
    /// A mount point in the container, and what belongs there.
    struct External {
        let key: String
        let value: String
    }

    private let plan: LaunchPlan
    private let cgroup: Cgroup

    init(_ plan: LaunchPlan, _ cgroup: Cgroup) { (self.plan, self.cgroup) = (plan, cgroup) }

    // MARK: Checkpoint

    /// The mounts that come from outside. `root` is the container's root.
    func leftOut(in root: borrowing RootedPath) -> [External] {
        var list: [External] = []
        for mount in plan.mounts {
            switch mount.source {
            case .bind: list.append(External(key: mount.destination, value: mount.destination))
            case .cgroup: for (name, _) in hierarchies { list.append(External(key: "\(mount.destination)/\(name)", value: "\(mount.destination)/\(name)")) }
            default: break
            }
        }
        for path in plan.linux.maskedPaths {
            guard let file = try? root.open(path, O_PATH), let status = try? Files.status(of: file, name: path), !status.isDirectory else { continue }
            list.append(External(key: path, value: "/dev/null"))
        }
        return list + plan.devices.map { External(key: $0.path, value: $0.path) }
    }

    /// A joined network or pid namespace stays outside: CRIU's "net[INODE]:KEY".
    func externalNamespaces() throws(RuntimeError) -> [String] {
        var list: [String] = []
        for namespace in plan.namespaces.joined where namespace.kind == .network || namespace.kind == .pid {
            let inode = try attempt { () throws(SystemError) in try Namespaces.identity(namespace.path) }
            list.append("\(namespace.kind.fileName)[\(inode)]:\(Self.key(namespace.kind))")
        }
        return list
    }

    // MARK: Restore

    /// The same mounts with what to put there now.
    var supplied: [External] {
        var list: [External] = []
        for mount in plan.mounts {
            switch mount.source {
            case .bind(let path, _): list.append(External(key: mount.destination, value: path))
            case .cgroup: for (name, directory) in hierarchies { list.append(External(key: "\(mount.destination)/\(name)", value: directory)) }
            default: break
            }
        }
        if !plan.linux.maskedPaths.isEmpty { list.append(External(key: "/dev/null", value: "/dev/null")) }
        return list + plan.devices.map { External(key: $0.path, value: $0.path) }
    }

    /// Makes the mount points the images expect, in a process and a mount namespace that end with it: those below bind mounts are reached through them.
    func makeMountPoints() throws(RuntimeError) {
        let pair = try attempt { () throws(SystemError) in try DescriptorPassing.pair() }
        let channel = SyncChannel(pair.takeParent()), childEnd = SyncChannel(pair.takeChild())
        let child = try attempt { () throws(SystemError) in
            try Processes.clone(namespaces: [.mount], subject: "mount points") {
                do throws(RuntimeError) {
                    try during("create mount points") { () throws(SystemError) in
                        try Mounts.setPropagation("/", .private, recursive: true)
                        let root = RootedPath(try Files.open(plan.rootfs, O_PATH | O_DIRECTORY))
                        for mount in plan.mounts { try makeMountPoint(mount, in: root) }
                    }
                } catch { childEnd.fail(error) }
                Processes.leave(0)
            }
        }
        _ = consume childEnd
        let message = try attempt { () throws(SystemError) in try channel.receive() }
        _ = try? Processes.wait(for: child.pid)
        if let message { throw SyncChannel.failure(message.text) }
    }

    private func makeMountPoint(_ mount: PlannedMount, in root: borrowing RootedPath) throws(SystemError) {
        // What lies on a tmpfs comes with its content; the hierarchies of version 1 do too.
        if plan.mounts.contains(where: { other in
            if case .filesystem("tmpfs", _) = other.source { return mount.destination.hasPrefix(other.destination + "/") }
            return false
        }) { return }
        switch mount.source {
        case .cgroup, .remount: return
        case .filesystem: _ = try root.makeDirectories(mount.destination)
        case .bind(let path, let recursive):
            let tree = try Mounts.cloneTree(path, recursive: recursive)
            let isDirectory = try Files.status(of: tree, name: path).isDirectory
            let target = isDirectory ? try root.makeDirectories(mount.destination) : try root.makeFile(mount.destination)
            try Mounts.attach(tree, onto: target, name: mount.destination)
        }
    }

    /// Joined network and pid namespaces, for CRIU to inherit.
    func openNamespaces() throws(RuntimeError) -> [(key: String, descriptor: CInt)] {
        var list: [(String, CInt)] = []
        for namespace in plan.namespaces.joined where namespace.kind == .network || namespace.kind == .pid {
            list.append((Self.key(namespace.kind), try attempt { () throws(SystemError) in try Files.open(namespace.path).release() }))
        }
        return list
    }

    /// The other joined ones, which CRIU enters by path.
    func joinedNamespaces() throws(RuntimeError) -> [(name: String, path: String)] {
        var list: [(String, String)] = []
        for namespace in plan.namespaces.joined where namespace.kind != .network && namespace.kind != .pid {
            if namespace.kind == .cgroup { throw RuntimeError(.unimplemented, "CRIU cannot restore into a cgroup namespace that exists") }
            list.append((namespace.kind.fileName, namespace.path))
        }
        return list
    }

    private static func key(_ kind: NamespaceKind) -> String { kind == .network ? "extRootNetNS" : "extRootPidNS" }

    /// Version 1: name below the mount point, and the container's directory on the host.
    private var hierarchies: [(name: String, directory: String)] { CgroupMounter(cgroup).hierarchies.map { ($0.name, $0.directory) } }
}
