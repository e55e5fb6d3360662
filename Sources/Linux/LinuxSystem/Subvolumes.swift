internal import CLinux
import Glibc

/// Subvolumes and snapshots of btrfs by ioctl: directories that can be copied as a whole in no time and removed in one call.
package enum Subvolumes {
    /// Whether files at `path` lie on btrfs.
    package static func areAvailable(at path: String) throws(SystemError) -> Bool {
        let directory = try Files.open(path, O_RDONLY | O_DIRECTORY)
        return UInt32(truncatingIfNeeded: try Mounts.filesystem(of: directory, name: path).f_type) == 0x9123_683E  // BTRFS_SUPER_MAGIC
    }

    /// Makes an empty subvolume.
    package static func make(_ name: CName, in directory: DirectoryFD) throws(SystemError) {
        let parent = try directory.readable()
        let raw = parent.rawValue
        try syscall("ioctl", on: "create subvolume \(name)") { name.withCString { berth_btrfs_create(raw, $0) } }
    }

    /// Makes `name` a writable copy of the subvolume whose root `source` is; both share their blocks.
    package static func snapshot(_ source: DirectoryFD, as name: CName, in directory: DirectoryFD) throws(SystemError) {
        let parent = try directory.readable(), origin = try source.readable()
        let (raw, from) = (parent.rawValue, origin.rawValue)
        try syscall("ioctl", on: "snapshot subvolume \(name)") { name.withCString { berth_btrfs_snapshot(raw, $0, from) } }
    }

    /// Makes everything in the subvolume unchangeable, or takes that back. Returns when what was written before is complete.
    package static func setReadonly(_ readonly: Bool, _ subvolume: DirectoryFD) throws(SystemError) {
        let file = try subvolume.readable()
        let raw = file.rawValue
        try syscall("ioctl", on: "set the read-only flag of a subvolume") { berth_btrfs_set_readonly(raw, readonly ? 1 : 0) }
    }

    /// Removes a subvolume with those that were made in it, however deep, read-only or not. A container may make some without any capability.
    package static func remove(_ name: CName, in directory: DirectoryFD) throws(SystemError) {
        let subvolume = try directory.directory(name)
        do throws(SystemError) { try setReadonly(false, subvolume) } catch where error.errno == .notPermitted {}
        let parent = try directory.readable()
        let raw = parent.rawValue
        do throws(SystemError) {
            try syscall("ioctl", on: "remove subvolume \(name)") { name.withCString { berth_btrfs_destroy(raw, $0) } }
        } catch {
            guard error.errno == .notEmpty else { throw error }
            try removeNested(in: subvolume)
            try syscall("ioctl", on: "remove subvolume \(name)") { name.withCString { berth_btrfs_destroy(raw, $0) } }
        }
    }

    /// Whether a directory is the root of a subvolume: those have the inode number 256, which no other directory has.
    package static func isRoot(_ status: FileStatus) -> Bool { status.kind == .directory && status.inode == 256 }

    private static func removeNested(in directory: DirectoryFD) throws(SystemError) {
        var pending = [directory]
        while let next = pending.popLast() {
            for bytes in try next.names() {
                let name = CName(bytes)
                guard let status = try next.statusIfPresent(name), status.kind == .directory else { continue }
                if isRoot(status) { try remove(name, in: next) } else { pending.append(try next.directory(name)) }
            }
        }
    }

    /// Limits what the subvolume holds alone, in bytes. Turns quota groups on for the file system, if they are off.
    ///
    /// Before the subvolume gets files: what is there when quota groups are turned on is counted in the background.
    package static func limit(_ subvolume: DirectoryFD, to bytes: UInt64) throws(SystemError) {
        let file = try subvolume.readable()
        let raw = file.rawValue
        do throws(SystemError) { try syscall("ioctl", on: "turn quota groups on") { berth_btrfs_enable_quota(raw) } } catch where error.errno == .fileExists {}
        var id: UInt64 = 0
        try syscall("ioctl", on: "look a subvolume's id up") { berth_btrfs_id(raw, &id) }
        try syscall("ioctl", on: "limit subvolume \(id) to \(bytes) bytes") { berth_btrfs_limit(raw, id, bytes) }
    }
}
