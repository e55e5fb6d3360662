import DockerAPI
import FoundationEssentials
import GRDB
import JSONCodec
import Synchronization

/// The containers that exist: by id, by name, by prefix. Lookups take a short lock and no database.
///
/// Names are taken before a container exists (`reserve`), so that two creates cannot both have one.
final class ContainerStore: Sendable {
    private struct Index {
        var byID: [String: ManagedContainer] = [:]
        var idByName: [String: String] = [:]
    }

    private let index = Mutex(Index())
    let database: DaemonDatabase

    init(database: DaemonDatabase) { self.database = database }

    // MARK: Names

    /// - Throws: `.conflict` in dockerd's words when somebody has the name.
    func reserve(name: String, for id: String) throws(DaemonError) {
        let owner = index.withLock { index -> String? in
            if let owner = index.idByName[name], owner != id { return owner }
            index.idByName[name] = id
            return nil
        }
        if let owner {
            throw .conflict(
                "Conflict. The container name \"/\(name)\" is already in use by container \"\(owner)\". You have to remove (or rename) that container to be able to reuse that name.")
        }
    }

    func isTaken(name: String) -> Bool { index.withLock { $0.idByName[name] != nil } }

    func release(name: String, of id: String) {
        index.withLock { if $0.idByName[name] == id { $0.idByName[name] = nil } }
    }

    // MARK: Lookup

    var all: [ManagedContainer] { index.withLock { Array($0.byID.values) } }

    func get(id: String) -> ManagedContainer? { index.withLock { $0.byID[id] } }

    /// By full id, name (with or without a slash) or unique prefix of an id, in this order, as dockerd does.
    ///
    /// - Throws: `.notFound` and `.invalidArgument` in dockerd's words.
    func find(_ nameOrID: String) throws(DaemonError) -> ManagedContainer {
        guard !nameOrID.isEmpty else { throw .invalid("No container name or ID supplied") }
        enum Found { case one(ManagedContainer), none, many }
        let found = index.withLock { index -> Found in
            if let exact = index.byID[nameOrID] { return .one(exact) }
            let name = nameOrID.hasPrefix("/") ? String(nameOrID.dropFirst()) : nameOrID
            if let id = index.idByName[name], let container = index.byID[id] { return .one(container) }
            guard !name.utf8.isEmpty, name.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }) else { return .none }
            var match: ManagedContainer?
            for (id, container) in index.byID where id.hasPrefix(name) {
                if match != nil { return .many }
                match = container
            }
            return match.map { .one($0) } ?? .none
        }
        switch found {
        case .one(let container): return container
        case .none:
            let path = nameOrID.drop { $0 == "/" }
            if path.utf8.contains(UInt8(ascii: "/")), let container = linked(as: path) { return container }
            throw .notFound("No such container: \(nameOrID)")
        case .many: throw .invalid("multiple IDs found with provided prefix: \(nameOrID)")
        }
    }

    // MARK: Changes

    func add(_ container: ManagedContainer) {
        index.withLock {
            $0.byID[container.id] = container
            $0.idByName[container.name] = container.id
        }
    }

    func forget(_ container: ManagedContainer) {
        let name = container.record.name
        index.withLock {
            $0.byID[container.id] = nil
            if $0.idByName[name] == container.id { $0.idByName[name] = nil }
        }
    }

    /// One durable commit of the whole record.
    func save(_ record: ContainerRecord) async throws {
        let json = Data(try JSON.encode(record))
        let id = record.id
        let name = record.name
        let (image, manifest, rests) = (record.image.id, record.image.manifest.digest ?? "", record.restsAtStart)
        try await database.write { db in
            try db.execute(
                literal: """
                    INSERT INTO container (id, name, record, image, manifest, rests) VALUES (\(id), \(name), \(json), \(image), \(manifest), \(rests))
                    ON CONFLICT (id) DO UPDATE SET name = excluded.name, record = excluded.record, image = excluded.image, manifest = excluded.manifest, rests = excluded.rests
                    """)
        }
    }

    /// - Parameter image: of the container: it was in use until now.
    func delete(id: String, image: String) async throws {
        try await database.write { db in
            try db.execute(literal: "DELETE FROM container WHERE id = \(id)")
            if !image.isEmpty { try ImageUses.note(image, at: .now(), db) }
        }
    }

    /// The containers of the last run. Records of those that rest are not looked into yet.
    func load() throws -> [ManagedContainer] {
        try database.readAtStart { db in
            var containers: [ManagedContainer] = []
            let rows = try Row.fetchCursor(db, sql: "SELECT id, name, record, image, manifest, rests FROM container")
            while let row = try rows.next() {
                let stored = StoredContainer(id: row[0], name: row[1], image: row[3], manifest: row[4], json: row[2])
                containers.append(row[5] ? ManagedContainer(stored) : ManagedContainer(stored.decoded(), mayHaveTask: true))
            }
            return containers
        }
    }
}

enum ContainerSchema: DatabaseSchema {
    static func register(in migrator: inout DatabaseMigrator) {
        migrator.registerMigration("container-1") { db in
            try db.execute(sql: "CREATE TABLE container (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, record BLOB NOT NULL) WITHOUT ROWID")
        }
        migrator.registerMigration("container-2") { db in
            // What a start needs beside the records. Rows of before are read as a whole until they are written again.
            try db.execute(
                sql: """
                    ALTER TABLE container ADD COLUMN image TEXT NOT NULL DEFAULT '';
                    ALTER TABLE container ADD COLUMN manifest TEXT NOT NULL DEFAULT '';
                    ALTER TABLE container ADD COLUMN rests BOOLEAN NOT NULL DEFAULT FALSE;
                    """)
        }
    }
}
