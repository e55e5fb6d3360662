import GRDB

/// When images were last in use: the moment at which their last container was removed, by image ID. What is in use now is known from the containers.
struct ImageUses: Sendable {
    let database: DaemonDatabase

    func all() async throws -> [String: WallClock] {
        try await database.read { db in
            let rows = try Row.fetchAll(db, sql: "SELECT image, used FROM image_use")
            return Dictionary(rows.map { row in (row["image"] as String, WallClock(nanosecondsSinceEpoch: row["used"])) }) { first, _ in first }
        }
    }

    /// Part of the transaction that removes a container.
    static func note(_ image: String, at moment: WallClock, _ db: Database) throws {
        let nanoseconds = moment.nanosecondsSinceEpoch
        try db.execute(literal: "INSERT INTO image_use (image, used) VALUES (\(image), \(nanoseconds)) ON CONFLICT (image) DO UPDATE SET used = excluded.used")
    }

    /// Images that are gone have no last use.
    func keep(only images: Set<String>) async throws {
        try await database.write { db in
            for image in try String.fetchAll(db, sql: "SELECT image FROM image_use") where !images.contains(image) {
                try db.execute(literal: "DELETE FROM image_use WHERE image = \(image)")
            }
        }
    }
}

enum ImageUseSchema: DatabaseSchema {
    static func register(in migrator: inout DatabaseMigrator) {
        migrator.registerMigration("image-use-1") { db in
            try db.execute(sql: "CREATE TABLE image_use (image TEXT PRIMARY KEY NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID")
        }
    }
}
