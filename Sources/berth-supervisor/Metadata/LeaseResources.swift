import GRDB
import OCISpec

/// Something that a lease keeps from the garbage collector, in containerd's words for its kinds.
enum LeaseResource: Sendable {
    case content(Digest)
    /// Snapshotter and name.
    case snapshot(String, String)
    case ingest(String)

    var type: String {
        switch self {
        case .content: "content"
        case .snapshot(let snapshotter, _): "snapshots/\(snapshotter)"
        case .ingest: "ingests"
        }
    }

    var id: String {
        switch self {
        case .content(let digest): digest.description
        case .snapshot(_, let name): name
        case .ingest(let ref): ref
        }
    }
}

/// The rows of `lease_resources` that storage writes: in the same transaction as what they protect.
enum LeaseResources {
    static func add(_ resource: LeaseResource, to lease: String, in namespace: String, _ db: Database) throws {
        // A lease that does not exist (any more) protects nothing; the client hears of that from the lease service.
        try db.execute(
            sql: """
                INSERT OR IGNORE INTO lease_resources (namespace, lease, type, resource)
                SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM leases WHERE namespace = ? AND id = ?)
                """,
            arguments: [namespace, lease, resource.type, resource.id, namespace, lease])
    }

    /// The thing is gone: no lease has it any more.
    static func remove(_ resource: LeaseResource, in namespace: String, _ db: Database) throws {
        try db.execute(
            sql: "DELETE FROM lease_resources WHERE namespace = ? AND type = ? AND resource = ?", arguments: [namespace, resource.type, resource.id])
    }
}
