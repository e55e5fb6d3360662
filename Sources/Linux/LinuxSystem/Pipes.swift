import CLinux
import Glibc

/// Pipes, FIFOs and anonymous files.
package enum Pipes {
    /// A pipe, both ends close-on-exec and blocking.
    package static func make() throws(SystemError) -> (reading: CInt, writing: CInt) {
        var ends: (CInt, CInt) = (-1, -1)
        try syscall("pipe2", on: "") {
            withUnsafeMutableBytes(of: &ends) { berth_pipe2($0.assumingMemoryBound(to: CInt.self).baseAddress, O_CLOEXEC) }
        }
        return (ends.0, ends.1)
    }

    /// Asks for a pipe buffer of `bytes`; the kernel may refuse (fs.pipe-max-size), which costs speed and nothing else.
    package static func grow(_ descriptor: CInt, to bytes: CInt) { _ = fcntl(descriptor, CInt(BERTH_F_SETPIPE_SZ), bytes) }

    package static func setNonBlocking(_ descriptor: CInt) throws(SystemError) {
        let flags = try syscall("fcntl", on: "F_GETFL") { fcntl(descriptor, F_GETFL) }
        try syscall("fcntl", on: "F_SETFL") { fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
    }

    package static func isFIFO(_ path: String) -> Bool {
        var info = stat()
        return stat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFIFO
    }

    /// A file in memory that holds `bytes` and is read from its start: standard input for a helper program.
    package static func memoryFile(named name: String, holding bytes: [UInt8]) throws(SystemError) -> OwnedFD {
        let file = OwnedFD(adopting: try syscall("memfd_create", on: name) { berth_memfd_create(name, UInt32(BERTH_MFD_CLOEXEC)) })
        try Files.writeAll(bytes, to: file, name: name)
        _ = lseek(file.rawValue, 0, SEEK_SET)
        return file
    }
}
