import BerthDefaults
import GRDB
import Glibc
import LinuxSystem
import OCISpec
import Registry

/// How far an ingest is.
struct IngestStatus: Sendable {
    var ref: String
    var offset: Int64
    var total: Int64
    var expected: Digest?
    /// Nanoseconds since 1970.
    var started: Int64
    var updated: Int64
}

/// Writes one ingest. One user at a time, on any thread; a writer that is let go without a commit leaves the ingest for the next one to go on with.
///
/// Safety: handed from thread to thread by its one user, never used by two at once.
final class IngestWriter: @unchecked Sendable {
    private let store: ContentStore
    private let key: String
    private let directory: String
    private let file: OwnedFD
    private var running: RunningDigest
    private let lease: String?
    private var isFinished = false
    private var writtenBack: Int64 = 0

    let ref: String
    let namespace: String
    private(set) var expected: Digest?
    private(set) var total: Int64
    private(set) var offset: Int64 = 0
    private(set) var started: Int64
    private(set) var updated: Int64

    init(store: ContentStore, key: String, ref: String, namespace: String, expected: Digest?, total: Int64, lease: String?) throws {
        self.store = store
        self.key = key
        self.ref = ref
        self.namespace = namespace
        self.lease = lease
        directory = "\(store.root)/ingest/\(key)"
        let earlier = IngestRecord(directory: directory)
        self.expected = expected ?? earlier?.expected
        self.total = total > 0 ? total : earlier?.total ?? 0
        started = earlier?.started ?? Clock.now
        updated = started
        running = RunningDigest(self.expected?.algorithm ?? .sha256)
        if earlier == nil {
            try Files.makeDirectories(directory, mode: 0o700)
            let record = IngestRecord(namespace: namespace, ref: ref, expected: expected, total: total, started: started)
            try Files.replace("\(directory)/about", with: record.bytes, mode: 0o600)
        }
        file = try Files.open("\(directory)/data", O_RDWR | O_CREAT, mode: 0o400)
        try resume()
    }

    deinit {
        if !isFinished { store.release(key) }
    }

    /// Takes the digest of what is there again: the state of a hash function is not kept on disk.
    private func resume() throws {
        let status = try file.status(on: ref)
        guard status.size > 0 else { return }
        updated = status.modifiedSeconds * 1_000_000_000 + Int64(status.modifiedNanoseconds)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        while offset < status.size {
            let count = try file.readSome(into: buffer, at: offset, on: ref)
            if count == 0 { break }
            running.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            offset += Int64(count)
        }
        writtenBack = offset
    }

    var status: IngestStatus { IngestStatus(ref: ref, offset: offset, total: total, expected: expected, started: started, updated: updated) }

    /// Of everything written so far.
    var digest: Digest { running.digest }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        do throws(SystemError) { try file.writeAll(bytes, at: offset, on: "ingest \(ref)") } catch {
            throw StorageError(error.errno == .noSpace ? .resourceExhausted : .internalError, "\(error)")
        }
        running.update(bytes)
        offset += Int64(bytes.count)
        updated = Clock.now
        // The kernel's own time for this is some milliseconds old, and whoever goes on with the ingest, or asks for it, gets the file's.
        try file.setModified(seconds: updated / 1_000_000_000, nanoseconds: Int32(updated % 1_000_000_000), on: "ingest \(ref)")
        if offset - writtenBack >= 16 << 20 {
            file.startWriteback(from: writtenBack, count: offset - writtenBack)
            writtenBack = offset
        }
    }

    /// Forgets everything written so far.
    func truncate() throws {
        try file.setSize(0, on: "ingest \(ref)")
        offset = 0
        writtenBack = 0
        running = RunningDigest(expected?.algorithm ?? .sha256)
    }

    /// A second descriptor of the data, for a reader that follows while it is written.
    func follow() throws(SystemError) -> OwnedFD { try file.duplicate() }

    /// Turns the ingest into content: verified, on disk, named by its digest and known to the namespace, in this order.
    ///
    /// - Throws: failedPrecondition where size or digest are not what was expected (the ingest stays), alreadyExists where the namespace has it (the
    ///   ingest is gone).
    @discardableResult
    func commit(size: Int64 = 0, expected: Digest? = nil, labels: [String: String] = [:]) throws -> Digest {
        guard !isFinished else { throw StorageError(.failedPrecondition, "cannot commit a closed writer") }
        if size > 0, size != offset { throw StorageError(.failedPrecondition, "unexpected commit size \(offset), expected \(size): failed precondition") }
        let actual = digest
        if let expected, expected != actual {
            throw StorageError(.failedPrecondition, "unexpected commit digest \(actual), expected \(expected): failed precondition")
        }
        try file.setMode(0o400, on: ref)
        try file.sync(on: "ingest \(ref)")
        let path = store.blobPath(actual)
        let wasThere = try store.database.write { db in
            if try ContentStore.info(actual, in: namespace, db) != nil {
                // Brought by somebody else meanwhile: kept by this user's lease all the same.
                if let lease { try LeaseResources.add(.content(actual), to: lease, in: namespace, db) }
                return true
            }
            try DirectoryFD(path: directory).rename(
                CName("data"), to: CName(actual.encoded), in: DirectoryFD(path: "\(store.root)/blobs/\(actual.algorithm.rawValue)"))
            // The name must be on disk before the row that speaks of it.
            try DirectoryFD(path: "\(store.root)/blobs/\(actual.algorithm.rawValue)").sync()
            try store.insert(actual, size: offset, labels: labels, in: namespace, lease: lease, db)
            return false
        }
        discard()
        _ = path
        if wasThere { throw ContentStore.present(actual) }
        return actual
    }

    /// Removes the ingest with what was written.
    func discard() {
        guard !isFinished else { return }
        isFinished = true
        ContentStore.removeIngest(directory)
        store.release(key)
    }
}

extension ContentStore {
    static func removeIngest(_ directory: String) {
        // Best effort: what is left is an ingest without a blob, which the next start removes.
        for name in ["about", "data"] { try? Files.remove("\(directory)/\(name)") }
        try? LayerFiles.removeTree(CName(String(directory.lastComponent)), in: DirectoryFD(path: "\(directory)/.."))
    }

    func status(_ ref: String, in namespace: String) throws -> IngestStatus {
        guard let status = ingestStatus("\(root)/ingest/\(Self.ingestKey(ref, in: namespace))") else {
            throw StorageError(.notFound, "ingest ref \(ref): not found")
        }
        return status.status
    }

    /// The ingests of a namespace, by ref.
    func statuses(in namespace: String) throws -> [IngestStatus] {
        try Files.entries(of: "\(root)/ingest").compactMap { ingestStatus("\(root)/ingest/\($0)") }
            .filter { $0.namespace == namespace }.map(\.status).sorted { $0.ref < $1.ref }
    }

    /// Gives an ingest up.
    func abort(_ ref: String, in namespace: String) throws {
        let directory = "\(root)/ingest/\(Self.ingestKey(ref, in: namespace))"
        guard Files.exists(directory) else { throw StorageError(.notFound, "ingest ref \(ref): not found") }
        Self.removeIngest(directory)
    }

    /// Removes ingests that nobody went on with for as long: what interrupted pulls left.
    func removeIngests(olderThan age: Duration) throws {
        let limit = Clock.now - age.components.seconds * 1_000_000_000
        for name in try Files.entries(of: "\(root)/ingest") {
            let directory = "\(root)/ingest/\(name)"
            if let status = ingestStatus(directory), status.status.updated > limit { continue }
            Self.removeIngest(directory)
        }
    }

    private func ingestStatus(_ directory: String) -> (namespace: String, status: IngestStatus)? {
        guard let record = IngestRecord(directory: directory) else { return nil }
        var status = IngestStatus(
            ref: record.ref, offset: 0, total: record.total, expected: record.expected, started: record.started, updated: record.started)
        if let data = try? DirectoryFD(path: directory).status(CName("data")) {
            status.offset = data.size
            status.updated = data.modifiedSeconds * 1_000_000_000 + Int64(data.modifiedNanoseconds)
        }
        return (record.namespace, status)
    }
}

/// The file `about` of an ingest: five lines, the last four after the ref so that any ref without a line break fits.
struct IngestRecord {
    var namespace: String
    var ref: String
    var expected: Digest?
    var total: Int64
    var started: Int64

    var bytes: [UInt8] { Array("\(namespace)\n\(ref)\n\(expected?.description ?? "")\n\(total)\n\(started)\n".utf8) }
}

extension IngestRecord {
    init?(directory: String) {
        guard let text = try? Files.readText("\(directory)/about") else { return nil }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count >= 5, let total = Int64(lines[3]), let started = Int64(lines[4]) else { return nil }
        self.init(namespace: String(lines[0]), ref: String(lines[1]), expected: try? Digest(parsing: lines[2]), total: total, started: started)
    }
}
