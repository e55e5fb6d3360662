import BerthDefaults
import GRDB
import LinuxSystem
import NIOPosix

/// A layer that is being unpacked. Where layers are kept apart no parent is chosen for it yet, so that the layers of an image can be unpacked side by side.
struct UnfinishedLayer: Sendable {
    let id: Int64
    let key: String
    /// `fs` of its directory, where the layer goes.
    let files: DirectoryFD
}

/// What unpacking and comparing layers need beyond containerd's calls.
extension Snapshotter {
    /// Keys of layers that are being unpacked begin so. None of them outlives the process that made it.
    static let unfinishedPrefix = Defaults.temporarySnapshotPrefix

    /// - Parameter parent: name of the layer below. Where layers are kept apart it is looked at only by `finishLayer`.
    func beginLayer(_ chainID: String, on parent: String, in namespace: String, lease: String?) async throws -> UnfinishedLayer {
        let key = "\(Self.unfinishedPrefix)\(UInt64.random(in: 0 ... .max)) \(chainID)"
        let below = driver.keepsLayersApart ? "" : parent
        _ = try await prepare(key, parent: below, labels: ["containerd.io/snapshot.ref": chainID], in: namespace, lease: lease)
        let entry = try database.read { db in try table.get(key, in: namespace, db) }
        return UnfinishedLayer(id: entry.id, key: key, files: try DirectoryFD(path: "\(path(entry.id))/fs"))
    }

    /// Returns when the layer's files are on disk, where layers are kept apart. Before its turn to be committed, together with other layers.
    func writeOut(_ layer: UnfinishedLayer) async throws { if driver.keepsLayersApart { try await syncs.sync(layers) } }

    /// Makes the layer, which was written out, a committed snapshot on top of `parent`. Where one of that name is there already, that one counts and this one goes.
    ///
    /// - Parameter hasRoot: the layer said what its root directory looks like; otherwise it looks like the parent's.
    /// - Returns: whether it is this one that counts, which the lease keeps.
    func finishLayer(
        _ layer: UnfinishedLayer, as name: String, parent: String, hasRoot: Bool, labels: [String: String], in namespace: String, lease: String?
    ) async throws -> Bool {
        let usage = try await pool.runIfActive { [self] in
            if driver.keepsLayersApart, !hasRoot, !parent.isEmpty, let below = try database.read({ db in try table.find(parent, in: namespace, db) }) {
                let directory = try DirectoryFD(path: path(below.id))
                try TreeCopier.copyAttributes(of: SnapshotFiles.name, try directory.status(SnapshotFiles.name), from: directory, to: .current, in: layer.files)
                try layer.files.sync()
            }
            if !driver.keepsLayersApart { try driver.seal(try layers.directory(CName("\(layer.id)"))) }
            return try diskUsage(try database.read { db in try table.get(layer.key, in: namespace, db) })
        }
        do {
            try await database.write { [self] db in
                let entry = try table.get(layer.key, in: namespace, db)
                let parentEntry = parent.isEmpty ? nil : try table.get(parent, in: namespace, db)
                if let parentEntry { try db.execute(sql: "UPDATE snapshots SET parent = ? WHERE id = ?", arguments: [parentEntry.id, entry.id]) }
                try table.commit(entry, as: name, labels: labels, usage: usage, db)
                try LeaseResources.remove(.snapshot(self.name, layer.key), in: namespace, db)
                if let lease { try LeaseResources.add(.snapshot(self.name, name), to: lease, in: namespace, db) }
            }
            return true
        } catch let error as StorageError where error.code == .alreadyExists {
            try await abandonLayer(layer, in: namespace)
            return false
        }
    }

    /// Takes away what was unpacked of a layer that is kept apart, to begin it anew.
    func emptyLayer(_ layer: UnfinishedLayer) throws {
        try Self.empty(layer.files)
    }

    private static func empty(_ files: DirectoryFD) throws {
        for name in try files.names() { try LayerFiles.removeTree(CName(name), in: files) }
    }

    /// Gives a layer up, with what was unpacked of it.
    func abandonLayer(_ layer: UnfinishedLayer, in namespace: String) async throws {
        // The files first: on a full disk the row can be removed only then.
        if driver.keepsLayersApart { try? emptyLayer(layer) }
        try await remove(layer.key, in: namespace)
    }

    /// `fs` of the snapshot and its parents, topmost first, for looking into them.
    func layerDirectories(_ name: String, in namespace: String) throws -> [DirectoryFD] {
        try database.read { db in
            let entry = try table.get(name, in: namespace, db)
            return try table.chain(from: entry.id, db)
        }.map { try DirectoryFD(path: "\(path($0))/fs") }
    }

    /// Whether a committed snapshot of the name is there.
    func isCommitted(_ name: String, in namespace: String) throws -> Bool {
        try database.read { db in try table.find(name, in: namespace, db)?.info.kind == .committed }
    }

    /// Whether a committed snapshot of the name is there, which `lease` keeps from then on: in one transaction, because the collector may run between two.
    func claim(_ name: String, for lease: String, in namespace: String, _ db: Database) throws -> Bool {
        guard try table.find(name, in: namespace, db)?.info.kind == .committed else { return false }
        try LeaseResources.add(.snapshot(self.name, name), to: lease, in: namespace, db)
        return true
    }

    /// Removes what an earlier process was unpacking. At start-up, before `cleanup`. A disk too full to write that down is no reason not to start: their files go, and their rows at another start.
    func removeUnfinishedLayers() throws {
        let layers = try database.read { db in
            try Int64.fetchAll(
                db, sql: "SELECT id FROM snapshots WHERE snapshotter = ? AND name LIKE ? AND kind = 2", arguments: [name, "\(Self.unfinishedPrefix)%"])
        }
        guard !layers.isEmpty else { return }
        // The files first: they may be what the disk is full of.
        for layer in layers where driver.keepsLayersApart {
            try? Self.empty(try files(layer))
        }
        do {
            try database.pool.write { db in
                for layer in layers { try db.execute(sql: "DELETE FROM snapshots WHERE id = ?", arguments: [layer]) }
            }
        } catch let error as DatabaseError where error.resultCode == .SQLITE_FULL {
            Log.warn("layers that were being unpacked stay listed: no space left", ["snapshotter": name, "layers": "\(layers.count)"])
        }
    }

    // MARK: Directories that mounts speak of

    /// The snapshot whose `fs` a mount of ours names: nil for anything but `ROOT/snapshots/ID/fs`, without a look at the rest of the path.
    func identifier(ofFiles path: String) -> Int64? {
        let prefix = "\(root)/snapshots/"
        let parts = path.hasPrefix(prefix) ? path.dropFirst(prefix.utf8.count).split(separator: "/", omittingEmptySubsequences: false) : []
        guard parts.count == 2, parts[1] == "fs" else { return nil }
        return Int64(parts[0])
    }

    func files(_ id: Int64) throws -> DirectoryFD { try layers.directory(CName("\(id)")).directory(SnapshotFiles.name) }

    /// How to tell what `id` has changed of `other`'s files; nil where its own directory says it.
    func comparison(of id: Int64, with other: Int64?) throws -> TreeComparison? {
        guard !driver.keepsLayersApart else { return nil }
        let parent = try database.read { db in try Int64.fetchOne(db, sql: "SELECT parent FROM snapshots WHERE id = ?", arguments: [id]) }
        guard let other, other == parent else { return .contents }
        return try driver.comparison(try layers.directory(CName("\(id)"))) ?? .contents
    }
}
