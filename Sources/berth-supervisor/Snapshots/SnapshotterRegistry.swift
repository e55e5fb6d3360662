import BerthDefaults
import LinuxSystem
import NIOPosix

/// The snapshotters that work on this machine, by the names that clients and `--storage-driver` may use for them.
struct SnapshotterRegistry: Sendable {
    /// In the order in which one is chosen when nobody says which.
    let all: [Snapshotter]
    let standard: Snapshotter
    /// What keeps the others from working here, by containerd's name.
    private let missing: [String: String]

    private static let makers: [(name: String, make: @Sendable (_ root: String) throws -> any SnapshotDriver)] = [
        ("overlayfs", { try OverlayDriver(root: $0) }), ("btrfs", { try BtrfsDriver(root: $0) }), ("native", { _ in NativeDriver() }),
    ]

    /// - Parameters:
    ///   - root: each snapshotter gets a directory below it.
    ///   - chosen: the one for requests that name none; empty for the first that works.
    /// - Throws: when the chosen one does not work here.
    init(root: String, chosen: String, database: MetadataDatabase, pool: NIOThreadPool) throws {
        var all: [Snapshotter] = []
        var missing: [String: String] = [:]
        for (name, make) in Self.makers {
            do { all.append(try Snapshotter(root: "\(root)/\(Self.folder(of: name))", database: database, pool: pool, driver: make)) } catch {
                missing[name] = "\(error)"
            }
        }
        self.all = all
        self.missing = missing
        guard let first = all.first else { throw StorageError(.internalError, "no storage driver works in \(root)") }
        standard = chosen.isEmpty ? first : try Self.find(chosen, all, missing)
    }

    /// The directory of a snapshotter, below the one of all of them.
    static func folder(of name: String) -> String { name == "overlayfs" ? "overlay" : name }

    /// - Parameter name: empty for the standard one.
    func get(_ name: String) throws(StorageError) -> Snapshotter { name.isEmpty ? standard : try Self.find(name, all, missing) }

    private static func find(_ name: String, _ all: [Snapshotter], _ missing: [String: String]) throws(StorageError) -> Snapshotter {
        guard let wanted = StorageDrivers.canonical(name) else {
            throw StorageError(.invalidArgument, "snapshotter \(name) was not found: \(StorageDrivers.explanation(name)): not found")
        }
        if let snapshotter = all.first(where: { $0.name == wanted }) { return snapshotter }
        throw StorageError(.invalidArgument, "snapshotter \(name) was not found: it does not work here: \(missing[wanted] ?? ""): not found")
    }

    /// `fs` of a snapshot, by the path in a mount of ours.
    func directory(_ path: String) throws -> DirectoryFD {
        let (snapshotter, id) = try locate(path)
        return try snapshotter.files(id)
    }

    /// Whose files a mount of ours names.
    func locate(_ path: String) throws(StorageError) -> (snapshotter: Snapshotter, id: Int64) {
        for snapshotter in all {
            if let id = snapshotter.identifier(ofFiles: path) { return (snapshotter, id) }
        }
        throw StorageError(.invalidArgument, "\(path) is no directory of a snapshot: invalid argument")
    }
}
