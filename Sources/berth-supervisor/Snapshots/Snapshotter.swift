import BerthDefaults

/// What a snapshot is: a directory tree that may still change (active), is only looked at (view) or is there for others to build on (committed).
/// The numbers are those of containerd's API.
enum SnapshotKind: Int64, Sendable {
    case view = 1, active, committed

    /// As filters name it.
    var name: String {
        switch self {
        case .view: "view"
        case .active: "active"
        case .committed: "committed"
        }
    }
}

struct SnapshotInfo: Sendable, Equatable {
    var name: String
    /// Name of the snapshot this one is built on; empty for none.
    var parent: String
    var kind: SnapshotKind
    /// Nanoseconds since 1970.
    var created: Int64
    var updated: Int64
    var labels: [String: String]
}

struct SnapshotUsage: Sendable, Equatable {
    /// Bytes on disk of this snapshot alone, without its parents.
    var size: Int64 = 0
    var inodes: Int64 = 0
}

/// One mount(2), in containerd's terms.
struct MountPoint: Sendable, Equatable {
    var type: String
    var source: String
    var options: [String]
}

/// Keeps directory trees that build on one another. Names are per namespace; a key names an active snapshot or view, a name a committed one, and both
/// share one space.
///
/// Changes go through the database's group commit; `usage` and `cleanup` walk directories and belong on a thread pool. What a call has answered survives a kill; what a kill interrupts is not visible.
///
/// Spec: containerd, core/snapshots.
protocol Snapshotter: Sendable {
    /// The name that clients ask for.
    var name: String { get }

    /// A writable tree on top of `parent` ("" for an empty one).
    func prepare(_ key: String, parent: String, labels: [String: String], in namespace: String, lease: String?) async throws -> [MountPoint]

    /// A tree to look at.
    func view(_ key: String, parent: String, labels: [String: String], in namespace: String, lease: String?) async throws -> [MountPoint]

    /// The mounts of an active snapshot or view.
    func mounts(_ key: String, in namespace: String) throws -> [MountPoint]

    /// Makes an active snapshot a committed one; its key is free afterwards.
    func commit(_ key: String, as name: String, labels: [String: String], in namespace: String, lease: String?) async throws

    /// - Throws: failedPrecondition while another snapshot builds on it.
    func remove(_ key: String, in namespace: String) async throws

    func stat(_ key: String, in namespace: String) throws -> SnapshotInfo

    /// Changes labels by containerd's field paths.
    func update(_ key: String, labels: [String: String], paths: [String], in namespace: String) async throws -> SnapshotInfo

    /// All snapshots of the namespace, by name.
    func list(in namespace: String) throws -> [SnapshotInfo]

    /// What the snapshot takes on disk; counted anew for an active one.
    func usage(_ key: String, in namespace: String) throws -> SnapshotUsage

    /// Frees what removals have left behind. Returns when it is gone.
    func cleanup() throws
}
