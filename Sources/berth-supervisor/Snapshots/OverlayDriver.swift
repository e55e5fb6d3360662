import BerthDefaults
import Glibc
import LinuxSystem

/// Snapshots as layers of overlayfs.
///
/// ```
/// ID/fs     the layer: what this snapshot adds to and takes away from its parents
/// ID/work   overlayfs' own, for an active snapshot
/// ```
struct OverlayDriver: SnapshotDriver {
    let name = "overlayfs"
    let keepsLayersApart = true
    private let mountOptions: [String]
    /// The file system limits what a directory may hold.
    private let hasProjectQuota: Bool

    private static let work = CName("work")

    /// - Parameter root: where the snapshots' directories are.
    /// - Throws: in one line, what this kernel or file system lacks.
    init(root: String) throws {
        try Self.requireOverlay(in: root)
        mountOptions = Self.kernelDefaults.filter(\.isNeeded).map(\.option)
        hasProjectQuota = (try? ProjectQuota.isAvailable(at: DirectoryFD(path: root))) ?? false
    }

    /// Layers are read directly, without a mount. So a file must be wholly in its layer and a directory where its name is, whatever the kernel was built or
    /// loaded with; and a lower directory that was an upper one before is refused with index on.
    private static var kernelDefaults: [(option: String, isNeeded: Bool)] {
        func isOn(_ parameter: String) -> Bool { (try? Files.readText("/sys/module/overlay/parameters/\(parameter)"))?.hasPrefix("Y") ?? false }
        return [
            ("index=off", Files.exists("/sys/module/overlay/parameters/index")), ("metacopy=off", isOn("metacopy")), ("redirect_dir=off", isOn("redirect_dir")),
        ]
    }

    /// Mounts an overlay of two empty directories, nowhere.
    private static func requireOverlay(in root: String) throws {
        let folder = try DirectoryFD(path: root)
        let probe = CName("probe-\(getpid())")
        try? LayerFiles.removeTree(probe, in: folder)
        try folder.makeDirectory(probe)
        defer { try? LayerFiles.removeTree(probe, in: folder) }
        let directory = try folder.directory(probe)
        for name in ["lower", "upper", "work"] { try directory.makeDirectory(CName(name)) }
        let path = "\(root)/\(probe)"
        let context = try FilesystemContext(type: "overlay")
        for (key, value) in [("lowerdir", "\(path)/lower"), ("upperdir", "\(path)/upper"), ("workdir", "\(path)/work")] { try context.set(key, value) }
        _ = try context.mount([])
    }

    func make(_ kind: SnapshotKind, in directory: DirectoryFD, on parent: DirectoryFD?, _ options: SnapshotOptions) throws {
        if kind == .active, let bytes = options.sizeLimit {
            guard hasProjectQuota else {
                throw StorageError(.invalidArgument, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option: invalid argument")
            }
            // Before anything is made in it: what is made inherits the project.
            try ProjectQuota.limit(directory, project: try Self.project(of: directory), to: bytes)
        }
        try directory.makeDirectory(SnapshotFiles.name, mode: 0o755)
        if kind == .active { try directory.makeDirectory(Self.work, mode: 0o711) }
        // The upper directory is the root of what is mounted: it has to look like the one it covers.
        try SnapshotFiles.setRoot(in: directory, like: parent)
        // The upper directory cannot be seen through a mapping: what is in it has the ids of the host.
        if options.rootUID != nil || options.rootGID != nil {
            let status = try directory.status(SnapshotFiles.name)
            try directory.setOwner(SnapshotFiles.name, uid: options.rootUID ?? status.uid, gid: options.rootGID ?? status.gid)
            try directory.setMode(SnapshotFiles.name, status.mode)
        }
    }

    /// A number that no other directory of the file system has: an inode's, out of the range that people give by hand.
    private static func project(of directory: DirectoryFD) throws -> UInt32 {
        UInt32(truncatingIfNeeded: try directory.status(.current).inode) | 0x8000_0000
    }

    func mounts(_ directory: String, _ kind: SnapshotKind, parents: [String], _ options: SnapshotOptions) -> [MountPoint] {
        guard let nearest = parents.first else {
            return [MountPoint(type: "bind", source: "\(directory)/fs", options: [kind == .view ? "ro" : "rw", "rbind"])]
        }
        var words: [String] = []
        if kind == .active {
            words += ["workdir=\(directory)/work", "upperdir=\(directory)/fs"]
        } else if parents.count == 1 {
            return [MountPoint(type: "bind", source: "\(nearest)/fs", options: ["ro", "rbind"] + options.mountOptions)]
        }
        words.append("lowerdir=" + parents.map { "\($0)/fs" }.joined(separator: ":"))
        return [MountPoint(type: "overlay", source: "overlay", options: words + mountOptions + options.mountOptions)]
    }

    func usage(_ directory: DirectoryFD, on parent: DirectoryFD?) throws -> SnapshotUsage {
        try TreeUsage.measure(try directory.directory(SnapshotFiles.name), against: nil, .contents)
    }

    func comparison(_ directory: DirectoryFD) throws -> TreeComparison? { nil }

    func remove(_ name: CName, in directory: DirectoryFD) throws {
        let project = hasProjectQuota ? (try? directory.directory(name)).flatMap { try? Self.project(of: $0) } : nil
        try LayerFiles.removeTree(name, in: directory)
        if let project { ProjectQuota.clear(project, at: directory) }
    }
}
