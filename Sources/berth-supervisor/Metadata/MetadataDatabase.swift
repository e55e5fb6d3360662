import BerthDefaults
import DurableStore
import GRDB
import LinuxSystem
import NIOPosix

/// The supervisor's one database: what exists, in every namespace. What runs is with the shims, bytes are in the content store.
///
/// ```
/// namespaces       name     labels
///                  "moby"   {}
/// containers       namespace  id    image                  runtime_name             runtime_options  spec   snapshotter  snapshot_key  sandbox
///                  "moby"     "0f…" "docker.io/…:latest"   "io.containerd.berth.v1" Any bytes        Any …  "overlayfs"  "0f…"         ""
///                  labels  extensions       created  updated
///                  {…}     message bytes    ns       ns
/// sandboxes        namespace  id     runtime_name               runtime_options  spec   labels  extensions     sandboxer  created  updated
///                  "k8s.io"   "pod"  "io.containerd.runc.v2"    Any bytes        Any …  {}      message bytes  ""         ns       ns
/// images           namespace  name                              media_type  digest       size  annotations  labels  created  updated
///                  "moby"     "docker.io/library/busybox:…"     "application/…" "sha256:…" 610  {}          {}      ns       ns
/// leases           namespace  id      labels   created
///                  "moby"     "pull"  {"containerd.io/gc.expire":"2026-…"}  ns
/// lease_resources  namespace  lease   type       resource
///                  "moby"     "pull"  "content"  "sha256:…"
/// content, snapshots          StorageTables.swift
/// ```
///
/// Names are unique within a namespace. A namespace's row appears with the first thing in it. Times are nanoseconds since 1970, labels JSON objects of
/// strings, messages as protobuf writes them (`extensions` is a `Container` or `Sandbox` with only that field).
///
/// SQLite in WAL mode with `synchronous=FULL`: what `write` has returned from survives SIGKILL and power loss. Readers see a snapshot and never wait
/// for the writer.
final class MetadataDatabase: Sendable {
    /// For synchronous reads and for storage's writes, which block anyway.
    let pool: DatabasePool
    private let commits: GroupCommit
    let reserve: DiskReserve

    /// Opens the database, creating it or bringing its schema up to date.
    /// - Parameter threads: one thread of it writes.
    init(path: String, threads: NIOThreadPool) throws {
        reserve = DiskReserve(path.lastSlash == nil ? "." : path.parentPath)
        reserve.releaseIfScarce()
        WALIndex.keepInMemory()
        var configuration = Configuration()
        configuration.label = "metadata"
        // Made as they are needed: the event loop must not wait for a reader that walks the whole database.
        configuration.maximumReaderCount = 6
        configuration.persistentReadOnlyConnections = true
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { db in
            try db.execute(
                sql: """
                    PRAGMA cache_size = -512;
                    PRAGMA wal_autocheckpoint = 500;
                    PRAGMA journal_size_limit = 4194304;
                    """)
        }
        pool = try DatabasePool(path: path, configuration: configuration)
        try GroupCommit.makeDurable(pool)
        try Self.migrator.migrate(pool)
        commits = GroupCommit(writer: pool, threads: threads)
    }

    /// Changes the database, durably by the time this returns. Changes that arrive together share one commit; each is undone alone when it throws.
    func write<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await commits.submit(body)
    }

    /// A change that is on the way to freeing space: on a full disk it is written down at the cost of the reserve.
    func writeRemoval<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        do { return try await commits.submit(body) } catch let error as DatabaseError where error.resultCode == .SQLITE_FULL {
            guard reserve.release() else { throw error }
            return try await commits.submit(body)
        }
    }

    /// Reads from a snapshot, on the calling thread: for queries of some microseconds.
    func read<Value>(_ body: (Database) throws -> Value) throws -> Value { try pool.read(body) }

    func close() throws { try pool.close() }

    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in
            try db.execute(
                sql: """
                    CREATE TABLE namespaces (name TEXT NOT NULL PRIMARY KEY, labels TEXT NOT NULL DEFAULT '{}') WITHOUT ROWID;
                    CREATE TABLE containers (
                        namespace TEXT NOT NULL,
                        id TEXT NOT NULL,
                        image TEXT NOT NULL,
                        runtime_name TEXT NOT NULL,
                        runtime_options BLOB,
                        spec BLOB NOT NULL,
                        snapshotter TEXT NOT NULL,
                        snapshot_key TEXT NOT NULL,
                        sandbox TEXT NOT NULL,
                        labels TEXT NOT NULL,
                        extensions BLOB,
                        created INTEGER NOT NULL,
                        updated INTEGER NOT NULL,
                        PRIMARY KEY (namespace, id)
                    );
                    CREATE INDEX containers_snapshot ON containers (namespace, snapshotter, snapshot_key);
                    CREATE TABLE images (
                        namespace TEXT NOT NULL,
                        name TEXT NOT NULL,
                        media_type TEXT NOT NULL,
                        digest TEXT NOT NULL,
                        size INTEGER NOT NULL,
                        annotations TEXT NOT NULL DEFAULT '{}',
                        labels TEXT NOT NULL DEFAULT '{}',
                        created INTEGER NOT NULL,
                        updated INTEGER NOT NULL,
                        PRIMARY KEY (namespace, name)
                    );
                    CREATE INDEX images_digest ON images (digest);
                    CREATE TABLE leases (
                        namespace TEXT NOT NULL,
                        id TEXT NOT NULL,
                        labels TEXT NOT NULL DEFAULT '{}',
                        created INTEGER NOT NULL,
                        PRIMARY KEY (namespace, id)
                    ) WITHOUT ROWID;
                    CREATE TABLE lease_resources (
                        namespace TEXT NOT NULL,
                        lease TEXT NOT NULL,
                        type TEXT NOT NULL,
                        resource TEXT NOT NULL,
                        PRIMARY KEY (namespace, lease, type, resource),
                        FOREIGN KEY (namespace, lease) REFERENCES leases (namespace, id) ON DELETE CASCADE
                    ) WITHOUT ROWID;
                    CREATE INDEX lease_resources_resource ON lease_resources (namespace, type, resource);
                    """)
            try StorageTables.create(in: db)
        }
        migrator.registerMigration("2") { db in
            // The restart monitor asks every few seconds, however many containers there are that it has nothing to do with.
            try db.execute(sql: "CREATE INDEX containers_restart ON containers (namespace, id) WHERE \(ContainerRecords.asksForRestarts)")
        }
        migrator.registerMigration("3", migrate: SandboxRecords.createTable)
        return migrator
    }

    /// Makes sure that the namespace is listed. Part of every transaction that creates something in it.
    static func ensureNamespace(_ name: String, _ db: Database) throws {
        try db.execute(literal: "INSERT OR IGNORE INTO namespaces (name) VALUES (\(name))")
    }
}
