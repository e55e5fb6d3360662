import Glibc
import LinuxSystem
import TaskAPI

/// Which ids of a container are which on the host: the options `uidmap=` and `gidmap=` of containerd's mounts, "0:100000:65536" and more by comma.
struct IDMapping: Equatable {
    /// As /proc/PID/uid_map and gid_map take it.
    let uids: String
    let gids: String

    /// nil where one of the two is missing or is no mapping.
    init?(uids: Substring, gids: Substring) {
        guard let uids = Self.lines(uids), let gids = Self.lines(gids) else { return nil }
        self.uids = uids
        self.gids = gids
    }

    private static func lines(_ text: Substring) -> String? {
        var lines = ""
        for part in text.fields(by: ",", keepsEmpty: true) {
            let numbers = part.fields(by: ":", keepsEmpty: true).compactMap { UInt32($0) }
            guard numbers.count == 3 else { return nil }
            lines += "\(numbers[0]) \(numbers[1]) \(numbers[2])\n"
        }
        return lines
    }
}

/// Root filesystems for a container with a user namespace: the layers are seen through mounts that map ids, and no file changes its owner on disk.
///
/// Kernel: mount_setattr(2) with MOUNT_ATTR_IDMAP (Linux 5.12), below overlayfs 5.19.
enum IDMappedMounts {
    /// On entry the shim is in a mount namespace of its own. `target` gets the mount or stays as it was.
    static func attach(_ mount: MountMessage, _ target: String, _ options: MountOptions, _ mapping: IDMapping) throws(SystemError) {
        let namespace = try userNamespace(mapping)
        if options.isBind || mount.type == "bind" {
            let tree = try mapped(mount.source, recursive: options.flags & 16384 != 0, namespace)
            if !options.attributes.isEmpty { try Mounts.change(tree, set: options.attributes, name: target) }
            return try Mounts.attach(tree, onto: target)
        }
        guard mount.type == "overlay" else {
            throw SystemError(call: "mount", subject: "\(mount.type) on \(target): uidmap and gidmap are for bind and overlay only", errno: .invalid)
        }
        try Mounts.attach(try overlay(mount, target, options, namespace), onto: target)
    }

    /// The layers are mounted in a tmpfs on `target` for as long as the overlay is made of them: it keeps copies of its own.
    private static func overlay(_ mount: MountMessage, _ target: String, _ options: MountOptions, _ namespace: borrowing OwnedFD) throws(SystemError) -> OwnedFD {
        try Mounts.mountClassic("tmpfs", on: target, type: "tmpfs", flags: 0, data: "size=1m,mode=700")
        let here = try Files.currentDirectory()
        defer {
            try? Files.changeDirectory(here)
            try? Mounts.detach(target)
        }
        try Files.changeDirectory(target)
        var words: [String] = []
        for word in options.words {
            guard word.hasPrefix("lowerdir=") else {
                words.append(word)
                continue
            }
            var names: [String] = []
            for directory in MountOptions.splitLowerdirs(word.dropFirst("lowerdir=".count)) {
                let name = "\(names.count)"
                try Files.makeDirectory(name, mode: 0o700)
                try Mounts.attach(try mapped(directory, recursive: false, namespace), onto: name)
                names.append(name)
            }
            words.append("lowerdir=" + names.joined(separator: ":"))
        }
        try Files.makeDirectory("all", mode: 0o700)
        try Mounts.mountClassic(mount.source, on: "all", type: "overlay", flags: options.flags, data: words.joined(separator: ","))
        return try Mounts.cloneTree("all", recursive: false)
    }

    private static func mapped(_ path: String, recursive: Bool, _ namespace: borrowing OwnedFD) throws(SystemError) -> OwnedFD {
        let tree = try Mounts.cloneTree(path, recursive: recursive)
        try Mounts.change(tree, set: .idmap, recursive: recursive, userNamespace: namespace.rawValue, name: path)
        return tree
    }

    /// A user namespace with these maps. A child holds it until it is open; it does nothing else.
    private static func userNamespace(_ mapping: IDMapping) throws(SystemError) -> OwnedFD {
        let child = try Processes.clone(namespaces: [.user], subject: "user namespace") { while true { Processes.pause() } }
        defer {
            try? Processes.signal(SIGKILL, to: child.pidfd, name: "user namespace")
            _ = try? Processes.wait(for: child.pid)
        }
        try Files.write(mapping.gids, toExisting: "/proc/\(child.pid)/gid_map")
        try Files.write(mapping.uids, toExisting: "/proc/\(child.pid)/uid_map")
        return try Files.open("/proc/\(child.pid)/ns/user")
    }
}
