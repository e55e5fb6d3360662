import GRDBSQLite

/// Where SQLite has the index of a write-ahead log.
package enum WALIndex {
    /// Databases that this process opens from now on have it in the process's memory and not in a file beside the database, which other processes could
    /// share: they are locked for as long as they are open, which they are by their daemon's own lock anyway.
    ///
    /// The file is mapped and written through the mapping. On a file system that takes new blocks for what is overwritten (btrfs, reflinked files, ZFS) such a
    /// write ends the process with SIGBUS when the disk is full.
    package static func keepInMemory() { _ = isKept }

    private static let isKept: Bool = {
        // In every SQLite on Unix: https://sqlite.org/vfs.html#standard_unix_vfses
        guard let exclusive = sqlite3_vfs_find("unix-excl") else { return false }
        return sqlite3_vfs_register(exclusive, 1) == SQLITE_OK
    }()
}
