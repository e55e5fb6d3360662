import BerthDefaults
import Glibc
import LinuxSystem
import OCISpec

/// Device nodes for a container in a user namespace, where mknod(2) is not allowed.
///
/// The host's node of the same path serves where it is that device with that mode and owner. For others the runtime, as root of the host, makes nodes on a
/// tmpfs that a helper process has in a mount namespace of its own, and hands detached clones of them to the init: nothing of it is seen on the host.
enum PreparedDevices {
    /// Descriptors of detached mounts by position in `nodes`; the caller owns them. Empty for an unprivileged runtime, which could make none.
    static func make(_ nodes: [Devices.Node], for linux: RuntimeSpec.Linux, rootfs: String) throws(RuntimeError) -> [Int: CInt] {
        guard ProcessAttributes.isRoot() else { return [:] }
        var wanted: [(Int, Devices.Node)] = []
        for (index, node) in nodes.enumerated() where node.kind != S_IFIFO {
            let own = try shifted(node, linux)
            if !isOnHost(own) { wanted.append((index, own)) }
        }
        return wanted.isEmpty ? [:] : try make(wanted, rootfs: rootfs)
    }

    /// The node with the owner's ids as the host sees them.
    private static func shifted(_ node: Devices.Node, _ linux: RuntimeSpec.Linux) throws(RuntimeError) -> Devices.Node {
        func host(_ id: UInt32, _ mappings: [RuntimeSpec.IDMapping], _ kind: String) throws(RuntimeError) -> UInt32 {
            for mapping in mappings where id >= mapping.containerID && id - mapping.containerID < mapping.size { return mapping.hostID + (id - mapping.containerID) }
            // Joined namespaces have mappings of their own, which the config does not tell.
            if mappings.isEmpty { return id }
            throw RuntimeError(.invalidArgument, "create device \(node.path): \(kind) \(id) is not mapped")
        }
        return Devices.Node(
            path: node.path, kind: node.kind, major: node.major, minor: node.minor, mode: node.mode, uid: try host(node.uid, linux.uidMappings, "uid"),
            gid: try host(node.gid, linux.gidMappings, "gid"))
    }

    /// Default devices keep the host's owner, everybody may use them.
    private static func isOnHost(_ node: Devices.Node) -> Bool {
        guard let status = try? Files.status(node.path), status.isDevice(node.kind, major: node.major, minor: node.minor) else { return false }
        if Devices.defaults.contains(where: { $0.path == node.path }) { return true }
        return status.st_mode & 0o7777 == node.mode && status.st_uid == node.uid && status.st_gid == node.gid
    }

    private static func make(_ nodes: [(Int, Devices.Node)], rootfs: String) throws(RuntimeError) -> [Int: CInt] {
        let pair = try attempt { () throws(SystemError) in try DescriptorPassing.pair() }
        let channel = SyncChannel(pair.takeParent()), childEnd = SyncChannel(pair.takeChild())
        let child = try attempt { () throws(SystemError) in
            try Processes.clone(namespaces: [.mount], subject: "devices") {
                do throws(RuntimeError) { try attempt { () throws(SystemError) in try send(nodes, rootfs: rootfs, over: childEnd) } } catch {
                    childEnd.fail(error.during("create devices"))
                }
                Processes.leave(0)
            }
        }
        _ = consume childEnd
        var ready: [Int: CInt] = [:]
        while let message = try attempt({ () throws(SystemError) in try channel.receive() }) {
            guard message.kind == .go, let index = Int(message.text), let fd = message.descriptors.first else {
                for fd in ready.values { close(fd) }
                throw SyncChannel.failure(message.text)
            }
            ready[index] = fd
        }
        _ = try? Processes.wait(for: child.pid)
        return ready
    }

    /// The helper's part.
    private static func send(_ nodes: [(Int, Devices.Node)], rootfs: String, over channel: borrowing SyncChannel) throws(SystemError) {
        try Mounts.setPropagation("/", .private, recursive: true)
        ProcessAttributes.setUmask(0)
        let context = try FilesystemContext(type: "tmpfs")
        try context.set("source", "devices")
        let base = try (consume context).mount([.nosuid, .noexec])
        // Only what is attached can be cloned.
        try Mounts.attach(base, onto: rootfs)
        for (index, node) in nodes {
            let name = "\(index)"
            try Files.makeNode(name, kind: node.kind, mode: node.mode, major: node.major, minor: node.minor, at: base)
            try Files.setOwner(name, uid: node.uid, gid: node.gid, at: base)
            try Files.setMode(name, node.mode, at: base)
            let file = try Files.open(name, O_PATH | O_NOFOLLOW, at: base)
            let tree = try Mounts.cloneTree(of: file, name: node.path, recursive: false)
            try channel.send(.go, name, descriptors: [tree.rawValue])
        }
    }
}
