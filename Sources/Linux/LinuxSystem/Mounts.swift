package import CLinux
import Glibc

/// Attributes of one mount, as mount_setattr(2) takes them.
package struct MountAttributes: OptionSet, Sendable, Hashable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    // The library's own are for any set: they look up conformances and associated types when they are first used, 3 µs for a `[]`.
    package init(arrayLiteral elements: MountAttributes...) { self.init(rawValue: elements.reduce(0) { $0 | $1.rawValue }) }
    package var isEmpty: Bool { rawValue == 0 }
    package func contains(_ other: MountAttributes) -> Bool { rawValue & other.rawValue == other.rawValue }
    package func isDisjoint(with other: MountAttributes) -> Bool { rawValue & other.rawValue == 0 }
    package func union(_ other: MountAttributes) -> MountAttributes { MountAttributes(rawValue: rawValue | other.rawValue) }
    package func intersection(_ other: MountAttributes) -> MountAttributes { MountAttributes(rawValue: rawValue & other.rawValue) }
    package func subtracting(_ other: MountAttributes) -> MountAttributes { MountAttributes(rawValue: rawValue & ~other.rawValue) }
    package mutating func formUnion(_ other: MountAttributes) { self = union(other) }
    package mutating func subtract(_ other: MountAttributes) { self = subtracting(other) }
    package static func == (one: MountAttributes, other: MountAttributes) -> Bool { one.rawValue == other.rawValue }

    package static let readonly = MountAttributes(rawValue: 0x1)
    package static let nosuid = MountAttributes(rawValue: 0x2)
    package static let nodev = MountAttributes(rawValue: 0x4)
    package static let noexec = MountAttributes(rawValue: 0x8)
    /// The three access time modes are values of one field, not flags: clear `atimeMask` when setting one. Zero is relatime.
    package static let atimeMask = MountAttributes(rawValue: 0x70)
    package static let noatime = MountAttributes(rawValue: 0x10)
    package static let strictatime = MountAttributes(rawValue: 0x20)
    package static let nodiratime = MountAttributes(rawValue: 0x80)
    package static let idmap = MountAttributes(rawValue: 0x100000)
    package static let nosymfollow = MountAttributes(rawValue: 0x200000)
}

/// How a mount shares with its peers. Kernel: mount_namespaces(7).
package enum MountPropagation: UInt64, Sendable {
    case shared = 0x100000, slave = 0x80000, `private` = 0x40000, unbindable = 0x20000
}

/// The mount API by descriptors, Linux 5.2 (mount_setattr 5.12): nothing here looks a target path up a second time.
package enum Mounts {
    private static let emptyPath = UInt32(AT_EMPTY_PATH)
    private static let recursiveFlag: UInt32 = 0x8000  // AT_RECURSIVE

    /// A detached copy of the mount at `path`, to be attached with `attach` or dropped with its descriptor.
    /// Without `followsLink` a symlink at the end of the path is itself what is mounted.
    package static func cloneTree(_ path: String, recursive: Bool, followsLink: Bool = true) throws(SystemError) -> OwnedFD {
        let flags = 1 | UInt32(O_CLOEXEC) | (recursive ? recursiveFlag : 0) | (followsLink ? 0 : UInt32(AT_SYMLINK_NOFOLLOW))
        return OwnedFD(adopting: try syscall("open_tree", on: path) { berth_open_tree(AT_FDCWD, path, flags) })
    }

    package static func cloneTree(of file: borrowing OwnedFD, name: String, recursive: Bool) throws(SystemError) -> OwnedFD {
        let fd = file.rawValue
        let flags = 1 | UInt32(O_CLOEXEC) | emptyPath | (recursive ? recursiveFlag : 0)
        return OwnedFD(adopting: try syscall("open_tree", on: name) { berth_open_tree(fd, "", flags) })
    }

    /// Attaches a detached mount onto what `target` refers to.
    package static func attach(_ mount: borrowing OwnedFD, onto target: borrowing OwnedFD, name: String) throws(SystemError) {
        let from = mount.rawValue
        let to = target.rawValue
        try syscall("move_mount", on: name) { berth_move_mount(from, "", to, "", 0x4 | 0x40) }
    }

    /// Attaches a detached mount onto the entry `name` of a directory, which is not followed if it is a symlink.
    package static func attach(_ mount: borrowing OwnedFD, onto name: String, in directory: borrowing OwnedFD) throws(SystemError) {
        let from = mount.rawValue
        let to = directory.rawValue
        try syscall("move_mount", on: name) { berth_move_mount(from, "", to, name, 0x4) }
    }

    package static func attach(_ mount: borrowing OwnedFD, onto path: String) throws(SystemError) {
        let from = mount.rawValue
        try syscall("move_mount", on: path) { berth_move_mount(from, "", AT_FDCWD, path, 0x4) }
    }

    /// Changes attributes and propagation of the mount behind a descriptor. `userNamespace` gives the mapping when `set` has `idmap`.
    package static func change(
        _ mount: borrowing OwnedFD, set: MountAttributes = [], clear: MountAttributes = [], propagation: MountPropagation? = nil,
        recursive: Bool = false, userNamespace: CInt? = nil, name: String
    ) throws(SystemError) {
        let fd = mount.rawValue
        var attr = berth_mount_attr(attr_set: set.rawValue, attr_clr: clear.rawValue, propagation: propagation?.rawValue ?? 0, userns_fd: UInt64(userNamespace ?? 0))
        try syscall("mount_setattr", on: name) { berth_mount_setattr(fd, "", emptyPath | (recursive ? recursiveFlag : 0), &attr) }
    }

    /// Changes the propagation of everything at and below `path`.
    package static func setPropagation(_ path: String, _ propagation: MountPropagation, recursive: Bool) throws(SystemError) {
        let flags = UInt(propagation.rawValue) | (recursive ? UInt(0x4000) : 0)
        try syscall("mount", on: "\(propagation) on \(path)") { mount(nil, path, nil, flags, nil) }
    }

    /// mount(2), for filesystems without support for the newer calls and for targets that are trusted paths.
    package static func mountClassic(_ source: String, on target: String, type: String, flags: UInt, data: String) throws(SystemError) {
        try syscall("mount", on: "\(type) on \(target)") { mount(source, target, type, flags, data) }
    }

    /// Takes the topmost mount off `path` now and its resources when nobody uses them any more.
    package static func detach(_ path: String) throws(SystemError) { try syscall("umount", on: path) { umount2(path, 2) } }

    /// Makes `newRoot` the root of the mount namespace and of the caller and drops the old one. The working directory is `/` afterwards.
    ///
    /// pivot_root(".", ".") stacks the old root on top of the new one, so that no directory is needed for it. The old tree is made a slave first: the
    /// unmount must not travel to the host.
    package static func pivot(into newRoot: borrowing OwnedFD, name: String) throws(SystemError) {
        let oldRoot = try Files.open("/", O_PATH | O_DIRECTORY)
        try Files.changeDirectory(to: newRoot, name: name)
        try syscall("pivot_root", on: name) { berth_pivot_root(".", ".") }
        try Files.changeDirectory(to: oldRoot, name: "old root")
        try setPropagation(".", .slave, recursive: true)
        try detach(".")
        try Files.changeDirectory("/")
    }

    /// As `pivot` where pivot_root is impossible, as on an initial ramfs: the new root is moved on top of `/`. The old tree stays mounted below it,
    /// so every procfs and sysfs in it is detached first: they would allow the container new ones without masks.
    package static func moveRoot(_ newRoot: borrowing OwnedFD, name: String) throws(SystemError) {
        for line in try Files.readText("/proc/self/mountinfo").fields(by: "\n") {
            let fields = line.fields(by: " ")
            guard let dash = fields.firstIndex(of: "-"), fields.count > dash + 1, fields[dash + 1] == "proc" || fields[dash + 1] == "sysfs" else { continue }
            let path = String(fields[4])
            if path == name || path.begins(with: name + "/") { continue }
            try setPropagation(path, .slave, recursive: true)
            try detach(path)
        }
        try Files.changeDirectory(to: newRoot, name: name)
        let fd = newRoot.rawValue
        try syscall("move_mount", on: "\(name) to /") { berth_move_mount(fd, "", AT_FDCWD, "/", 0x4) }
        try syscall("chroot", on: name) { chroot(".") }
        try Files.changeDirectory("/")
    }

    /// Whether the mount a file was opened through, or its filesystem, is read-only.
    package static func isReadonly(_ file: borrowing OwnedFD, name: String) throws(SystemError) -> Bool {
        try filesystem(of: file, name: name).f_flags & 1 != 0  // ST_RDONLY
    }

    /// The attributes that the mount has, those of its filesystem included.
    package static func attributes(of file: borrowing OwnedFD, name: String) throws(SystemError) -> MountAttributes {
        let flags = try filesystem(of: file, name: name).f_flags
        var result: MountAttributes = []
        for (bit, attribute) in [(1, .readonly), (2, .nosuid), (4, .nodev), (8, .noexec), (0x400, .noatime), (0x800, .nodiratime), (0x2000, .nosymfollow)] as [(Int, MountAttributes)]
        where Int(flags) & bit != 0 { result.insert(attribute) }
        if Int(flags) & 0x1400 == 0 { result.insert(.strictatime) }  // neither noatime nor relatime
        return result
    }

    /// `statfs` of what a descriptor refers to: type and mount flags.
    package static func filesystem(of file: borrowing OwnedFD, name: String) throws(SystemError) -> statfs {
        let fd = file.rawValue
        var status = statfs()
        try syscall("fstatfs", on: name) { fstatfs(fd, &status) }
        return status
    }
}

extension Mounts {
    /// Changes options of the filesystem that is mounted at a descriptor, wherever else it is mounted too. Kernel: fspick(2).
    package static func reconfigure(_ mount: borrowing OwnedFD, _ options: [(key: String, value: String?)], name: String) throws(SystemError) {
        let fd = mount.rawValue
        // FSPICK_CLOEXEC | FSPICK_EMPTY_PATH
        let context = OwnedFD(adopting: try syscall("fspick", on: name) { berth_fspick(fd, "", 1 | 8) })
        let raw = context.rawValue
        for (key, value) in options {
            try syscall("fsconfig", on: "\(name) option \(key)") { berth_fsconfig(raw, value == nil ? 0 : 1, key, value, 0) }
        }
        try syscall("fsconfig", on: "remount \(name)") { berth_fsconfig(raw, 7, nil, nil, 0) }  // FSCONFIG_CMD_RECONFIGURE
    }
}

/// A filesystem being configured before it becomes a mount.
///
/// Kernel: fsopen(2), fsconfig(2), fsmount(2).
package struct FilesystemContext: ~Copyable {
    private let context: OwnedFD
    private let type: String

    package init(type: String) throws(SystemError) {
        self.type = type
        context = OwnedFD(adopting: try syscall("fsopen", on: type) { berth_fsopen(type, 1) })
    }

    /// Sets `key` to `value`, or the flag `key` when there is no value.
    package borrowing func set(_ key: String, _ value: String? = nil) throws(SystemError) {
        let fd = context.rawValue
        let subject = "\(type) option \(key)\(value.map { "=\($0)" } ?? "")"
        do throws(SystemError) {
            if let value {
                try syscall("fsconfig", on: subject) { berth_fsconfig(fd, 1, key, value, 0) }
            } else {
                try syscall("fsconfig", on: subject) { berth_fsconfig(fd, 0, key, nil, 0) }
            }
        } catch { throw explained(error) }
    }

    /// Creates the filesystem and a detached mount of it.
    package consuming func mount(_ attributes: MountAttributes) throws(SystemError) -> OwnedFD {
        let fd = context.rawValue
        do throws(SystemError) {
            try syscall("fsconfig", on: type) { berth_fsconfig(fd, 6, nil, nil, 0) }
            return OwnedFD(adopting: try syscall("fsmount", on: type) { berth_fsmount(fd, 1, UInt32(truncatingIfNeeded: attributes.rawValue)) })
        } catch { throw explained(error) }
    }

    /// Adds what the filesystem itself wrote about the failure: "e tmpfs: Bad value for 'size'".
    private borrowing func explained(_ error: SystemError) -> SystemError {
        let fd = context.rawValue
        var buffer = [UInt8](repeating: 0, count: 512)
        let count = read(fd, &buffer, buffer.count)
        guard count > 2 else { return error }
        var text = String(decoding: buffer[..<count], as: UTF8.self)
        if text.hasPrefix("e ") || text.hasPrefix("w ") { text.removeFirst(2) }
        while text.last == "\n" { text.removeLast() }
        return SystemError(call: error.call, subject: "\(error.subject) (\(text))", errno: error.errno)
    }
}
