import DurableStore
import GRDB
import NIOPosix

/// Tables of one part of the daemon. Migrations are only ever appended.
protocol DatabaseSchema {
    static func register(in migrator: inout DatabaseMigrator)
}

/// The daemon's memory: what is acknowledged is in here, durable against SIGKILL and power loss.
///
///     container   id TEXT PRIMARY KEY, name TEXT UNIQUE, record BLOB (JSON), image, manifest, rests    ContainerSchema
///     image_use   image TEXT PRIMARY KEY, used INTEGER (nanoseconds since 1970)                   ImageUseSchema
///     setting     name TEXT PRIMARY KEY, value TEXT                                              engine id
///     networks, endpoints, pools, volumes                                                        see the schemas in Networks/ and Volumes/
///
/// WAL with synchronous=FULL: a commit costs one fsync, so a request makes one, and requests that come together share one. Reads on the hot path come from the services' own state.
final class DaemonDatabase: Sendable {
    private let queue: DatabaseQueue
    private let commits: GroupCommit

    /// - Throws: a message that names the file, when it is no database or cannot be opened.
    init(path: String, schemas: [any DatabaseSchema.Type]) throws {
        WALIndex.keepInMemory()
        var configuration = Configuration()
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA foreign_keys = ON")
            try db.execute(sql: "PRAGMA cache_size = -512")
        }
        configuration.journalMode = .wal
        var migrator = DatabaseMigrator()
        SettingSchema.register(in: &migrator)
        for schema in schemas { schema.register(in: &migrator) }
        do {
            queue = try DatabaseQueue(path: path, configuration: configuration)
            try GroupCommit.makeDurable(queue)
            try migrator.migrate(queue)
            commits = GroupCommit(writer: queue, threads: .singleton)
        } catch {
            throw DaemonError.internalError("cannot open the database \(path): \(error)")
        }
    }

    /// One change, committed durably when this returns. What it throws undoes it alone.
    func write<T: Sendable>(_ updates: @Sendable @escaping (Database) throws -> T) async throws -> T {
        do { return try await commits.submit(updates) } catch let error as DatabaseError where error.resultCode == .SQLITE_FULL {
            throw DaemonError.internalError("no space left on device: the daemon's database")
        }
    }

    func read<T: Sendable>(_ query: @Sendable @escaping (Database) throws -> T) async throws -> T { try await queue.read(query) }

    /// Blocks; for start-up, before the daemon answers.
    func readAtStart<T>(_ query: (Database) throws -> T) throws -> T { try queue.read(query) }
    func writeAtStart<T>(_ updates: (Database) throws -> T) throws -> T { try queue.write(updates) }
}

private enum SettingSchema: DatabaseSchema {
    static func register(in migrator: inout DatabaseMigrator) {
        migrator.registerMigration("setting-1") { db in
            try db.execute(sql: "CREATE TABLE setting (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)")
        }
    }
}
