import BerthDefaults
import GRDB
import LinuxSystem
import NIOPosix

/// A layer that is being unpacked: a directory that no parent is chosen for yet, so that the layers of an image can be unpacked side by side.
struct UnfinishedLayer: Sendable {
    let id: Int64
    let key: String
    /// `fs` of its directory, where the layer goes.
    let upper: DirectoryFD
}

/// What unpacking needs beyond the protocol: layers whose parent is settled at their commit.
extension OverlaySnapshotter {
    /// Keys of layers that are being unpacked begin so. None of them outlives the process that made it.
    static let unfinishedPrefix = "berth-extract-"

    func beginLayer(_ chainID: String, in namespace: String, lease: String?) async throws -> UnfinishedLayer {
        let key = "\(Self.unfinishedPrefix)\(UInt64.random(in: 0 ... .max)) \(chainID)"
        _ = try await prepare(key, parent: "", labels: ["containerd.io/snapshot.ref": chainID], in: namespace, lease: lease)
        let entry = try database.read { db in try table.get(key, in: namespace, db) }
        return UnfinishedLayer(id: entry.id, key: key, upper: try DirectoryFD(path: upperPath(entry.id)))
    }

    /// Makes the layer a committed snapshot on top of `parent`. Where one of that name is there already, that one counts and this one goes.
    ///
    /// - Parameter hasRoot: the layer said what its root directory looks like; otherwise it looks like the parent's.
    func finishLayer(
        _ layer: UnfinishedLayer, as name: String, parent: String, hasRoot: Bool, labels: [String: String], in namespace: String, lease: String?
    ) async throws {
        let usage = try await pool.runIfActive { [self] in
            if !hasRoot, !parent.isEmpty, let below = try database.read({ db in try table.find(parent, in: namespace, db) }) {
                let directory = try DirectoryFD(path: "\(upperPath(below.id))/..")
                try LayerFiles.copyAttributes(
                    of: LowerLayers.Found(directory: directory, name: Self.upper, status: try directory.status(Self.upper)), to: .current, in: layer.upper)
            }
            try layer.upper.syncFileSystem()
            return try diskUsage(layer.id)
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
        } catch let error as StorageError where error.code == .alreadyExists {
            try await abandonLayer(layer, in: namespace)
        }
    }

    /// Takes away what was unpacked of a layer, to begin it anew.
    func emptyLayer(_ layer: UnfinishedLayer) throws {
        for name in try layer.upper.names() { try LayerFiles.removeTree(CName(name), in: layer.upper) }
    }

    /// Gives a layer up, with what was unpacked of it.
    func abandonLayer(_ layer: UnfinishedLayer, in namespace: String) async throws {
        try await remove(layer.key, in: namespace)
    }

    /// Directories of the snapshot and its parents, topmost first, for looking into them.
    func layerDirectories(_ name: String, in namespace: String) throws -> [DirectoryFD] {
        try database.read { db in
            let entry = try table.get(name, in: namespace, db)
            return try table.chain(from: entry.id, db)
        }.map { try DirectoryFD(path: upperPath($0)) }
    }

    /// Whether a committed snapshot of the name is there.
    func isCommitted(_ name: String, in namespace: String) throws -> Bool {
        try database.read { db in try table.find(name, in: namespace, db)?.info.kind == .committed }
    }

    /// Removes what an earlier process was unpacking. At start-up.
    func removeUnfinishedLayers() throws {
        try database.pool.write { db in
            try db.execute(sql: "DELETE FROM snapshots WHERE name LIKE ? AND parent IS NULL AND kind = 2", arguments: ["\(Self.unfinishedPrefix)%"])
        }
    }
}
