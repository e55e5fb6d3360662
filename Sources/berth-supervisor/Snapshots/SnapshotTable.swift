import BerthDefaults
import GRDB

/// The rows of one snapshotter in `snapshots`: which snapshot builds on which. Nothing here touches a directory.
struct SnapshotTable: Sendable {
    let snapshotter: String

    struct Entry: Sendable {
        var id: Int64
        var info: SnapshotInfo
        var parentID: Int64?
        var usage: SnapshotUsage
    }

    private static let columns = """
        s.id, s.name, s.kind, s.parent, s.created, s.updated, s.labels, s.usage_size, s.usage_inodes,
        (SELECT p.name FROM snapshots p WHERE p.id = s.parent)
        """

    private static func entry(_ row: Row) -> Entry {
        Entry(
            id: row[0],
            info: SnapshotInfo(
                name: row[1], parent: row[9] ?? "", kind: SnapshotKind(rawValue: row[2]) ?? .active, created: row[4], updated: row[5],
                labels: Labels.decode(row[6])),
            parentID: row[3], usage: SnapshotUsage(size: row[7], inodes: row[8]))
    }

    func find(_ name: String, in namespace: String, _ db: Database) throws -> Entry? {
        try db.cachedStatementRow(
            "SELECT \(Self.columns) FROM snapshots s WHERE s.namespace = ? AND s.snapshotter = ? AND s.name = ?", [namespace, snapshotter, name]
        ).map(Self.entry)
    }

    func get(_ name: String, in namespace: String, _ db: Database) throws -> Entry {
        guard let entry = try find(name, in: namespace, db) else { throw StorageError(.notFound, "snapshot \(name) does not exist: not found") }
        return entry
    }

    func list(in namespace: String, _ db: Database) throws -> [Entry] {
        try Row.fetchAll(
            db, sql: "SELECT \(Self.columns) FROM snapshots s WHERE s.namespace = ? AND s.snapshotter = ? ORDER BY s.name",
            arguments: [namespace, snapshotter]
        ).map(Self.entry)
    }

    /// Ids from `id` down to the first layer.
    func chain(from id: Int64, _ db: Database) throws -> [Int64] {
        let statement = try db.cachedStatement(
            sql: """
                WITH RECURSIVE chain (id, parent, depth) AS (
                    SELECT id, parent, 0 FROM snapshots WHERE id = ?
                    UNION ALL SELECT s.id, s.parent, chain.depth + 1 FROM snapshots s JOIN chain ON s.id = chain.parent
                ) SELECT id FROM chain ORDER BY depth
                """)
        return try Int64.fetchAll(statement, arguments: [id])
    }

    /// All ids in use by this snapshotter, of all namespaces.
    func identifiers(_ db: Database) throws -> Set<Int64> {
        try Int64.fetchSet(db, sql: "SELECT id FROM snapshots WHERE snapshotter = ?", arguments: [snapshotter])
    }

    func insert(_ info: SnapshotInfo, parentID: Int64?, usage: SnapshotUsage = SnapshotUsage(), in namespace: String, _ db: Database) throws -> Int64 {
        let statement = try db.cachedStatement(
            sql: """
                INSERT INTO snapshots (namespace, snapshotter, name, kind, parent, created, updated, labels, usage_size, usage_inodes)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """)
        do {
            try statement.execute(arguments: [
                namespace, snapshotter, info.name, info.kind.rawValue, parentID, info.created, info.updated, Labels.encode(info.labels), usage.size, usage.inodes,
            ])
        } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
            throw StorageError(.alreadyExists, "snapshot \(info.name): already exists")
        }
        return db.lastInsertedRowID
    }

    /// Makes an active snapshot a committed one under another name.
    func commit(_ entry: Entry, as name: String, labels: [String: String], usage: SnapshotUsage, _ db: Database) throws {
        let now = Clock.now
        do {
            try db.execute(
                sql: """
                    UPDATE snapshots SET name = ?, kind = ?, created = ?, updated = ?, labels = ?, usage_size = ?, usage_inodes = ? WHERE id = ?
                    """,
                arguments: [name, SnapshotKind.committed.rawValue, now, now, Labels.encode(labels), usage.size, usage.inodes, entry.id])
        } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
            throw StorageError(.alreadyExists, "snapshot \(name): already exists")
        }
    }

    func update(_ entry: Entry, labels: [String: String], _ db: Database) throws -> SnapshotInfo {
        var info = entry.info
        info.labels = labels
        info.updated = Clock.now
        try db.execute(
            sql: "UPDATE snapshots SET labels = ?, updated = ? WHERE id = ?", arguments: [Labels.encode(labels), info.updated, entry.id])
        return info
    }

    func delete(_ entry: Entry, _ db: Database) throws {
        let child = try String.fetchOne(db, sql: "SELECT name FROM snapshots WHERE parent = ? LIMIT 1", arguments: [entry.id])
        guard child == nil else { throw StorageError(.failedPrecondition, "cannot remove snapshot with child: failed precondition") }
        try db.execute(sql: "DELETE FROM snapshots WHERE id = ?", arguments: [entry.id])
    }
}

extension Database {
    /// One row of a statement that is compiled once.
    func cachedStatementRow(_ sql: String, _ arguments: StatementArguments) throws -> Row? {
        try Row.fetchOne(try cachedStatement(sql: sql), arguments: arguments)
    }
}
