import BerthDefaults
import GRDB
import LinuxSystem
import NIOPosix
import Synchronization

/// Keeps directory trees that build on one another. Names are per namespace; a key names an active snapshot or view, a name a committed one, and both
/// share one space.
///
/// ```
/// ROOT/snapshots/ID     directory of one snapshot, laid out by the driver
/// ROOT/new/RANDOM       one that is being made, without a row yet
/// ROOT/removed/ID       renamed away by a removal, being deleted
/// ```
///
/// Nothing is ever mounted here: clients get the mounts that would show a snapshot. A directory is whole before its row is committed and renamed away
/// after its row is gone, so every row has its directory at any instant; what has none of the two is swept at start-up. What a call has answered survives
/// a kill; what a kill interrupts is not visible.
///
/// Changes go through the database's group commit; `usage` and `cleanup` walk directories and belong on a thread pool.
///
/// Spec: containerd, core/snapshots.
final class Snapshotter: Sendable {
    let driver: any SnapshotDriver
    /// The name that clients ask for.
    var name: String { driver.name }
    let database: MetadataDatabase
    let table: SnapshotTable
    let root: String
    let layers: DirectoryFD
    private let new: DirectoryFD
    private let removed: DirectoryFD
    let pool: NIOThreadPool
    private let chains = Mutex<[Int64: [Int64]]>([:])
    /// Names in `new` that somebody is working on.
    private let unfinished = Mutex<Set<String>>([])
    /// One removal at a time: `cleanup` finds what is being removed in the background, and is to return when it is gone.
    private let removal = Mutex(())
    let syncs = SharedSync()

    /// - Parameters:
    ///   - root: made if missing.
    ///   - pool: where slow copies are made and directories of removed snapshots are deleted.
    ///   - driver: gets the directory that its snapshots will lie in.
    /// - Throws: what the driver says when it cannot work here.
    init(root: String, database: MetadataDatabase, pool: NIOThreadPool, driver: (_ root: String) throws -> any SnapshotDriver) throws {
        self.root = root
        self.database = database
        self.pool = pool
        for directory in ["snapshots", "new", "removed"] { try Files.makeDirectories("\(root)/\(directory)", mode: 0o700) }
        layers = try DirectoryFD(path: "\(root)/snapshots")
        new = try DirectoryFD(path: "\(root)/new")
        try new.spreadDirectories()
        removed = try DirectoryFD(path: "\(root)/removed")
        self.driver = try driver("\(root)/new")
        table = SnapshotTable(snapshotter: self.driver.name)
    }

    func path(_ id: Int64) -> String { "\(root)/snapshots/\(id)" }

    // MARK: Making

    /// A writable tree on top of `parent` ("" for an empty one).
    func prepare(_ key: String, parent: String, labels: [String: String], in namespace: String, lease: String?) async throws -> [MountPoint] {
        try await create(.active, key, parent: parent, labels: labels, in: namespace, lease: lease)
    }

    /// A tree to look at.
    func view(_ key: String, parent: String, labels: [String: String], in namespace: String, lease: String?) async throws -> [MountPoint] {
        try await create(.view, key, parent: parent, labels: labels, in: namespace, lease: lease)
    }

    private func create(
        _ kind: SnapshotKind, _ key: String, parent: String, labels: [String: String], in namespace: String, lease: String?
    ) async throws -> [MountPoint] {
        guard !key.isEmpty else { throw StorageError(.invalidArgument, "snapshot key must not be empty: invalid argument") }
        try Labels.validate(labels)
        let options = try SnapshotOptions(labels: labels)
        let parentID = try database.read { db in try committedParent(parent, in: namespace, db)?.id }
        let made = CName("\(UInt64.random(in: 0 ... .max))")
        unfinished.withLock { _ = $0.insert(made.description) }
        defer { unfinished.withLock { _ = $0.remove(made.description) } }
        do {
            try await make(kind, at: made, on: parentID, options)
            return try await database.write { [self] db in
                // It may have been removed while files were copied, and another one have taken its name.
                let entry = try committedParent(parent, in: namespace, db)
                guard entry?.id == parentID else { throw Self.missingParent(parent) }
                let now = Clock.now
                let info = SnapshotInfo(name: key, parent: parent, kind: kind, created: now, updated: now, labels: labels)
                try MetadataDatabase.ensureNamespace(namespace, db)
                let id = try table.insert(info, parentID: parentID, in: namespace, db)
                if let lease { try LeaseResources.add(.snapshot(name, key), to: lease, in: namespace, db) }
                // If the commit fails after this, a directory without a row is left, which `cleanup` sweeps.
                try place(made, as: id)
                return mounts(id, kind, chain: try parentID.map { try parentChain($0, db) } ?? [], options)
            }
        } catch {
            try? driver.remove(made, in: new)
            throw error
        }
    }

    private func committedParent(_ parent: String, in namespace: String, _ db: Database) throws -> SnapshotTable.Entry? {
        if parent.isEmpty { return nil }
        guard let entry = try table.find(parent, in: namespace, db) else { throw Self.missingParent(parent) }
        guard entry.info.kind == .committed else { throw StorageError(.invalidArgument, "parent \"\(parent)\" is not committed snapshot: invalid argument") }
        return entry
    }

    private static func missingParent(_ parent: String) -> StorageError {
        StorageError(.notFound, "failed to create snapshot: missing parent \"\(parent)\" bucket: not found")
    }

    private func make(_ kind: SnapshotKind, at name: CName, on parent: Int64?, _ options: SnapshotOptions) async throws {
        let work = { @Sendable [self] in
            try new.makeDirectory(name)
            do {
                try driver.make(kind, in: try new.directory(name), on: try parent.map { try layers.directory(CName("\($0)")) }, options)
            } catch let error as SystemError {
                throw StorageError(error.errno == .noSpace ? .resourceExhausted : .internalError, "failed to create snapshot: \(error)")
            }
        }
        if driver.isSlow { try await BlockingThread.run(work) } else { try work() }
    }

    private func place(_ made: CName, as id: Int64) throws {
        let name = CName("\(id)")
        do throws(SystemError) { try new.rename(made, to: name, in: layers) } catch {
            guard error.errno == .fileExists || error.errno == .notEmpty else { throw error }
            // A commit that failed after this, and the id given again.
            try driver.remove(name, in: layers)
            try new.rename(made, to: name, in: layers)
        }
    }

    // MARK: Mounts

    /// The mounts of an active snapshot or view.
    func mounts(_ key: String, in namespace: String) throws -> [MountPoint] {
        try database.read { db in
            let entry = try table.get(key, in: namespace, db)
            guard entry.info.kind != .committed else { throw StorageError(.failedPrecondition, "snapshot \(key) is not active: failed precondition") }
            let chain = try entry.parentID.map { try parentChain($0, db) } ?? []
            return mounts(entry.id, entry.info.kind, chain: chain, try SnapshotOptions(labels: entry.info.labels))
        }
    }

    /// Parents never change, so a chain once read stays true.
    private func parentChain(_ id: Int64, _ db: Database) throws -> [Int64] {
        if let chain = chains.withLock({ $0[id] }) { return chain }
        let chain = try table.chain(from: id, db)
        chains.withLock {
            if $0.count > 4096 { $0.removeAll() }
            $0[id] = chain
        }
        return chain
    }

    /// - Parameter chain: ids of the parents, nearest first.
    private func mounts(_ id: Int64, _ kind: SnapshotKind, chain: [Int64], _ options: SnapshotOptions) -> [MountPoint] {
        driver.mounts(path(id), kind, parents: chain.map(path), options)
    }

    // MARK: Committing

    /// Makes an active snapshot a committed one; its key is free afterwards.
    func commit(_ key: String, as name: String, labels: [String: String], in namespace: String, lease: String?) async throws {
        guard !name.isEmpty else { throw StorageError(.invalidArgument, "snapshot name must not be empty: invalid argument") }
        try Labels.validate(labels)
        let entry = try database.read { db in
            // Before it is sealed: one that cannot be committed stays as it was.
            guard try table.find(name, in: namespace, db) == nil else { throw StorageError(.alreadyExists, "snapshot \(name): already exists") }
            return try table.get(key, in: namespace, db)
        }
        guard entry.info.kind == .active else { throw StorageError(.failedPrecondition, "snapshot \(key) is not active: failed precondition") }
        let usage = try await pool.runIfActive { [self] in
            // Written out before it can be named: a committed snapshot is complete also after a power cut.
            try driver.seal(try layers.directory(CName("\(entry.id)")))
            return try diskUsage(entry)
        }
        try await database.write { [self] db in
            let entry = try table.get(key, in: namespace, db)
            guard entry.info.kind == .active else { throw StorageError(.failedPrecondition, "snapshot \(key) is not active: failed precondition") }
            try table.commit(entry, as: name, labels: labels, usage: usage, db)
            if let lease { try LeaseResources.add(.snapshot(self.name, name), to: lease, in: namespace, db) }
        }
    }

    // MARK: Removing

    /// - Throws: failedPrecondition while another snapshot builds on it.
    func remove(_ key: String, in namespace: String) async throws {
        let id = try await database.writeRemoval { [self] db in
            let entry = try table.get(key, in: namespace, db)
            try table.delete(entry, db)
            return entry.id
        }
        discard(id)
    }

    /// Renames the directory of a snapshot without a row away and deletes it in the background.
    func discard(_ id: Int64) {
        chains.withLock { $0[id] = nil }
        let name = CName("\(id)")
        do throws(SystemError) { try layers.rename(name, to: name, in: removed) } catch { return }
        pool.submit { [self] _ in
            do { try removeAway(name) } catch { Log.warn("a removed snapshot is left until the next start", ["id": "\(id)", "error": "\(error)"]) }
        }
    }

    /// Frees what removals and interrupted calls have left behind. Returns when it is gone.
    func cleanup() throws {
        let known = try database.read { db in try table.identifiers(db) }
        for name in try layers.names() {
            guard let id = Int64(String(decoding: name, as: UTF8.self)), !known.contains(id) else { continue }
            // A snapshot that is being made has its directory first; its row is visible once the writer is through.
            let exists = try database.pool.write { db in try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM snapshots WHERE id = ?)", arguments: [id]) ?? false }
            if !exists { try driver.remove(CName(name), in: layers) }
        }
        for name in try new.names() where !unfinished.withLock({ $0.contains(String(decoding: name, as: UTF8.self)) }) { try driver.remove(CName(name), in: new) }
        for name in try removed.names() { try removeAway(CName(name)) }
    }

    private func removeAway(_ name: CName) throws {
        try removal.withLock { _ in
            guard try removed.statusIfPresent(name) != nil else { return }
            try driver.remove(name, in: removed)
        }
    }

    // MARK: Asking

    func stat(_ key: String, in namespace: String) throws -> SnapshotInfo {
        try database.read { db in try table.get(key, in: namespace, db).info }
    }

    /// Changes labels by containerd's field paths.
    func update(_ key: String, labels: [String: String], paths: [String], in namespace: String) async throws -> SnapshotInfo {
        try await database.write { [self] db in
            let entry = try table.get(key, in: namespace, db)
            return try table.update(entry, labels: try Labels.updated(entry.info.labels, with: labels, paths: paths), db)
        }
    }

    /// All snapshots of the namespace, by name.
    func list(in namespace: String) throws -> [SnapshotInfo] {
        try database.read { db in try table.list(in: namespace, db).map(\.info) }
    }

    /// What the snapshot takes on disk beyond its parent; counted anew for an active one.
    func usage(_ key: String, in namespace: String) throws -> SnapshotUsage {
        let entry = try database.read { db in try table.get(key, in: namespace, db) }
        switch entry.info.kind {
        case .committed: return entry.usage
        case .view: return SnapshotUsage()
        case .active: return try diskUsage(entry)
        }
    }

    func diskUsage(_ entry: SnapshotTable.Entry) throws -> SnapshotUsage {
        try driver.usage(try layers.directory(CName("\(entry.id)")), on: try entry.parentID.map { try layers.directory(CName("\($0)")) })
    }
}
