import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import GRDB
import SwiftProtobuf

/// The rows of `sandboxes`, as the messages of containerd's API. All functions run inside the caller's transaction.
enum SandboxRecords {
    private static let columns = "id, runtime_name, runtime_options, spec, labels, extensions, sandboxer, created, updated"

    static func createTable(_ db: Database) throws {
        try db.execute(
            sql: """
                CREATE TABLE sandboxes (
                    namespace TEXT NOT NULL,
                    id TEXT NOT NULL,
                    runtime_name TEXT NOT NULL,
                    runtime_options BLOB,
                    spec BLOB,
                    labels TEXT NOT NULL,
                    extensions BLOB,
                    sandboxer TEXT NOT NULL,
                    created INTEGER NOT NULL,
                    updated INTEGER NOT NULL,
                    PRIMARY KEY (namespace, id)
                ) WITHOUT ROWID;
                """)
    }

    static func get(_ id: String, in namespace: String, _ db: Database) throws -> Types_Sandbox {
        guard let row = try Row.fetchOne(db, sql: "SELECT \(columns) FROM sandboxes WHERE namespace = ? AND id = ?", arguments: [namespace, id]) else {
            throw SupervisorError(.notFound, "sandbox \"\(id)\": not found")
        }
        return try sandbox(row)
    }

    static func list(in namespace: String, _ db: Database) throws -> [Types_Sandbox] {
        try Row.fetchAll(db, sql: "SELECT \(columns) FROM sandboxes WHERE namespace = ? ORDER BY id", arguments: [namespace]).map(sandbox)
    }

    static func create(_ sandbox: Types_Sandbox, in namespace: String, _ db: Database) throws -> Types_Sandbox {
        try MetadataDatabase.ensureNamespace(namespace, db)
        let isThere = try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM sandboxes WHERE namespace = ? AND id = ?)", arguments: [namespace, sandbox.sandboxID])
        if isThere == true { throw SupervisorError(.alreadyExists, "sandbox \"\(sandbox.sandboxID)\": already exists") }
        var created = sandbox
        created.createdAt = Timestamps.proto(Clock.now)
        created.updatedAt = created.createdAt
        try store(created, in: namespace, db)
        return created
    }

    static func update(_ sandbox: Types_Sandbox, in namespace: String, _ db: Database) throws -> Types_Sandbox {
        var updated = sandbox
        updated.updatedAt = Timestamps.proto(Clock.now)
        try store(updated, in: namespace, db)
        return updated
    }

    static func delete(_ id: String, in namespace: String, _ db: Database) throws {
        try db.execute(sql: "DELETE FROM sandboxes WHERE namespace = ? AND id = ?", arguments: [namespace, id])
        guard db.changesCount > 0 else { throw SupervisorError(.notFound, "sandbox \"\(id)\": not found") }
    }

    private static func store(_ sandbox: Types_Sandbox, in namespace: String, _ db: Database) throws {
        let extensions = Types_Sandbox.with { $0.extensions = sandbox.extensions }
        try db.execute(
            sql: "INSERT OR REPLACE INTO sandboxes (namespace, \(columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            arguments: [
                namespace, sandbox.sandboxID, sandbox.runtime.name, sandbox.runtime.hasOptions ? try sandbox.runtime.options.serializedData() : nil,
                sandbox.hasSpec ? try sandbox.spec.serializedData() : nil, Labels.encode(sandbox.labels),
                sandbox.extensions.isEmpty ? nil : try extensions.serializedData(), sandbox.sandboxer, Timestamps.nanoseconds(sandbox.createdAt),
                Timestamps.nanoseconds(sandbox.updatedAt),
            ])
    }

    private static func sandbox(_ row: Row) throws -> Types_Sandbox {
        var sandbox = Types_Sandbox()
        sandbox.sandboxID = row[0]
        sandbox.runtime.name = row[1]
        if let options: Data = row[2] { sandbox.runtime.options = try Google_Protobuf_Any(serializedBytes: options) }
        if let spec: Data = row[3] { sandbox.spec = try Google_Protobuf_Any(serializedBytes: spec) }
        sandbox.labels = Labels.decode(row[4])
        if let extensions: Data = row[5] { sandbox.extensions = try Types_Sandbox(serializedBytes: extensions).extensions }
        sandbox.sandboxer = row[6]
        sandbox.createdAt = Timestamps.proto(row[7])
        sandbox.updatedAt = Timestamps.proto(row[8])
        return sandbox
    }
}
