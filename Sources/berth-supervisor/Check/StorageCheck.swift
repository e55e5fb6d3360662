import BerthDefaults
import GRDB
import Glibc
import LinuxSystem
import OCISpec
import Registry

/// `berth-supervisor fsck`: holds the database against what is on disk, says what differs and what would be done, and does it with `--repair`.
///
/// Runs without a supervisor (it takes the same lock). What is repaired is only what can be had again: blobs come back with the next pull, layers are
/// unpacked from blobs. The files of containers are never touched.
struct StorageCheck {
    /// One difference.
    struct Finding: Equatable, Sendable {
        var what: String
        /// What `--repair` does about it; nil where only its owner can.
        var remedy: String?
    }

    let root: String
    let repairs: Bool
    /// Reads every blob and takes its digest; otherwise only sizes are looked at.
    let readsBlobs: Bool
    let report: (Finding) -> Void

    private var blobs: String { "\(root)/content/blobs" }
    /// Where the snapshots of one snapshotter are.
    private func folder(_ snapshotter: String) -> String { "\(root)/snapshots/\(SnapshotterRegistry.folder(of: snapshotter))/snapshots" }

    /// - Returns: as fsck(8): 0 nothing was found, 1 everything that was found is repaired, 4 something is left.
    /// - Throws: where the database cannot be opened at all.
    func run() throws -> Int32 {
        let path = "\(root)/metadata.db"
        guard Files.exists(path) else { throw StorageError(.notFound, "no database \(path)") }
        var configuration = Configuration()
        configuration.label = "fsck"
        configuration.busyMode = .timeout(5)
        let database = try DatabaseQueue(path: path, configuration: configuration)
        defer { try? database.close() }
        var found = 0, left = 0
        func tell(_ what: String, remedy: String?) {
            found += 1
            if remedy == nil || !repairs { left += 1 }
            report(Finding(what: what, remedy: remedy))
        }
        try database.write { db in
            try checkDatabase(db, tell)
            try checkContent(db, tell)
            try checkBlobFiles(db, tell)
            try checkSnapshots(db, tell)
            try checkSnapshotFolders(db, tell)
            try checkImages(db, tell)
            try checkContainers(db, tell)
        }
        return found == 0 ? 0 : left == 0 ? 1 : 4
    }

    private typealias Tell = (_ what: String, _ remedy: String?) -> Void

    // MARK: Database

    private func checkDatabase(_ db: Database, _ tell: Tell) throws {
        for line in try String.fetchAll(db, sql: "PRAGMA integrity_check") where line != "ok" { tell("database: \(line)", nil) }
        for row in try Row.fetchAll(db, sql: "PRAGMA foreign_key_check") { tell("database: row of \(row[0] as String? ?? "?") refers to nothing", nil) }
    }

    // MARK: Content

    private func checkContent(_ db: Database, _ tell: Tell) throws {
        for row in try Row.fetchAll(db, sql: "SELECT digest, MIN(size), MAX(size), GROUP_CONCAT(namespace) FROM content GROUP BY digest ORDER BY digest") {
            let text: String = row[0]
            guard let digest = try? Digest(parsing: text) else {
                tell("content \"\(text)\" is no digest", nil)
                continue
            }
            let path = "\(blobs)/\(digest.algorithm.rawValue)/\(digest.encoded)"
            guard let fault = fault(of: digest, path: path, smallest: row[1], largest: row[2]) else { continue }
            tell("content \(digest) (\(row[3] as String)): \(fault)", "remove the record; the next pull fetches the blob again")
            guard repairs else { continue }
            try db.execute(sql: "DELETE FROM content WHERE digest = ?", arguments: [text])
            if Files.exists(path) { try Files.remove(path) }
        }
    }

    /// What is wrong with a blob's file; nil where it is right.
    private func fault(of digest: Digest, path: String, smallest: Int64, largest: Int64) -> String? {
        guard let size = (try? Files.status(path)).map({ Int64($0.st_size) }) else { return "the file is missing" }
        guard smallest == largest, size == smallest else { return "the file has \(size) bytes, the record says \(smallest)" }
        guard readsBlobs else { return nil }
        do {
            let source = HashingFile(try Files.open(path), digest.algorithm, name: path)
            let actual = try source.digest()
            return actual == digest ? nil : "the file's digest is \(actual)"
        } catch { return "the file cannot be read: \(error)" }
    }

    private func checkBlobFiles(_ db: Database, _ tell: Tell) throws {
        for algorithm in Digest.Algorithm.allCases {
            let folder = "\(blobs)/\(algorithm.rawValue)"
            guard Files.exists(folder) else { continue }
            let known = try String.fetchSet(db, sql: "SELECT DISTINCT digest FROM content WHERE digest LIKE ?", arguments: ["\(algorithm.rawValue):%"])
            for name in try Files.entries(of: folder).sorted() where !known.contains("\(algorithm.rawValue):\(name)") {
                tell("blob file \(algorithm.rawValue)/\(name) has no record", "remove the file")
                if repairs { try Files.remove("\(folder)/\(name)") }
            }
        }
    }

    // MARK: Snapshots

    private struct Snapshot {
        var id: Int64
        var namespace: String
        var name: String
        var snapshotter: String
        var kind: Int64

        init(_ row: Row) { (id, namespace, name, snapshotter, kind) = (row[0], row[1], row[2], row[3], row[4]) }

        var isCommitted: Bool { kind == SnapshotKind.committed.rawValue }
        /// A view shows the files of another one, except with overlayfs, which has a directory for it.
        var hasFiles: Bool { kind != SnapshotKind.view.rawValue || snapshotter == "overlayfs" }
    }

    private func checkSnapshots(_ db: Database, _ tell: Tell) throws {
        let all = try Row.fetchAll(db, sql: "SELECT id, namespace, name, snapshotter, kind FROM snapshots ORDER BY id DESC").map(Snapshot.init)
        let missing = all.filter { !Files.exists("\(folder($0.snapshotter))/\($0.id)\($0.hasFiles ? "/fs" : "")") }
        for snapshot in missing {
            let above = try descendants(of: snapshot.id, db)
            let what = "snapshot \(snapshot.name) (\(snapshot.namespace), \(snapshot.id)): its directory is missing"
            // A container's own files stand on it: removing them is its owner's decision.
            guard above.allSatisfy(\.isCommitted) else {
                tell("\(what), and containers stand on it", nil)
                continue
            }
            tell(what, above.isEmpty ? "remove the record" : "remove the record and \(above.count) layers on top of it; they are unpacked again from their blobs")
            guard repairs else { continue }
            for one in above + [snapshot] { try db.execute(sql: "DELETE FROM snapshots WHERE id = ?", arguments: [one.id]) }
        }
    }

    /// Everything on top of a snapshot, topmost first.
    private func descendants(of id: Int64, _ db: Database) throws -> [Snapshot] {
        try Row.fetchAll(
            db, sql: """
                WITH RECURSIVE above (id, depth) AS (
                    SELECT id, 1 FROM snapshots WHERE parent = ? UNION ALL SELECT s.id, above.depth + 1 FROM snapshots s JOIN above ON s.parent = above.id
                ) SELECT s.id, s.namespace, s.name, s.snapshotter, s.kind FROM above JOIN snapshots s ON s.id = above.id ORDER BY above.depth DESC
                """, arguments: [id]
        ).map(Snapshot.init)
    }

    private func checkSnapshotFolders(_ db: Database, _ tell: Tell) throws {
        for driver in StorageDrivers.built where Files.exists(folder(driver)) {
            let known = try Int64.fetchSet(db, sql: "SELECT id FROM snapshots WHERE snapshotter = ?", arguments: [driver])
            let folder = try DirectoryFD(path: folder(driver))
            for name in try Files.entries(of: self.folder(driver)).sorted() where Int64(name).map({ !known.contains($0) }) ?? true {
                tell("snapshot folder \(name) has no record", "remove the folder")
                guard repairs else { continue }
                if driver == "btrfs" { try BtrfsDriver.removeSnapshot(CName(name), in: folder) } else { try LayerFiles.removeTree(CName(name), in: folder) }
            }
        }
    }

    // MARK: What refers to them

    private func checkImages(_ db: Database, _ tell: Tell) throws {
        let sql = "SELECT i.namespace, i.name, i.digest FROM images i LEFT JOIN content c ON c.namespace = i.namespace AND c.digest = i.digest WHERE c.digest IS NULL"
        for row in try Row.fetchAll(db, sql: sql) {
            tell("image \(row[1] as String) (\(row[0] as String)): its content \(row[2] as String) is missing; pull or load it again", nil)
        }
    }

    private func checkContainers(_ db: Database, _ tell: Tell) throws {
        let sql = """
            SELECT c.namespace, c.id, c.snapshot_key FROM containers c LEFT JOIN snapshots s ON s.namespace = c.namespace AND s.name = c.snapshot_key
            WHERE c.snapshot_key != '' AND c.snapshotter IN ('', 'overlay', 'overlay2', 'overlayfs', 'btrfs', 'native', 'vfs') AND s.id IS NULL
            """
        for row in try Row.fetchAll(db, sql: sql) {
            tell("container \(row[1] as String) (\(row[0] as String)): its snapshot \(row[2] as String) is missing; remove the container", nil)
        }
    }
}

/// The digest of a whole file.
private struct HashingFile: ~Copyable {
    private let file: OwnedFD
    private let algorithm: Digest.Algorithm
    private let name: String

    init(_ file: consuming OwnedFD, _ algorithm: Digest.Algorithm, name: String) {
        self.file = file
        self.algorithm = algorithm
        self.name = name
    }

    func digest() throws -> Digest {
        var running = RunningDigest(algorithm)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        var offset: Int64 = 0
        while true {
            let count = try file.readSome(into: buffer, at: offset, on: name)
            if count == 0 { return running.digest }
            running.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            offset += Int64(count)
        }
    }
}
