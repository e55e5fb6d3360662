import BerthDefaults
import GRDB
import LinuxSystem
import OCISpec
import Synchronization

/// Removes content and snapshots that nothing refers to.
///
/// Marks from images, containers' snapshots, leases and whatever carries `containerd.io/gc.root`, follows the labels `containerd.io/gc.ref.content…` and
/// `containerd.io/gc.ref.snapshot.NAME`, the parents of snapshots and what refers back to something marked (`containerd.io/gc.bref…`), and sweeps the rest, namespace by namespace. Mark and sweep are one write
/// transaction: whatever a pull or a commit adds comes with its lease in the same transaction, so the collector sees both or neither.
///
/// Spec: containerd, docs/garbage-collection.md.
final class GarbageCollector: Sendable {
    private let database: MetadataDatabase
    private let content: ContentStore
    private let overlay: OverlaySnapshotter
    private let isScheduled = Mutex(false)

    init(database: MetadataDatabase, content: ContentStore, overlay: OverlaySnapshotter) {
        self.database = database
        self.content = content
        self.overlay = overlay
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
            var snapshots: [Int64] = []
            var blobs: [Digest] = []
            try Self.removeExpiredLeases(db)
            for namespace in try String.fetchAll(db, sql: "SELECT name FROM namespaces") {
                let swept = try collect(namespace, db)
                snapshots += swept.snapshots
                blobs += swept.blobs
            }
            return (snapshots, blobs)
        }
        for id in snapshots { overlay.discard(id) }
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

    // MARK: Mark

    private struct Graph {
        var content: [Digest: [String: String]] = [:]
        var snapshots: [String: SnapshotTable.Entry] = [:]
        var snapshotNames: [Int64: String] = [:]
        var marked: Set<Digest> = []
        var markedSnapshots: Set<String> = []
        var pending: [Node] = []
        /// What is kept because of another thing, by that thing: "content/sha256:…", "snapshot/NAME", "image/NAME", "container/ID".
        var backReferences: [String: [Node]] = [:]
        /// Resources of flat leases keep themselves only.
        var flat: [Node] = []
    }

    private enum Node {
        case content(Digest)
        case snapshot(String)
    }

    private func collect(_ namespace: String, _ db: Database) throws -> (snapshots: [Int64], blobs: [Digest]) {
        var graph = Graph()
        for row in try Row.fetchAll(db, sql: "SELECT digest, labels FROM content WHERE namespace = ?", arguments: [namespace]) {
            if let digest = try? Digest(parsing: row[0] as String) { graph.content[digest] = Labels.decode(row[1]) }
        }
        for entry in try overlay.table.list(in: namespace, db) {
            graph.snapshots[entry.info.name] = entry
            graph.snapshotNames[entry.id] = entry.info.name
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
            db, sql: "SELECT labels FROM images WHERE namespace = ? AND labels != '{}' UNION ALL SELECT labels FROM containers WHERE namespace = ? AND labels != '{}'",
            arguments: [namespace, namespace])
        {
            follow(Labels.decode(labels), &graph)
        }
        for row in try Row.fetchAll(
            db, sql: "SELECT snapshot_key FROM containers WHERE namespace = ? AND snapshotter IN ('overlayfs', 'overlay', '')", arguments: [namespace])
        {
            graph.pending.append(.snapshot(row[0]))
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
                case "snapshots/overlayfs", "snapshots/overlay": .snapshot(row[1])
                case "images":
                    try String.fetchOne(db, sql: "SELECT digest FROM images WHERE namespace = ? AND name = ?", arguments: [namespace, row[1] as String])
                        .flatMap { try? Digest(parsing: $0) }.map { .content($0) }
                default: nil
                }
            guard let node else { continue }
            if isFlat { graph.flat.append(node) } else { graph.pending.append(node) }
        }
        for (digest, labels) in graph.content where labels["containerd.io/gc.root"] != nil { graph.pending.append(.content(digest)) }
        for (name, entry) in graph.snapshots where entry.info.labels["containerd.io/gc.root"] != nil { graph.pending.append(.snapshot(name)) }
        // Active snapshots and views belong to the client that made them, which removes them itself: berthd prepares a container's long before
        // the container has a record here. Only what this process was unpacking is not kept for its own sake (its lease does that).
        for (name, entry) in graph.snapshots where entry.info.kind != .committed && !name.hasPrefix(OverlaySnapshotter.unfinishedPrefix) {
            graph.pending.append(.snapshot(name))
        }
    }

    /// Content and snapshots whose labels say that they live as long as another thing does.
    private func findBackReferences(_ graph: inout Graph) {
        for (digest, labels) in graph.content { Self.addBackReferences(labels, of: .content(digest), &graph.backReferences) }
        for (name, entry) in graph.snapshots { Self.addBackReferences(entry.info.labels, of: .snapshot(name), &graph.backReferences) }
    }

    private static func addBackReferences(_ labels: [String: String], of node: Node, _ references: inout [String: [Node]]) {
        for (key, value) in labels where key.hasPrefix("containerd.io/gc.bref.") {
            let kind = key.dropFirst("containerd.io/gc.bref.".count)
            for known in ["content", "image", "container"] where kind == known || kind.hasPrefix("\(known).") || kind.hasPrefix("\(known)/") {
                references["\(known)/\(value)", default: []].append(node)
            }
            if kind.hasPrefix("snapshot.") {
                let name = kind.dropFirst("snapshot.".count).split(separator: "/").first.map(String.init) ?? ""
                if OverlaySnapshotter.names.contains(name) { references["snapshot/\(value)", default: []].append(node) }
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
        for (key, value) in labels {
            if key.hasPrefix("containerd.io/gc.ref.content"), let digest = try? Digest(parsing: value) {
                graph.pending.append(.content(digest))
            } else if key.hasPrefix("containerd.io/gc.ref.snapshot.") {
                let rest = key.dropFirst("containerd.io/gc.ref.snapshot.".count)
                if rest.split(separator: "/").first.map({ OverlaySnapshotter.names.contains(String($0)) }) ?? false { graph.pending.append(.snapshot(value)) }
            }
        }
    }

    private func mark(_ graph: inout Graph) {
        for node in graph.flat {
            switch node {
            case .content(let digest): graph.marked.insert(digest)
            case .snapshot(let name): graph.markedSnapshots.insert(name)
            }
        }
        // A flat lease's node may be reached again from elsewhere and is followed then: only what was followed is remembered here.
        var followed: Set<Digest> = []
        var followedSnapshots: Set<String> = []
        while let node = graph.pending.popLast() {
            switch node {
            case .content(let digest):
                guard followed.insert(digest).inserted else { continue }
                graph.marked.insert(digest)
                graph.pending += graph.backReferences["content/\(digest)"] ?? []
                if let labels = graph.content[digest] { follow(labels, &graph) }
            case .snapshot(let name):
                guard followedSnapshots.insert(name).inserted else { continue }
                graph.markedSnapshots.insert(name)
                graph.pending += graph.backReferences["snapshot/\(name)"] ?? []
                guard let entry = graph.snapshots[name] else { continue }
                follow(entry.info.labels, &graph)
                if let parent = entry.parentID.flatMap({ graph.snapshotNames[$0] }) { graph.pending.append(.snapshot(parent)) }
            }
        }
        // A parent outlives its children whatever keeps those.
        for name in graph.markedSnapshots {
            var current = graph.snapshots[name]
            while let parent = current?.parentID.flatMap({ graph.snapshotNames[$0] }) {
                if !graph.markedSnapshots.insert(parent).inserted { break }
                current = graph.snapshots[parent]
            }
        }
    }

    // MARK: Sweep

    private func sweep(_ namespace: String, _ graph: Graph, _ db: Database) throws -> (snapshots: [Int64], blobs: [Digest]) {
        let blobs = graph.content.keys.filter { !graph.marked.contains($0) }
        for digest in blobs {
            try db.execute(sql: "DELETE FROM content WHERE namespace = ? AND digest = ?", arguments: [namespace, digest.description])
        }
        var removed: [Int64] = []
        // Children first.
        for entry in graph.snapshots.values.filter({ !graph.markedSnapshots.contains($0.info.name) }).sorted(by: { $0.id > $1.id }) {
            try? removed.append(removing(entry, db))
        }
        // An id says nothing about who is on top of whom, where layers were unpacked side by side: once more for what had a child.
        var rest = graph.snapshots.values.filter { !graph.markedSnapshots.contains($0.info.name) && !removed.contains($0.id) }
        while !rest.isEmpty {
            let before = rest.count
            rest.removeAll { entry in
                guard let id = try? removing(entry, db) else { return false }
                removed.append(id)
                return true
            }
            if rest.count == before { break }
        }
        return (removed, blobs)
    }

    private func removing(_ entry: SnapshotTable.Entry, _ db: Database) throws -> Int64 {
        try overlay.table.delete(entry, db)
        return entry.id
    }
}
