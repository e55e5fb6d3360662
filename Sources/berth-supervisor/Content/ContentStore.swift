import BerthDefaults
import GRDB
import LinuxSystem
import OCISpec
import Registry
import Synchronization

/// What is known of a blob in one namespace.
struct ContentInfo: Sendable, Equatable {
    var digest: Digest
    var size: Int64
    /// Nanoseconds since 1970.
    var created: Int64
    var updated: Int64
    var labels: [String: String]
}

/// Blobs by digest. What is being written is an ingest, and becomes content at its commit: complete, verified and on disk, or not at all.
///
/// ```
/// content/blobs/sha256/HEX        the blobs, read-only
/// content/ingest/HEX/data         an ingest's bytes so far; HEX is the digest of namespace and ref
/// content/ingest/HEX/about        namespace, ref, expected digest, total and start, one a line
/// ```
///
/// All calls block on the disk: they run on a thread pool. A blob's file is renamed into place and removed only inside a write transaction of the
/// database, so that a commit and a removal of the same digest cannot cross.
final class ContentStore: Sendable {
    let root: String
    let database: any DatabaseWriter
    private let busy = Mutex<Set<String>>([])

    init(root: String, database: any DatabaseWriter) throws(SystemError) {
        self.root = root
        self.database = database
        for algorithm in Digest.Algorithm.allCases { try Files.makeDirectories("\(root)/blobs/\(algorithm.rawValue)", mode: 0o700) }
        try Files.makeDirectories("\(root)/ingest", mode: 0o700)
    }

    func blobPath(_ digest: Digest) -> String { "\(root)/blobs/\(digest.algorithm.rawValue)/\(digest.encoded)" }

    static func missing(_ digest: Digest) -> StorageError { StorageError(.notFound, "content digest \(digest): not found") }

    // MARK: Reading

    func info(_ digest: Digest, in namespace: String) throws -> ContentInfo {
        guard let info = try database.read({ db in try Self.info(digest, in: namespace, db) }) else { throw Self.missing(digest) }
        return info
    }

    func exists(_ digest: Digest, in namespace: String) throws -> Bool {
        try database.read { db in try Self.info(digest, in: namespace, db) } != nil
    }

    static func info(_ digest: Digest, in namespace: String, _ db: Database) throws -> ContentInfo? {
        try Row.fetchOne(
            db, sql: "SELECT digest, size, created, updated, labels FROM content WHERE namespace = ? AND digest = ?",
            arguments: [namespace, digest.description]
        ).flatMap(info)
    }

    /// What the namespace has of the blob, which `lease` keeps from then on: looking and keeping in one transaction, because the collector may run
    /// between two. Whoever only looked has nothing.
    static func claim(_ digest: Digest, for lease: String, in namespace: String, _ db: Database) throws -> ContentInfo? {
        guard let info = try info(digest, in: namespace, db) else { return nil }
        try LeaseResources.add(.content(digest), to: lease, in: namespace, db)
        return info
    }

    private static func info(_ row: Row) -> ContentInfo? {
        let text: String = row[0]
        guard let digest = try? Digest(parsing: text) else { return nil }
        return ContentInfo(digest: digest, size: row[1], created: row[2], updated: row[3], labels: Labels.decode(row[4]))
    }

    /// Everything the namespace has, by digest.
    func list(in namespace: String) throws -> [ContentInfo] {
        try database.read { db in
            try Row.fetchAll(
                db, sql: "SELECT digest, size, created, updated, labels FROM content WHERE namespace = ? ORDER BY digest", arguments: [namespace]
            ).compactMap(Self.info)
        }
    }

    /// The blob, open for reading, and its size.
    func open(_ digest: Digest, in namespace: String) throws -> (file: OpenBlob, size: Int64) {
        let info = try info(digest, in: namespace)
        return (try OpenBlob(path: blobPath(digest), digest: digest), info.size)
    }

    /// All of a blob that is small by its nature: a manifest, an index, a configuration.
    func read(_ digest: Digest, in namespace: String, limit: Int64 = 8 << 20) throws -> [UInt8] {
        let (file, size) = try open(digest, in: namespace)
        guard size <= limit else { throw StorageError(.invalidArgument, "content \(digest) of \(size) bytes is too large to be a manifest or configuration") }
        var bytes = [UInt8](repeating: 0, count: Int(size))
        let count = try bytes.withUnsafeMutableBytes { try file.readAll(into: $0, at: 0) }
        guard count == bytes.count else { throw StorageError(.internalError, "content \(digest) is \(count) bytes on disk, expected \(size)") }
        return bytes
    }

    // MARK: Labels and removal

    /// Changes labels. `paths` are containerd's field paths: "labels" or "labels.KEY"; none replaces all labels.
    func update(_ digest: Digest, labels: [String: String], paths: [String], in namespace: String) throws -> ContentInfo {
        try database.write { db in
            guard var info = try Self.info(digest, in: namespace, db) else { throw Self.missing(digest) }
            info.labels = try Labels.updated(info.labels, with: labels, paths: paths)
            info.updated = Clock.now
            try db.execute(
                sql: "UPDATE content SET labels = ?, updated = ? WHERE namespace = ? AND digest = ?",
                arguments: [Labels.encode(info.labels), info.updated, namespace, digest.description])
            return info
        }
    }

    /// Sets labels beside those that are there; an empty value takes one away.
    func setLabels(_ labels: [String: String], on digest: Digest, in namespace: String) throws {
        _ = try update(digest, labels: labels, paths: labels.keys.map { "labels.\($0)" }, in: namespace)
    }

    /// Takes the blob away from the namespace; its bytes go with the last namespace that has it.
    func delete(_ digest: Digest, in namespace: String) throws {
        try database.write { db in
            try db.execute(sql: "DELETE FROM content WHERE namespace = ? AND digest = ?", arguments: [namespace, digest.description])
            guard db.changesCount > 0 else { throw Self.missing(digest) }
        }
        // After the commit, so that a row never speaks of a file that is gone; in a transaction, so that nobody is adding the blob meanwhile.
        try database.write { db in try removeFileIfUnused(digest, db) }
    }

    func removeFileIfUnused(_ digest: Digest, _ db: Database) throws {
        let used = try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM content WHERE digest = ?)", arguments: [digest.description]) ?? false
        guard !used else { return }
        do { try Files.remove(blobPath(digest)) } catch {
            if error.errno != .noSuchFile { throw error }
        }
    }

    /// Removes files of blobs that no namespace knows: what a kill between rename and commit left. At start-up, before anything is served.
    func removeUnknownFiles() throws {
        for algorithm in Digest.Algorithm.allCases {
            let directory = "\(root)/blobs/\(algorithm.rawValue)"
            let known = try database.read { db in
                try Set(String.fetchAll(db, sql: "SELECT digest FROM content WHERE digest LIKE ?", arguments: ["\(algorithm.rawValue):%"]))
            }
            for name in try Files.entries(of: directory) where !known.contains("\(algorithm.rawValue):\(name)") {
                try Files.remove("\(directory)/\(name)")
            }
        }
    }

    // MARK: Writing

    /// Begins to write under `ref`, or goes on where an earlier writer stopped.
    ///
    /// - Throws: alreadyExists when the namespace has the expected blob; a blob that only another namespace has is taken over, which is said the same
    ///   way. unavailable while another writer holds the ref.
    func writer(_ ref: String, expected: Digest? = nil, total: Int64 = 0, in namespace: String, lease: String? = nil) throws -> IngestWriter {
        guard !ref.isEmpty, ref.utf8.count <= 4096, !ref.contains("\n") else { throw StorageError(.invalidArgument, "invalid ingest ref") }
        if let expected, try adopt(expected, in: namespace, lease: lease) { throw Self.present(expected) }
        let key = Self.ingestKey(ref, in: namespace)
        guard busy.withLock({ $0.insert(key).inserted }) else { throw StorageError(.unavailable, "ref \(ref) locked: unavailable") }
        do {
            return try IngestWriter(store: self, key: key, ref: ref, namespace: namespace, expected: expected, total: total, lease: lease)
        } catch {
            release(key)
            throw error
        }
    }

    static func present(_ digest: Digest) -> StorageError { StorageError(.alreadyExists, "content \(digest): already exists") }

    func release(_ key: String) { busy.withLock { _ = $0.remove(key) } }

    /// Whether the namespace has the blob, after giving it one that another namespace has already verified.
    private func adopt(_ digest: Digest, in namespace: String, lease: String?) throws -> Bool {
        // Most blobs are new: that costs no write.
        guard try database.read({ db in try Self.anyNamespace(has: digest, db) }) != nil else { return false }
        return try database.write { db in
            // Between the two, whoever had it may have let it go. Where that is this namespace, the row stays as it is.
            guard let size = try Self.anyNamespace(has: digest, db) else { return false }
            try insert(digest, size: size, labels: [:], in: namespace, lease: lease, db)
            return true
        }
    }

    /// The size of a blob that some namespace has.
    private static func anyNamespace(has digest: Digest, _ db: Database) throws -> Int64? {
        try Int64.fetchOne(db, sql: "SELECT size FROM content WHERE digest = ? LIMIT 1", arguments: [digest.description])
    }

    func insert(_ digest: Digest, size: Int64, labels: [String: String], in namespace: String, lease: String?, _ db: Database) throws {
        let now = Clock.now
        try MetadataDatabase.ensureNamespace(namespace, db)
        try db.execute(
            sql: "INSERT OR IGNORE INTO content (namespace, digest, size, created, updated, labels) VALUES (?, ?, ?, ?, ?, ?)",
            arguments: [namespace, digest.description, size, now, now, Labels.encode(labels)])
        if let lease { try LeaseResources.add(.content(digest), to: lease, in: namespace, db) }
    }

    /// Writes a small blob at once.
    @discardableResult
    func add(_ bytes: [UInt8], labels: [String: String] = [:], in namespace: String, lease: String? = nil) throws -> Digest {
        let digest = RunningDigest.of(bytes)
        do {
            // A ref of its own: two transfers may bring the same document at the same time.
            let writer = try writer("berth-add-\(digest)-\(UInt64.random(in: 0 ... .max))", expected: digest, total: Int64(bytes.count), in: namespace, lease: lease)
            try bytes.withUnsafeBytes { try writer.write($0) }
            _ = try writer.commit(size: Int64(bytes.count), expected: digest, labels: labels)
        } catch let error as StorageError where error.code == .alreadyExists {
            if !labels.isEmpty { try setLabels(labels, on: digest, in: namespace) }
        }
        return digest
    }

    static func ingestKey(_ ref: String, in namespace: String) -> String {
        RunningDigest.of(Array(namespace.utf8) + [UInt8(ascii: "/")] + Array(ref.utf8)).encoded
    }
}

/// A blob that stays readable while it is held, also after its removal.
final class OpenBlob: Sendable {
    private let file: OwnedFD
    private let digest: Digest

    init(path: String, digest: Digest) throws {
        do { file = try Files.open(path) } catch {
            if error.errno == .noSuchFile { throw StorageError(.internalError, "content \(digest) is missing on disk") }
            throw error
        }
        self.digest = digest
    }

    /// Reads until the buffer is full or the blob ends; returns how many bytes.
    func readAll(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(SystemError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = try file.readSome(into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...]), at: offset + Int64(done), on: "\(digest)")
            if count == 0 { break }
            done += count
        }
        return done
    }
}

extension ContentStore {
    /// A blob that is known to hold the same once it is uncompressed.
    static func compressed(of diffID: Digest, in namespace: String, _ db: Database) throws -> ContentInfo? {
        let rows = try Row.fetchAll(
            db, sql: "SELECT digest FROM content WHERE namespace = ? AND digest != ? AND labels LIKE ?",
            arguments: [namespace, diffID.description, "%\"containerd.io/uncompressed\":\"\(diffID)\"%"])
        return try rows.first.flatMap { try? Digest(parsing: $0[0] as String) }.flatMap { try info($0, in: namespace, db) }
    }
}
