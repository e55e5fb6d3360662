import BerthDefaults
import LinuxSystem

/// Snapshots as plain directories on any file system: a child begins as a copy of its parent. Docker calls it `vfs`.
///
/// Where the file system can share blocks between files (xfs with reflink, btrfs), a copy shares them; elsewhere it takes the parent's size once more.
/// The time of `ID` itself is when the copy was complete: what was changed later than that may differ from the parent.
struct NativeDriver: SnapshotDriver {
    let name = "native"
    let isSlow = true

    func make(_ kind: SnapshotKind, in directory: DirectoryFD, on parent: DirectoryFD?, _ options: SnapshotOptions) throws {
        guard options.sizeLimit == nil else {
            throw StorageError(.invalidArgument, "--storage-opt size is not supported by the storage driver vfs, use overlayfs or btrfs: invalid argument")
        }
        if kind == .view, parent != nil { return }
        try directory.makeDirectory(SnapshotFiles.name, mode: 0o755)
        if let parent {
            try TreeCopier(copiesSockets: true).copy(try parent.directory(SnapshotFiles.name), into: try directory.directory(SnapshotFiles.name))
        } else {
            try SnapshotFiles.setRoot(in: directory, like: nil)
        }
        try directory.touch()
    }

    func mounts(_ directory: String, _ kind: SnapshotKind, parents: [String], _ options: SnapshotOptions) -> [MountPoint] {
        WholeTrees.mounts(directory, kind, parents: parents, options)
    }

    func comparison(_ directory: DirectoryFD) throws -> TreeComparison? { .copy(completed: try directory.status(.current).modified) }

    func remove(_ name: CName, in directory: DirectoryFD) throws { try LayerFiles.removeTree(name, in: directory) }
}
