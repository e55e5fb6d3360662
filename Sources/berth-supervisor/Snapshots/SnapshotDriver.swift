import BerthDefaults
import LinuxSystem

/// How the files of a snapshotter's snapshots lie on disk. Everything else (names, parents, commits, removals) is `Snapshotter`'s.
///
/// A snapshot has a directory of its own, in which `fs` is what clients see as files; what lies beside `fs` is the driver's. Calls block.
protocol SnapshotDriver: Sendable {
    /// containerd's name for it.
    var name: String { get }

    /// A snapshot's `fs` holds only what it changes, as an upper directory of overlayfs. Otherwise it holds everything.
    var keepsLayersApart: Bool { get }

    /// `make` copies files and takes its time.
    var isSlow: Bool { get }

    /// Makes what a new snapshot needs in `directory`, which is empty and that nobody else knows yet.
    ///
    /// - Parameter parent: the directory of the snapshot that this one is built on; nil for none.
    func make(_ kind: SnapshotKind, in directory: DirectoryFD, on parent: DirectoryFD?, _ options: SnapshotOptions) throws

    /// - Parameters:
    ///   - directory: path of the snapshot's own directory.
    ///   - parents: paths of the directories below it, nearest first.
    func mounts(_ directory: String, _ kind: SnapshotKind, parents: [String], _ options: SnapshotOptions) -> [MountPoint]

    /// Before a snapshot becomes a committed one: returns when its files are on disk.
    func seal(_ directory: DirectoryFD) throws

    /// What the snapshot adds to and changes of the one it is built on.
    func usage(_ directory: DirectoryFD, on parent: DirectoryFD?) throws -> SnapshotUsage

    /// How to tell what `directory` has changed of its parent's files; nil where its `fs` says it by itself.
    func comparison(_ directory: DirectoryFD) throws -> TreeComparison?

    /// Removes the directory of a snapshot with all that is in it.
    func remove(_ name: CName, in directory: DirectoryFD) throws
}

extension SnapshotDriver {
    var keepsLayersApart: Bool { false }
    var isSlow: Bool { false }

    func seal(_ directory: DirectoryFD) throws { try directory.syncFileSystem() }

    /// What is different from the parent, where a snapshot holds everything.
    func usage(_ directory: DirectoryFD, on parent: DirectoryFD?) throws -> SnapshotUsage {
        let files = try directory.directory(SnapshotFiles.name)
        return try TreeUsage.measure(files, against: try parent?.directory(SnapshotFiles.name), try comparison(directory) ?? .contents)
    }
}

/// The one thing in a snapshot's directory that all drivers have.
enum SnapshotFiles {
    static let name = CName("fs")

    /// Gives the root of a new snapshot the owner and mode of the one below it, or those of an empty root.
    static func setRoot(in directory: DirectoryFD, like parent: DirectoryFD?) throws {
        let status = try parent?.status(name)
        try directory.setOwner(name, uid: status?.uid ?? 0, gid: status?.gid ?? 0)
        // Not left to mkdir(2): the process has a umask.
        try directory.setMode(name, status?.mode ?? 0o755)
    }
}

/// What a snapshot's labels ask of its driver.
struct SnapshotOptions: Sendable, Equatable {
    static let uidMappingLabel = "containerd.io/snapshot/uidmapping"
    static let gidMappingLabel = "containerd.io/snapshot/gidmapping"
    /// Bytes that the snapshot itself may take. Ours: containerd has no name for it.
    static let sizeLabel = Defaults.snapshotSizeLabel

    /// "0:100000:65536", several by comma: container id, host id, count.
    var uidMapping: String?
    var gidMapping: String?
    var sizeLimit: UInt64?

    init() {}

    init(labels: [String: String]) throws(StorageError) {
        uidMapping = try Self.mapping(labels[Self.uidMappingLabel], Self.uidMappingLabel)
        gidMapping = try Self.mapping(labels[Self.gidMappingLabel], Self.gidMappingLabel)
        guard let text = labels[Self.sizeLabel] else { return }
        guard let bytes = UInt64(text), bytes > 0, bytes < 1 << 60 else {
            throw StorageError(.invalidArgument, "label \(Self.sizeLabel): \"\(text)\" is not a number of bytes: invalid argument")
        }
        sizeLimit = bytes
    }

    private static func mapping(_ text: String?, _ label: String) throws(StorageError) -> String? {
        guard let text else { return nil }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard parts.allSatisfy({ $0.split(separator: ":", omittingEmptySubsequences: false).compactMap { UInt32($0) }.count == 3 }) else {
            throw StorageError(.invalidArgument, "label \(label): \"\(text)\" is not CONTAINER-ID:HOST-ID:COUNT: invalid argument")
        }
        return text
    }

    /// What id 0 is outside.
    var rootUID: UInt32? { Self.root(uidMapping) }
    var rootGID: UInt32? { Self.root(gidMapping) }

    private static func root(_ mapping: String?) -> UInt32? {
        for part in mapping?.split(separator: ",") ?? [] {
            let numbers = part.split(separator: ":").compactMap { UInt32($0) }
            if numbers.count == 3, numbers[0] == 0 { return numbers[1] }
        }
        return nil
    }

    /// Options of a mount whose files are to be seen with ids of the container.
    var mountOptions: [String] { (uidMapping.map { ["uidmap=\($0)"] } ?? []) + (gidMapping.map { ["gidmap=\($0)"] } ?? []) }
}
