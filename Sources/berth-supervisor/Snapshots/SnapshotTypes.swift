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
