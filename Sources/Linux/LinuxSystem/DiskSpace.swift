import Glibc

/// How much room a file system has, and keeping some of it.
package enum DiskSpace {
    /// Bytes that this process may still write to the file system of `path`.
    ///
    /// Kernel: statvfs(3).
    package static func free(at path: String) throws(SystemError) -> Int64 {
        var state = statvfs()
        try syscall("statvfs", on: path) { statvfs(path, &state) }
        return Int64(clamping: UInt64(state.f_bavail) * UInt64(state.f_frsize))
    }

    /// Bytes that are taken and bytes that there are on the file system of `path`, as df counts them: without what is kept for root.
    package static func usage(at path: String) throws(SystemError) -> (used: Int64, total: Int64) {
        var state = statvfs()
        try syscall("statvfs", on: path) { statvfs(path, &state) }
        let size = UInt64(state.f_frsize), used = UInt64(state.f_blocks - state.f_bfree)
        return (Int64(clamping: used * size), Int64(clamping: (used + UInt64(state.f_bavail)) * size))
    }

    /// Takes blocks for the whole of a file of `size` bytes. Where that fails the file is as it was.
    ///
    /// - Throws: ENOSPC where there is no room.
    package static func reserve(_ size: Int64, for file: borrowing OwnedFD, name: String) throws(SystemError) {
        let result = posix_fallocate(file.rawValue, 0, off_t(size))
        if result != 0 { throw SystemError(call: "posix_fallocate", subject: name, errno: Errno(rawValue: result)) }
    }
}
