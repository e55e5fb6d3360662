import DockerAPI
import FoundationEssentials
import GRDB
import JSONCodec

/// The table of networks.
///
///     network   id TEXT PRIMARY KEY, name TEXT UNIQUE, record BLOB (JSON of NetworkRecord)
///
/// Endpoints are part of the containers' records: a container and its place in a network are one commit.
enum NetworkSchema: DatabaseSchema {
    static func register(in migrator: inout DatabaseMigrator) {
        migrator.registerMigration("network-1") { db in
            try db.execute(sql: "CREATE TABLE network (id TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE NOT NULL, record BLOB NOT NULL)")
        }
    }
}

struct NetworkStore: Sendable {
    let database: DaemonDatabase

    func load() async throws -> [NetworkRecord] {
        try await database.read { db in
            try Data.fetchAll(db, sql: "SELECT record FROM network").map { try JSONDecoder().decode(NetworkRecord.self, from: $0) }
        }
    }

    func insert(_ records: [NetworkRecord]) async throws {
        try await database.write { db in
            for record in records {
                try db.execute(
                    sql: "INSERT OR REPLACE INTO network (id, name, record) VALUES (?, ?, ?)",
                    arguments: [record.id, record.name, Data(try JSON.encode(record))])
            }
        }
    }

    func delete(id: String) async throws {
        try await database.write { db in try db.execute(sql: "DELETE FROM network WHERE id = ?", arguments: [id]) }
    }
}
