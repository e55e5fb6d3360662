import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import GRDB
import SwiftProtobuf

/// The rows of `containers`, as the messages of containerd's API. All functions run inside the caller's transaction.
enum ContainerRecords {
    private static let columns =
        "id, image, runtime_name, runtime_options, spec, snapshotter, snapshot_key, sandbox, labels, extensions, created, updated"

    /// SQL: whether the labels say how a container's task should be. To the letter that of the index `containers_restart`, or SQLite does not use it.
    static let asksForRestarts = "instr(labels, '\"containerd.io/restart.status\"') > 0"

    /// The containers of all namespaces that the restart monitor looks after.
    static func listRestarted(_ db: Database) throws -> [(namespace: String, container: Containers_Container)] {
        try Row.fetchAll(db, sql: "SELECT \(columns), namespace FROM containers INDEXED BY containers_restart WHERE \(asksForRestarts)").map { (namespace: $0["namespace"], container: try container($0)) }
    }

    static func find(_ id: String, in namespace: String, _ db: Database) throws -> Containers_Container? {
        try Row.fetchOne(
            db, sql: "SELECT \(columns) FROM containers WHERE namespace = ? AND id = ?", arguments: [namespace, id]
        ).map(container)
    }

    static func get(_ id: String, in namespace: String, _ db: Database) throws -> Containers_Container {
        guard let found = try find(id, in: namespace, db) else {
            throw SupervisorError(.notFound, "container \"\(id)\" in namespace \"\(namespace)\": not found")
        }
        return found
    }

    static func list(in namespace: String, _ db: Database) throws -> [Containers_Container] {
        try Row.fetchAll(db, sql: "SELECT \(columns) FROM containers WHERE namespace = ? ORDER BY id", arguments: [namespace]).map(container)
    }

    static func create(_ container: Containers_Container, in namespace: String, _ db: Database) throws -> Containers_Container {
        try MetadataDatabase.ensureNamespace(namespace, db)
        guard try find(container.id, in: namespace, db) == nil else {
            throw SupervisorError(.alreadyExists, "container \"\(container.id)\": already exists")
        }
        var created = container
        created.createdAt = Timestamps.proto(Clock.now)
        created.updatedAt = created.createdAt
        try store(created, in: namespace, db)
        return created
    }

    static func update(_ container: Containers_Container, in namespace: String, _ db: Database) throws -> Containers_Container {
        var updated = container
        updated.updatedAt = Timestamps.proto(Clock.now)
        try store(updated, in: namespace, db)
        return updated
    }

    static func delete(_ id: String, in namespace: String, _ db: Database) throws {
        try db.execute(sql: "DELETE FROM containers WHERE namespace = ? AND id = ?", arguments: [namespace, id])
        guard db.changesCount > 0 else { throw SupervisorError(.notFound, "container \"\(id)\": not found") }
    }

    private static func store(_ container: Containers_Container, in namespace: String, _ db: Database) throws {
        var extensions = Containers_Container()
        extensions.extensions = container.extensions
        try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO containers (namespace, \(columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(
            arguments: [
                namespace, container.id, container.image, container.runtime.name,
                container.runtime.hasOptions ? try container.runtime.options.serializedData() : nil, try container.spec.serializedData(),
                container.snapshotter, container.snapshotKey, container.sandbox, Labels.encode(container.labels),
                container.extensions.isEmpty ? nil : try extensions.serializedData(), Timestamps.nanoseconds(container.createdAt),
                Timestamps.nanoseconds(container.updatedAt),
            ])
    }

    private static func container(_ row: Row) throws -> Containers_Container {
        var container = Containers_Container()
        container.id = row[0]
        container.image = row[1]
        container.runtime.name = row[2]
        if let options: Data = row[3] { container.runtime.options = try Google_Protobuf_Any(serializedBytes: options) }
        container.spec = try Google_Protobuf_Any(serializedBytes: row[4] as Data)
        container.snapshotter = row[5]
        container.snapshotKey = row[6]
        container.sandbox = row[7]
        container.labels = Labels.decode(row[8])
        if let extensions: Data = row[9] { container.extensions = try Containers_Container(serializedBytes: extensions).extensions }
        container.createdAt = Timestamps.proto(row[10])
        container.updatedAt = Timestamps.proto(row[11])
        return container
    }
}
