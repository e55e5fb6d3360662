import LinuxSystem

/// Walks over directory trees by descriptors: nothing follows a symbolic link, and a name that changes under way cannot lead anywhere else. Every call blocks.
enum FileTree {
    /// Removes a file or a directory with all that is in it.
    static func remove(_ name: CName, in directory: DirectoryFD) throws(SystemError) {
        do throws(SystemError) {
            try directory.unlink(name)
            return
        } catch {
            if error.errno == .noSuchFile { return }
            guard error.errno == .isDirectory || error.errno == .notPermitted else { throw error }
        }
        // Empty, or something is mounted on it: then nothing of what is mounted is touched.
        do throws(SystemError) {
            try directory.removeDirectory(name)
            return
        } catch {
            guard error.errno == .notEmpty || error.errno == .fileExists else { throw error }
        }
        let inner = try directory.directory(name)
        for child in try inner.names() { try remove(CName(child), in: inner) }
        try directory.removeDirectory(name)
    }

    /// Bytes on disk of everything below, a file with several names once.
    static func size(_ directory: DirectoryFD) throws(SystemError) -> Int64 {
        var seen: Set<UInt64> = []
        return try size(directory, &seen)
    }

    private static func size(_ directory: DirectoryFD, _ seen: inout Set<UInt64>) throws(SystemError) -> Int64 {
        var total: Int64 = 0
        for name in try directory.names() {
            // What vanishes while a container works is not counted.
            guard let status = try directory.statusIfPresent(CName(name)) else { continue }
            if status.kind == .directory {
                if let inner = try? directory.directory(CName(name)) { total += try size(inner, &seen) }
            } else if status.linkCount == 1 || seen.insert(status.inode).inserted {
                total += status.size
            }
        }
        return total
    }
}
