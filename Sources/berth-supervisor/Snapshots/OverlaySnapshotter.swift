import BerthDefaults
import GRDB
import LinuxSystem
import NIOPosix
import OCILayer
import Synchronization

/// Snapshots as layers of overlayfs.
///
/// ```
/// snapshots/overlay/snapshots/ID/fs     the layer: what this snapshot adds to and takes away from its parents
/// snapshots/overlay/snapshots/ID/work   overlayfs' own, for an active snapshot
/// snapshots/overlay/removed/ID          renamed away by a removal, being deleted
/// ```
///
/// Nothing is ever mounted here: clients get the mounts that would show a snapshot. A directory is made before its row is committed and renamed away
/// after its row is gone, so every row has its directory at any instant; what has none of the two is swept at start-up.
final class OverlaySnapshotter: Snapshotter {
    /// containerd's name for it, and the short one. Both mean the same snapshots.
    static let names = ["overlayfs", "overlay"]

    let name = "overlayfs"
    let database: MetadataDatabase
    let table = SnapshotTable(snapshotter: "overlayfs")
    private let root: String
    private let layers: DirectoryFD
    private let removed: DirectoryFD
    private let mountOptions: [String]
    let pool: NIOThreadPool
    private let removals = Mutex(0)
    private let chains = Mutex<[Int64: [Int64]]>([:])

    static let upper = CName("fs")
    private static let work = CName("work")

    /// - Parameter pool: where directories of removed snapshots are deleted.
    init(root: String, database: MetadataDatabase, pool: NIOThreadPool) throws {
        self.root = root
        self.database = database
        self.pool = pool
        for directory in ["snapshots", "removed"] { try Files.makeDirectories("\(root)/\(directory)", mode: 0o700) }
        layers = try DirectoryFD(path: "\(root)/snapshots")
        removed = try DirectoryFD(path: "\(root)/removed")
        // Where index is the kernel's default, a lower directory that was an upper one before would be refused.
        mountOptions = Files.exists("/sys/module/overlay/parameters/index") ? ["index=off"] : []
    }

    func upperPath(_ id: Int64) -> String { "\(root)/snapshots/\(id)/fs" }
    private func workPath(_ id: Int64) -> String { "\(root)/snapshots/\(id)/work" }

    /// A directory that a mount of ours named, opened without a look at the rest of the path: anything but `ID/fs` of this snapshotter is refused.
    func directory(_ path: String) throws -> DirectoryFD {
        let prefix = "\(root)/snapshots/"
        let parts = path.hasPrefix(prefix) ? path.dropFirst(prefix.utf8.count).split(separator: "/", omittingEmptySubsequences: false) : []
        guard parts.count == 2, parts[1] == "fs", let id = Int64(parts[0]) else {
            throw StorageError(.invalidArgument, "\(path) is no directory of a snapshot: invalid argument")
        }
        return try layers.directory(CName("\(id)")).directory(Self.upper)
    }

    // MARK: Making

    func prepare(_ key: String, parent: String, labels: [String: String], in namespace: String, lease: String?) async throws -> [MountPoint] {
        try await create(.active, key, parent: parent, labels: labels, in: namespace, lease: lease)
    }

    func view(_ key: String, parent: String, labels: [String: String], in namespace: String, lease: String?) async throws -> [MountPoint] {
        try await create(.view, key, parent: parent, labels: labels, in: namespace, lease: lease)
    }

    private func create(
        _ kind: SnapshotKind, _ key: String, parent: String, labels: [String: String], in namespace: String, lease: String?
    ) async throws -> [MountPoint] {
        guard !key.isEmpty else { throw StorageError(.invalidArgument, "snapshot key must not be empty: invalid argument") }
        try Labels.validate(labels)
        return try await database.write { [self] db in
            var parentEntry: SnapshotTable.Entry?
            if !parent.isEmpty {
                guard let entry = try table.find(parent, in: namespace, db) else {
                    throw StorageError(.notFound, "failed to create snapshot: missing parent \"\(parent)\" bucket: not found")
                }
                guard entry.info.kind == .committed else {
                    throw StorageError(.invalidArgument, "parent \"\(parent)\" is not committed snapshot: invalid argument")
                }
                parentEntry = entry
            }
            let now = Clock.now
            let info = SnapshotInfo(name: key, parent: parent, kind: kind, created: now, updated: now, labels: labels)
            try MetadataDatabase.ensureNamespace(namespace, db)
            let id = try table.insert(info, parentID: parentEntry?.id, in: namespace, db)
            if let lease { try LeaseResources.add(.snapshot(name, key), to: lease, in: namespace, db) }
            let chain = try parentEntry.map { try parentChain($0.id, db) } ?? []
            // If the commit fails after this, a directory without a row is left, which `cleanup` sweeps.
            try makeDirectories(id, kind: kind, parent: parentEntry?.id, labels: labels)
            return mounts(id, kind: kind, chain: chain)
        }
    }

    private func makeDirectories(_ id: Int64, kind: SnapshotKind, parent: Int64?, labels: [String: String]) throws {
        let name = CName("\(id)")
        do throws(SystemError) { try layers.makeDirectory(name) } catch {
            guard error.errno == .fileExists else { throw error }
            // A commit that failed after this, and the id given again.
            try LayerFiles.removeTree(name, in: layers)
            try layers.makeDirectory(name)
        }
        let directory = try layers.directory(name)
        try directory.makeDirectory(Self.upper, mode: 0o755)
        if kind == .active { try directory.makeDirectory(Self.work, mode: 0o711) }
        // The upper directory is the root of what is mounted: it has to look like the one it covers.
        var attributes: (uid: UInt32, gid: UInt32, mode: UInt32) = (0, 0, 0o755)
        if let parent {
            let status = try layers.directory(CName("\(parent)")).status(Self.upper)
            attributes = (status.uid, status.gid, status.mode)
        }
        if let uid = Self.mappedRoot(labels["containerd.io/snapshot/uidmapping"]) { attributes.uid = uid }
        if let gid = Self.mappedRoot(labels["containerd.io/snapshot/gidmapping"]) { attributes.gid = gid }
        if attributes.uid != 0 || attributes.gid != 0 { try directory.setOwner(Self.upper, uid: attributes.uid, gid: attributes.gid) }
        // Not left to mkdir(2): the process has a umask.
        try directory.setMode(Self.upper, attributes.mode)
    }

    /// What id 0 is outside, of a mapping as containerd's label has it: "0:100000:65536", several by comma.
    private static func mappedRoot(_ mapping: String?) -> UInt32? {
        for part in mapping?.split(separator: ",") ?? [] {
            let numbers = part.split(separator: ":").compactMap { UInt32($0) }
            if numbers.count == 3, numbers[0] == 0 { return numbers[1] }
        }
        return nil
    }

    // MARK: Mounts

    func mounts(_ key: String, in namespace: String) throws -> [MountPoint] {
        try database.read { db in
            let entry = try table.get(key, in: namespace, db)
            guard entry.info.kind != .committed else { throw StorageError(.failedPrecondition, "snapshot \(key) is not active: failed precondition") }
            return mounts(entry.id, kind: entry.info.kind, chain: try entry.parentID.map { try parentChain($0, db) } ?? [])
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
    private func mounts(_ id: Int64, kind: SnapshotKind, chain: [Int64]) -> [MountPoint] {
        guard !chain.isEmpty else {
            return [MountPoint(type: "bind", source: upperPath(id), options: [kind == .view ? "ro" : "rw", "rbind"])]
        }
        var options: [String] = []
        if kind == .active {
            options += ["workdir=\(workPath(id))", "upperdir=\(upperPath(id))"]
        } else if chain.count == 1 {
            return [MountPoint(type: "bind", source: upperPath(chain[0]), options: ["ro", "rbind"])]
        }
        options.append("lowerdir=" + chain.map(upperPath).joined(separator: ":"))
        return [MountPoint(type: "overlay", source: "overlay", options: options + mountOptions)]
    }

    // MARK: Committing

    func commit(_ key: String, as name: String, labels: [String: String], in namespace: String, lease: String?) async throws {
        guard !name.isEmpty else { throw StorageError(.invalidArgument, "snapshot name must not be empty: invalid argument") }
        try Labels.validate(labels)
        let entry = try database.read { db in try table.get(key, in: namespace, db) }
        guard entry.info.kind == .active else { throw StorageError(.failedPrecondition, "snapshot \(key) is not active: failed precondition") }
        let usage = try await pool.runIfActive { [self] in
            // Written out before it can be named: a committed snapshot is complete also after a power cut.
            try layers.directory(CName("\(entry.id)")).syncFileSystem()
            return try diskUsage(entry.id)
        }
        try await database.write { [self] db in
            let entry = try table.get(key, in: namespace, db)
            guard entry.info.kind == .active else { throw StorageError(.failedPrecondition, "snapshot \(key) is not active: failed precondition") }
            try table.commit(entry, as: name, labels: labels, usage: usage, db)
            if let lease { try LeaseResources.add(.snapshot(self.name, name), to: lease, in: namespace, db) }
        }
    }

    // MARK: Removing

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
        removals.withLock { $0 += 1 }
        pool.submit { [self] _ in
            try? LayerFiles.removeTree(name, in: removed)
            removals.withLock { $0 -= 1 }
        }
    }

    func cleanup() throws {
        let known = try database.read { db in try table.identifiers(db) }
        for name in try layers.names() {
            guard let id = Int64(String(decoding: name, as: UTF8.self)), !known.contains(id) else { continue }
            // A snapshot that is being made has its directory first; its row is visible once the writer is through.
            let exists = try database.pool.write { db in try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM snapshots WHERE id = ?)", arguments: [id]) ?? false }
            if !exists { try LayerFiles.removeTree(CName(name), in: layers) }
        }
        for name in try removed.names() { try LayerFiles.removeTree(CName(name), in: removed) }
    }

    // MARK: Asking

    func stat(_ key: String, in namespace: String) throws -> SnapshotInfo {
        try database.read { db in try table.get(key, in: namespace, db).info }
    }

    func update(_ key: String, labels: [String: String], paths: [String], in namespace: String) async throws -> SnapshotInfo {
        try await database.write { [self] db in
            let entry = try table.get(key, in: namespace, db)
            return try table.update(entry, labels: try Labels.updated(entry.info.labels, with: labels, paths: paths), db)
        }
    }

    func list(in namespace: String) throws -> [SnapshotInfo] {
        try database.read { db in try table.list(in: namespace, db).map(\.info) }
    }

    func usage(_ key: String, in namespace: String) throws -> SnapshotUsage {
        let entry = try database.read { db in try table.get(key, in: namespace, db) }
        switch entry.info.kind {
        case .committed: return entry.usage
        case .view: return SnapshotUsage()
        case .active: return try diskUsage(entry.id)
        }
    }

    /// Bytes and inodes of the layer; a file with several names counts once.
    func diskUsage(_ id: Int64) throws -> SnapshotUsage {
        var usage = SnapshotUsage()
        var seen: Set<UInt64> = []
        let directory = try layers.directory(CName("\(id)"))
        var pending: [(DirectoryFD, CName)] = [(directory, Self.upper)]
        while let (parent, name) = pending.popLast() {
            // A container may be changing it meanwhile: what is gone does not count.
            guard let status = try parent.statusIfPresent(name) else { continue }
            if status.linkCount > 1, status.kind != .directory, !seen.insert(status.inode).inserted { continue }
            usage.size += status.allocatedSize
            usage.inodes += 1
            if status.kind == .directory {
                guard let child = try? parent.directory(name) else { continue }
                for entry in try child.names() { pending.append((child, CName(entry))) }
            }
        }
        return usage
    }
}
