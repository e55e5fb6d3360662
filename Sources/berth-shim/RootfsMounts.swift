import Glibc
import LinuxSystem
import TaskAPI

/// The root filesystem, mounted in a mount namespace of the shim's own: invisible to the host, and gone with the shim whatever happens to it.
enum RootfsMounts {
    /// Enters a new mount namespace (once) and mounts `mounts`, in order, at `rootfs`.
    ///
    /// On entry the shim is in the supervisor's mount namespace. On leaving it is in one of its own, in which the mount that holds the bundle is a
    /// slave: what is mounted below does not travel to the host, while unmounts on the host still arrive here. All other mounts keep their
    /// propagation, which volumes with `rshared` need.
    static func mount(_ mounts: [MountMessage], at rootfs: String) throws(SystemError) {
        try Namespaces.unshare([.mount])
        try Mounts.isolate(rootfs)
        var done = 0
        do throws(SystemError) {
            for mount in mounts {
                try attach(mount, at: rootfs)
                done += 1
            }
        } catch {
            for _ in 0..<done { try? Mounts.detach(rootfs) }
            throw error
        }
    }

    static func unmount(_ count: Int, at rootfs: String) { for _ in 0..<count { try? Mounts.detach(rootfs) } }

    // MARK: one mount

    private static func attach(_ mount: MountMessage, at rootfs: String) throws(SystemError) {
        let target = mount.target.isEmpty ? rootfs : try subdirectory(mount.target, of: rootfs)
        let options = MountOptions(mount.options)
        if let refused = options.refused { throw SystemError(call: "mount", subject: "\(mount.type) on \(rootfs): option \(refused) is not supported", errno: .invalid) }
        if let mapping = options.idMapping {
            try IDMappedMounts.attach(mount, target, options, mapping)
        } else if options.isBind || mount.type == "bind" {
            try bind(mount.source, target, options)
        } else if options.data.utf8.count < 4096 - 1 {
            // One call, on any kernel. The kernel takes one page of options.
            try Mounts.mountClassic(mount.source, on: target, type: mount.type, flags: options.flags, data: options.data)
        } else {
            try mountLong(mount, target, options)
        }
    }

    private static func subdirectory(_ name: String, of rootfs: String) throws(SystemError) -> String {
        let parts = name.fields(by: "/")
        guard !parts.contains("..") else { throw SystemError(call: "mount", subject: "target \(name)", errno: .invalid) }
        return rootfs + "/" + parts.joined(separator: "/")
    }

    private static func bind(_ source: String, _ target: String, _ options: MountOptions) throws(SystemError) {
        let recursive = options.flags & MountOptions.recursive
        try Mounts.mountClassic(source, on: target, type: "none", flags: MountOptions.bind | recursive, data: "")
        let rest = options.flags & ~(MountOptions.bind | MountOptions.recursive)
        guard rest != 0 else { return }
        // A bind takes its flags in a second step only.
        do throws(SystemError) {
            try Mounts.mountClassic("", on: target, type: "none", flags: MountOptions.bind | MountOptions.remount | rest, data: "")
        } catch {
            try? Mounts.detach(target)
            throw error
        }
    }

    /// An overlay with more lower directories than one page holds. Since Linux 6.8 they are given one by one; before, paths relative to their common
    /// parent make the text shorter.
    private static func mountLong(_ mount: MountMessage, _ target: String, _ options: MountOptions) throws(SystemError) {
        do throws(SystemError) {
            let context = try FilesystemContext(type: mount.type)
            if !mount.source.isEmpty { try context.set("source", mount.source) }
            for word in options.words {
                let parts = word.fields(by: "=", limit: 2, keepsEmpty: true)
                if parts[0] == "lowerdir" && parts.count == 2 {
                    for directory in MountOptions.splitLowerdirs(parts[1]) { try context.set("lowerdir+", directory) }
                } else {
                    try context.set(String(parts[0]), parts.count > 1 ? String(parts[1]) : nil)
                }
            }
            let detached = try context.mount(options.attributes)
            try Mounts.attach(detached, onto: target)
        } catch {
            guard let short = options.shortened(), short.data.utf8.count < 4096 - 1 else { throw error }
            let here = try Files.currentDirectory()
            try Files.changeDirectory(short.directory)
            defer { try? Files.changeDirectory(here) }
            try Mounts.mountClassic(mount.source, on: target, type: mount.type, flags: options.flags, data: short.data)
        }
    }
}

/// The options of a mount as containerd passes them: fstab's words for flags, everything else for the filesystem.
struct MountOptions: Equatable {
    static let bind: UInt = 4096, recursive: UInt = 16384, remount: UInt = 32

    private(set) var flags: UInt = 0
    private(set) var attributes: MountAttributes = []
    private(set) var words: [String] = []
    /// An option that changes what is mounted and that is not built: the mount must fail rather than be another one.
    private(set) var refused: String?
    /// The files are seen with the ids of a user namespace.
    private(set) var idMapping: IDMapping?

    private static let flagWords: [(word: String, flag: UInt, attribute: MountAttributes)] = [
        ("ro", 1, .readonly), ("nosuid", 2, .nosuid), ("nodev", 4, .nodev), ("noexec", 8, .noexec), ("sync", 16, []), ("mand", 64, []),
        ("dirsync", 128, []), ("noatime", 1024, .noatime), ("nodiratime", 2048, .nodiratime), ("bind", bind, []), ("rbind", bind | recursive, []),
        ("relatime", 1 << 21, []), ("strictatime", 1 << 24, .strictatime), ("nosymfollow", 256, .nosymfollow),
    ]
    private static let clearing: [(word: String, flag: UInt, attribute: MountAttributes)] = [
        ("rw", 1, .readonly), ("suid", 2, .nosuid), ("dev", 4, .nodev), ("exec", 8, .noexec), ("async", 16, []), ("atime", 1024, .noatime),
        ("diratime", 2048, .nodiratime), ("norelatime", 1 << 21, []), ("nostrictatime", 1 << 24, .strictatime), ("nomand", 64, []),
    ]

    init(_ options: [String]) {
        var maps: [String: String] = [:]
        for option in options {
            if let known = Self.flagWords.first(where: { $0.word == option }) {
                flags |= known.flag
                attributes.insert(known.attribute)
            } else if let known = Self.clearing.first(where: { $0.word == option }) {
                flags &= ~known.flag
                attributes.remove(known.attribute)
            } else if option == "loop" {
                refused = option
            } else if option.hasPrefix("uidmap=") || option.hasPrefix("gidmap=") {
                maps[String(option.prefix(6))] = option
            } else if option != "defaults" && !option.isEmpty && !option.hasPrefix("X-containerd.") {
                words.append(option)
            }
        }
        guard let first = maps.values.first else { return }
        idMapping = IDMapping(uids: maps["uidmap"]?.dropFirst(7) ?? "", gids: maps["gidmap"]?.dropFirst(7) ?? "")
        if idMapping == nil { refused = first }
    }

    var isBind: Bool { flags & Self.bind != 0 }
    var data: String { words.joined(separator: ",") }

    /// Overlay's list: a colon separates, a backslash protects.
    static func splitLowerdirs(_ text: Substring) -> [String] {
        var list = [""]
        var protected = false
        for character in text {
            if protected { protected = false } else if character == "\\" { protected = true; continue } else if character == ":" { list.append(""); continue }
            list[list.count - 1].append(character)
        }
        return list.filter { !$0.isEmpty }
    }

    /// The same options with the lower directories relative to their longest common parent; nil when they have none but the root.
    func shortened() -> (directory: String, data: String)? {
        guard let index = words.firstIndex(where: { $0.hasPrefix("lowerdir=") }) else { return nil }
        let directories = Self.splitLowerdirs(words[index].dropFirst("lowerdir=".count))
        guard let first = directories.first else { return nil }
        var common = first.fields(by: "/").dropLast()
        for directory in directories {
            let parts = directory.fields(by: "/").dropLast()
            common = zip(common, parts).prefix { $0.0 == $0.1 }.map(\.0)[...]
        }
        guard !common.isEmpty else { return nil }
        let parent = "/" + common.joined(separator: "/")
        var changed = words
        changed[index] = "lowerdir=" + directories.map { $0.dropFirst(parent.utf8.count + 1).map { $0 == ":" ? "\\:" : String($0) }.joined() }.joined(separator: ":")
        return (parent, changed.joined(separator: ","))
    }
}
