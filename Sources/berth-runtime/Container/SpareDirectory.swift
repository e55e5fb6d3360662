import CLinux
import LinuxSystem

/// One empty directory in the root, left by a container that was removed, for the next one to take.
///
/// To make and remove a directory costs more than all else that is written of a container where the root is no tmpfs: a block is allocated and freed, and ext4 mounted with `discard` tells
/// the disk so and waits (0.25 ms of a `run`). To rename one costs the same everywhere.
enum SpareDirectory {
    /// Hidden, and no container's: a comma is in no id.
    static let name = ".,spare"

    /// Makes the spare directory of `root` the one at `path`.
    /// - Returns: false when there is none, something is at `path`, or the file system cannot.
    static func take(in root: String, as path: String) -> Bool { rename("\(root)/\(name)", path) }

    private static func rename(_ old: String, _ new: String) -> Bool { old.withCString { old in new.withCString { berth_rename_new(old, $0) } } == 0 }

    /// Keeps an empty directory of a container.
    /// - Returns: false when there is a spare one already, or the file system cannot.
    static func keep(_ path: String) -> Bool {
        guard let slash = path.lastSlash else { return false }
        return rename(path, "\(path[..<slash])/\(name)")
    }
}
