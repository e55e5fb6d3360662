import BerthDefaults
import LinuxSystem

/// Snapshots as subvolumes of btrfs: a child begins as a snapshot of its parent, and both share the blocks that neither changes.
///
/// `ID/fs` is a subvolume, read-only when it is committed. A view shows its parent's.
struct BtrfsDriver: SnapshotDriver {
    let name = "btrfs"

    /// - Parameter root: where the snapshots' directories are.
    init(root: String) throws {
        guard try Subvolumes.areAvailable(at: root) else {
            throw StorageError(.failedPrecondition, "path \(root) must be a btrfs filesystem to be used with the btrfs snapshotter")
        }
    }

    func make(_ kind: SnapshotKind, in directory: DirectoryFD, on parent: DirectoryFD?, _ options: SnapshotOptions) throws {
        if let parent {
            if kind == .view { return }
            try Subvolumes.snapshot(try parent.directory(SnapshotFiles.name), as: SnapshotFiles.name, in: directory)
        } else {
            try Subvolumes.make(SnapshotFiles.name, in: directory)
            try SnapshotFiles.setRoot(in: directory, like: nil)
        }
        if let bytes = options.sizeLimit { try Subvolumes.limit(try directory.directory(SnapshotFiles.name), to: bytes) }
    }

    func mounts(_ directory: String, _ kind: SnapshotKind, parents: [String], _ options: SnapshotOptions) -> [MountPoint] {
        WholeTrees.mounts(directory, kind, parents: parents, options)
    }

    func seal(_ directory: DirectoryFD) throws {
        let files = try directory.directory(SnapshotFiles.name)
        try files.syncFileSystem()
        try Subvolumes.setReadonly(true, files)
    }

    /// A snapshot's files keep their inode numbers and times.
    func comparison(_ directory: DirectoryFD) throws -> TreeComparison? { .snapshot }

    func remove(_ name: CName, in directory: DirectoryFD) throws { try Self.removeSnapshot(name, in: directory) }

    static func removeSnapshot(_ name: CName, in directory: DirectoryFD) throws {
        let snapshot = try directory.directory(name)
        if try snapshot.statusIfPresent(SnapshotFiles.name) != nil { try Subvolumes.remove(SnapshotFiles.name, in: snapshot) }
        try LayerFiles.removeTree(name, in: directory)
    }
}

/// What drivers have in common whose snapshots hold everything.
enum WholeTrees {
    /// One bind mount: a view of a parent is the parent's own directory, which nobody changes.
    static func mounts(_ directory: String, _ kind: SnapshotKind, parents: [String], _ options: SnapshotOptions) -> [MountPoint] {
        let source = kind == .view ? parents.first ?? directory : directory
        return [MountPoint(type: "bind", source: "\(source)/fs", options: [kind == .view ? "ro" : "rw", "rbind"] + options.mountOptions)]
    }
}
