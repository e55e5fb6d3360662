import FoundationEssentials
import GRDB
import JSONCodec

/// A volume as it is stored. Its files are in `volumes/NAME/_data`.
struct VolumeRecord: Sendable, Codable, Equatable {
    var name: String
    var driver: String
    var created: WallClock
    var options: [String: String]
    /// nil and empty are told apart: inspect shows the former as null.
    var labels: [String: String]?

    /// Docker marks volumes without a name of their own with this label.
    static let anonymousLabel = "com.docker.volume.anonymous"
    var isAnonymous: Bool { labels?[Self.anonymousLabel] != nil }
}

/// The tables of volumes.
///
///     volume        name TEXT PRIMARY KEY, record BLOB (JSON of VolumeRecord)
///     volume_user   volume TEXT, container TEXT, anonymous INTEGER    one row for each container that has the volume, running or not
enum VolumeSchema: DatabaseSchema {
    static func register(in migrator: inout DatabaseMigrator) {
        migrator.registerMigration("volume-1") { db in
            try db.execute(
                sql: """
                    CREATE TABLE volume (name TEXT PRIMARY KEY NOT NULL, record BLOB NOT NULL);
                    CREATE TABLE volume_user (
                        volume TEXT NOT NULL REFERENCES volume (name) ON DELETE CASCADE, container TEXT NOT NULL, anonymous INTEGER NOT NULL,
                        PRIMARY KEY (volume, container)
                    ) WITHOUT ROWID;
                    """)
        }
    }
}

/// Who uses a volume.
struct VolumeUser: Sendable, Hashable {
    var container: String
    /// The volume was made for this container without a name.
    var anonymous: Bool
}

struct VolumeStore: Sendable {
    let database: DaemonDatabase

    func load() async throws -> (records: [VolumeRecord], users: [String: Set<VolumeUser>]) {
        try await database.read { db in
            let records = try Data.fetchAll(db, sql: "SELECT record FROM volume").map { try JSONDecoder().decode(VolumeRecord.self, from: $0) }
            var users: [String: Set<VolumeUser>] = [:]
            for row in try Row.fetchAll(db, sql: "SELECT volume, container, anonymous FROM volume_user") {
                users[row["volume"], default: []].insert(VolumeUser(container: row["container"], anonymous: row["anonymous"]))
            }
            return (records, users)
        }
    }

    /// One commit for the volume, when it is new, and its user, when there is one.
    func add(_ record: VolumeRecord?, user: (volume: String, VolumeUser)?) async throws {
        try await database.write { db in
            if let record {
                try db.execute(sql: "INSERT INTO volume (name, record) VALUES (?, ?)", arguments: [record.name, Data(try JSON.encode(record))])
            }
            if let (volume, user) = user {
                try db.execute(
                    sql: "INSERT OR IGNORE INTO volume_user (volume, container, anonymous) VALUES (?, ?, ?)", arguments: [volume, user.container, user.anonymous])
            }
        }
    }

    func remove(volumes: [String], users container: String? = nil) async throws {
        try await database.write { db in
            if let container { try db.execute(sql: "DELETE FROM volume_user WHERE container = ?", arguments: [container]) }
            for name in volumes { try db.execute(sql: "DELETE FROM volume WHERE name = ?", arguments: [name]) }
        }
    }
}
