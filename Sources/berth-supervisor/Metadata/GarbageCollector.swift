import BerthDefaults
import GRDB
import LinuxSystem
import OCISpec
import Synchronization

/// Removes content and snapshots that nothing refers to.
///
/// Marks from images, containers' snapshots, labels of sandboxes, leases and whatever carries `containerd.io/gc.root`, follows the labels `containerd.io/gc.ref.content…` and
/// `containerd.io/gc.ref.snapshot.NAME`, the parents of snapshots and what refers back to something marked (`containerd.io/gc.bref…`), and sweeps the rest, namespace by namespace. Mark and sweep are one write
/// transaction: whatever a pull or a commit adds comes with its lease in the same transaction, so the collector sees both or neither.
///
/// Spec: containerd, docs/garbage-collection.md.
final class GarbageCollector: Sendable {
    private let database: MetadataDatabase
    private let content: ContentStore
    private let snapshotters: SnapshotterRegistry
    private let isScheduled = Mutex(false)

    init(database: MetadataDatabase, content: ContentStore, snapshotters: SnapshotterRegistry) {
        self.database = database
        self.content = content
        self.snapshotters = snapshotters
    }

    /// Collects soon: deletions that follow each other are collected together.
    func schedule(after delay: Duration = .milliseconds(500)) {
        let start = isScheduled.withLock { scheduled in
            defer { scheduled = true }
            return !scheduled
        }
        guard start else { return }
        Task {
            try? await Task.sleep(for: delay)
            isScheduled.withLock { $0 = false }
            do { try await collect() } catch { Log.warn("garbage collection failed", ["error": "\(error)"]) }
        }
    }

    /// Collects now. Directories of snapshots are deleted in the background after it.
    func collect() async throws {
        let (snapshots, blobs) = try await database.writeRemoval { [self] db in
            var snapshots: [Swept] = []
            var blobs: [Digest] = []
            try Self.removeExpiredLeases(db)
            for namespace in try String.fetchAll(db, sql: "SELECT name FROM namespaces") {
                let swept = try collect(namespace, db)
                snapshots += swept.snapshots
                blobs += swept.blobs
            }
            return (snapshots, blobs)
        }
        for one in snapshots { one.snapshotter.discard(one.id) }
        defer { database.reserve.restore() }
        // Files go after the rows' commit, and again inside a transaction: nobody can be adding the same blob.
        guard !blobs.isEmpty else { return }
        try await database.write { [content] db in
            for digest in blobs { try content.removeFileIfUnused(digest, db) }
        }
    }

    private static func removeExpiredLeases(_ db: Database) throws {
        let now = Timestamps.rfc3339(Clock.now)
        for row in try Row.fetchAll(db, sql: "SELECT namespace, id, labels FROM leases WHERE labels LIKE '%containerd.io/gc.expire%'") {
            let labels = Labels.decode(row[2])
            guard let expires = labels["containerd.io/gc.expire"], expires.hasSuffix("Z"), expires.prefix(19) < now.prefix(19) else { continue }
            try db.execute(sql: "DELETE FROM leases WHERE namespace = ? AND id = ?", arguments: [row[0] as String, row[1] as String])
        }
    }

    /// A snapshot whose row is gone.
    private struct Swept {
        let snapshotter: Snapshotter
        let id: Int64
    }

    /// Names of snapshots are each snapshotter's own.
    private struct SnapshotKey: Hashable {
        /// containerd's name.
        let snapshotter: String
        let name: String
    }

    // MARK: Mark

    private struct Graph {
        var content: [Digest: [String: String]] = [:]
        var snapshots: [SnapshotKey: SnapshotTable.Entry] = [:]
        var snapshotKeys: [Int64: SnapshotKey] = [:]
        var marked: Set<Digest> = []
        var markedSnapshots: Set<SnapshotKey> = []
        var pending: [Node] = []
        /// What is kept because of another thing, by that thing: "content/sha256:…", "snapshot/SNAPSHOTTER/NAME", "image/NAME", "container/ID".
        var backReferences: [String: [Node]] = [:]
        /// Resources of flat leases keep themselves only.
        var flat: [Node] = []
    }

    private enum Node {
        case content(Digest)
        case snapshot(SnapshotKey)
    }

    private func collect(_ namespace: String, _ db: Database) throws -> (snapshots: [Swept], blobs: [Digest]) {
        var graph = Graph()
        for row in try Row.fetchAll(db, sql: "SELECT digest, labels FROM content WHERE namespace = ?", arguments: [namespace]) {
            if let digest = try? Digest(parsing: row[0] as String) { graph.content[digest] = Labels.decode(row[1]) }
        }
        for snapshotter in snapshotters.all {
            for entry in try snapshotter.table.list(in: namespace, db) {
                let key = SnapshotKey(snapshotter: snapshotter.name, name: entry.info.name)
                graph.snapshots[key] = entry
                graph.snapshotKeys[entry.id] = key
            }
        }
        if graph.content.isEmpty, graph.snapshots.isEmpty { return ([], []) }
        findBackReferences(&graph)
        try findRoots(namespace, &graph, db)
        try addBackReferences(from: namespace, &graph, db)
        mark(&graph)
        return try sweep(namespace, graph, db)
    }

    private func findRoots(_ namespace: String, _ graph: inout Graph, _ db: Database) throws {
        for digest in try String.fetchAll(db, sql: "SELECT DISTINCT digest FROM images WHERE namespace = ?", arguments: [namespace]) {
            if let digest = try? Digest(parsing: digest) { graph.pending.append(.content(digest)) }
        }
        for labels in try String.fetchAll(
            db, sql: ["images", "containers", "sandboxes"].map { "SELECT labels FROM \($0) WHERE namespace = :namespace AND labels != '{}'" }.joined(separator: " UNION ALL "),
            arguments: ["namespace": namespace])
        {
            follow(Labels.decode(labels), &graph)
        }
        for row in try Row.fetchAll(
            db, sql: "SELECT snapshotter, snapshot_key FROM containers WHERE namespace = ?", arguments: [namespace])
        {
            if let key = self.key(row[0], row[1]) { graph.pending.append(.snapshot(key)) }
        }
        for row in try Row.fetchAll(
            db, sql: """
                SELECT r.type, r.resource, l.labels FROM lease_resources r JOIN leases l ON l.namespace = r.namespace AND l.id = r.lease
                WHERE r.namespace = ?
                """, arguments: [namespace])
        {
            let type: String = row[0]
            let isFlat = Labels.decode(row[2])["containerd.io/gc.flat"] != nil
            let node: Node? =
                switch type {
                case "content": (try? Digest(parsing: row[1] as String)).map { .content($0) }
                case _ where type.hasPrefix("snapshots/"): key(String(type.dropFirst("snapshots/".count)), row[1]).map { .snapshot($0) }
                case "images":
                    try String.fetchOne(db, sql: "SELECT digest FROM images WHERE namespace = ? AND name = ?", arguments: [namespace, row[1] as String])
                        .flatMap { try? Digest(parsing: $0) }.map { .content($0) }
                default: nil
                }
            guard let node else { continue }
            if isFlat { graph.flat.append(node) } else { graph.pending.append(node) }
        }
        for (digest, labels) in graph.content where labels["containerd.io/gc.root"] != nil { graph.pending.append(.content(digest)) }
        for (key, entry) in graph.snapshots where entry.info.labels["containerd.io/gc.root"] != nil { graph.pending.append(.snapshot(key)) }
        // Active snapshots and views belong to the client that made them, which removes them itself: berthd prepares a container's long before
        // the container has a record here. Only what this process was unpacking is not kept for its own sake (its lease does that).
        for (key, entry) in graph.snapshots where entry.info.kind != .committed && !key.name.hasPrefix(Snapshotter.unfinishedPrefix) {
            graph.pending.append(.snapshot(key))
        }
    }

    /// A snapshot by any of its snapshotter's names; nil where there is no such snapshotter.
    private func key(_ snapshotter: String, _ name: String) -> SnapshotKey? {
        let known = snapshotter.isEmpty ? snapshotters.standard.name : StorageDrivers.canonical(snapshotter)
        return known.map { SnapshotKey(snapshotter: $0, name: name) }
    }

    /// Content and snapshots whose labels say that they live as long as another thing does.
    private func findBackReferences(_ graph: inout Graph) {
        for (digest, labels) in graph.content { addBackReferences(labels, of: .content(digest), &graph.backReferences) }
        for (key, entry) in graph.snapshots { addBackReferences(entry.info.labels, of: .snapshot(key), &graph.backReferences) }
    }

    private func addBackReferences(_ labels: [String: String], of node: Node, _ references: inout [String: [Node]]) {
        for (key, value) in labels where key.hasPrefix("containerd.io/gc.bref.") {
            let kind = key.dropFirst("containerd.io/gc.bref.".count)
            for known in ["content", "image", "container"] where kind == known || kind.hasPrefix("\(known).") || kind.hasPrefix("\(known)/") {
                references["\(known)/\(value)", default: []].append(node)
            }
            if kind.hasPrefix("snapshot.") {
                let name = kind.dropFirst("snapshot.".count).split(separator: "/").first.map(String.init) ?? ""
                if let key = self.key(name, value) { references["snapshot/\(key.snapshotter)/\(key.name)", default: []].append(node) }
            }
        }
    }

    /// What lives as long as the namespace's images and containers.
    private func addBackReferences(from namespace: String, _ graph: inout Graph, _ db: Database) throws {
        guard !graph.backReferences.isEmpty else { return }
        for name in try String.fetchAll(db, sql: "SELECT name FROM images WHERE namespace = ?", arguments: [namespace]) {
            graph.pending += graph.backReferences["image/\(name)"] ?? []
        }
        for id in try String.fetchAll(db, sql: "SELECT id FROM containers WHERE namespace = ?", arguments: [namespace]) {
            graph.pending += graph.backReferences["container/\(id)"] ?? []
        }
    }

    private func follow(_ labels: [String: String], _ graph: inout Graph) {
        for (label, value) in labels {
            if label.hasPrefix("containerd.io/gc.ref.content"), let digest = try? Digest(parsing: value) {
                graph.pending.append(.content(digest))
            } else if label.hasPrefix("containerd.io/gc.ref.snapshot.") {
                let rest = label.dropFirst("containerd.io/gc.ref.snapshot.".count)
                if let key = rest.split(separator: "/").first.flatMap({ self.key(String($0), value) }) { graph.pending.append(.snapshot(key)) }
            }
        }
    }

    private func mark(_ graph: inout Graph) {
        for node in graph.flat {
            switch node {
            case .content(let digest): graph.marked.insert(digest)
            case .snapshot(let key): graph.markedSnapshots.insert(key)
            }
        }
        // A flat lease's node may be reached again from elsewhere and is followed then: only what was followed is remembered here.
        var followed: Set<Digest> = []
        var followedSnapshots: Set<SnapshotKey> = []
        while let node = graph.pending.popLast() {
            switch node {
            case .content(let digest):
                guard followed.insert(digest).inserted else { continue }
                graph.marked.insert(digest)
                graph.pending += graph.backReferences["content/\(digest)"] ?? []
                if let labels = graph.content[digest] { follow(labels, &graph) }
            case .snapshot(let key):
                guard followedSnapshots.insert(key).inserted else { continue }
                graph.markedSnapshots.insert(key)
                graph.pending += graph.backReferences["snapshot/\(key.snapshotter)/\(key.name)"] ?? []
                guard let entry = graph.snapshots[key] else { continue }
                follow(entry.info.labels, &graph)
                if let parent = entry.parentID.flatMap({ graph.snapshotKeys[$0] }) { graph.pending.append(.snapshot(parent)) }
            }
        }
        // A parent outlives its children whatever keeps those.
        for key in graph.markedSnapshots {
            var current = graph.snapshots[key]
            while let parent = current?.parentID.flatMap({ graph.snapshotKeys[$0] }) {
                if !graph.markedSnapshots.insert(parent).inserted { break }
                current = graph.snapshots[parent]
            }
        }
    }

    // MARK: Sweep

    private func sweep(_ namespace: String, _ graph: Graph, _ db: Database) throws -> (snapshots: [Swept], blobs: [Digest]) {
        let blobs = graph.content.keys.filter { !graph.marked.contains($0) }
        for digest in blobs {
            try db.execute(sql: "DELETE FROM content WHERE namespace = ? AND digest = ?", arguments: [namespace, digest.description])
        }
        var removed: [Swept] = []
        // Children first. An id says nothing about who is on top of whom, where layers were unpacked side by side: once more for what had a child.
        var rest = graph.snapshots.filter { !graph.markedSnapshots.contains($0.key) }.sorted { $0.value.id > $1.value.id }
        while !rest.isEmpty {
            let before = rest.count
            try rest.removeAll { key, entry in
                guard let snapshotter = snapshotters.all.first(where: { $0.name == key.snapshotter }) else { return false }
                do { try snapshotter.table.delete(entry, db) } catch is StorageError { return false }
                removed.append(Swept(snapshotter: snapshotter, id: entry.id))
                return true
            }
            if rest.count == before { break }
        }
        return (removed, blobs)
    }
}
