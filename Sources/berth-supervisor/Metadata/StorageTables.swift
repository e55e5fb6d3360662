import GRDB

/// The tables of the content store and the snapshotters. One migration of `MetadataDatabase` creates them.
///
/// ```
/// content    namespace  digest            size  created  updated  labels
///            "moby"     "sha256:0123…"    3402  ns       ns       {"containerd.io/gc.ref.content.l.0":"sha256:…"}
/// snapshots  id  namespace  snapshotter  name            kind  parent  created  updated  labels  usage_size  usage_inodes
///            17  "moby"     "overlayfs"  "sha256:ab…"    3     16      ns       ns       {}      10485760    412
/// ```
///
/// A blob's bytes are shared by all namespaces, its row is not: a namespace sees what it has a row for. A snapshot's id is also the name of its
/// directory and is never used twice. Times are nanoseconds since 1970. Labels are a JSON object of strings.
enum StorageTables {
    static func create(in db: Database) throws {
        try db.execute(
            sql: """
                CREATE TABLE content (
                    namespace TEXT NOT NULL,
                    digest TEXT NOT NULL,
                    size INTEGER NOT NULL,
                    created INTEGER NOT NULL,
                    updated INTEGER NOT NULL,
                    labels TEXT NOT NULL DEFAULT '{}',
                    PRIMARY KEY (namespace, digest)
                ) WITHOUT ROWID;
                CREATE INDEX content_digest ON content (digest);
                CREATE TABLE snapshots (
                    id INTEGER PRIMARY KEY AUTOINCREMENT,
                    namespace TEXT NOT NULL,
                    snapshotter TEXT NOT NULL,
                    name TEXT NOT NULL,
                    kind INTEGER NOT NULL,
                    parent INTEGER REFERENCES snapshots (id) ON DELETE RESTRICT,
                    created INTEGER NOT NULL,
                    updated INTEGER NOT NULL,
                    labels TEXT NOT NULL DEFAULT '{}',
                    usage_size INTEGER NOT NULL DEFAULT 0,
                    usage_inodes INTEGER NOT NULL DEFAULT 0,
                    UNIQUE (namespace, snapshotter, name)
                );
                CREATE INDEX snapshots_parent ON snapshots (parent);
                """)
    }
}
