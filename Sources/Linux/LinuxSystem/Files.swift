import CLinux
package import Glibc

// Paths are given to the kernel by `withCString`: where Swift makes a C string of an argument by itself it copies it into an array first.

/// Opening, reading and writing files of the host. Paths that come from an image or a spec go through `RootedPath` instead.
package enum Files {
    /// Opens `path` with O_CLOEXEC added. `mode` counts only with O_CREAT.
    package static func open(_ path: String, _ flags: CInt = O_RDONLY, mode: mode_t = 0) throws(SystemError) -> OwnedFD {
        OwnedFD(adopting: try syscall("open", on: path) { path.withCString { Glibc.open($0, flags | O_CLOEXEC, mode) } })
    }

    /// Opens a path relative to a directory descriptor; symlinks are followed as open(2) does, so `path` must be trusted.
    package static func open(_ path: String, _ flags: CInt = O_RDONLY, mode: mode_t = 0, at directory: borrowing OwnedFD) throws(SystemError) -> OwnedFD {
        let dir = directory.rawValue
        return OwnedFD(adopting: try syscall("openat", on: path) { path.withCString { Glibc.openat(dir, $0, flags | O_CLOEXEC, mode) } })
    }

    /// Everything up to the end of the file. `limit` in bytes guards against endless ones: more is an EFBIG.
    package static func readAll(_ file: borrowing OwnedFD, name: String, limit: Int = 64 << 20, expecting: Int = 4096) throws(SystemError) -> [UInt8] {
        let fd = file.rawValue
        // Most files are small, those of procfs and cgroups above all: one small buffer that grows when it is full.
        var room = expecting
        var buffer = UnsafeMutableRawPointer.allocate(byteCount: room, alignment: 1)
        defer { buffer.deallocate() }
        var count = 0
        while true {
            if count == room {
                let larger = UnsafeMutableRawPointer.allocate(byteCount: room * 2, alignment: 1)
                larger.copyMemory(from: buffer, byteCount: count)
                buffer.deallocate()
                buffer = larger
                room *= 2
            }
            let (space, left) = (buffer + count, room - count)
            let part = try syscall("read", on: name) { Glibc.read(fd, space, left) }
            if part == 0 { return [UInt8](UnsafeRawBufferPointer(start: buffer, count: count)) }
            count += part
            if count > limit { throw SystemError(call: "read", subject: name, errno: Errno(rawValue: EFBIG)) }
        }
    }

    /// What one read(2) yields; nil when a descriptor that does not block has nothing now, empty at the end.
    package static func readSome(_ file: borrowing OwnedFD, name: String, room: Int = 8192) throws(SystemError) -> [UInt8]? {
        let fd = file.rawValue
        var buffer = [UInt8](repeating: 0, count: room)
        do throws(SystemError) {
            let count = try syscall("read", on: name) { read(fd, &buffer, room) }
            return Array(buffer[..<count])
        } catch {
            if error.errno == .again { return nil }
            throw error
        }
    }

    /// The same from the start of the file, wherever its position is.
    package static func contents(of file: borrowing OwnedFD, name: String) throws(SystemError) -> [UInt8] {
        let fd = file.rawValue
        try syscall("lseek", on: name) { lseek(fd, 0, SEEK_SET) }
        return try readAll(file, name: name)
    }

    package static func readAll(_ path: String, limit: Int = 64 << 20, expecting: Int = 4096) throws(SystemError) -> [UInt8] {
        let file = try open(path)
        return try readAll(file, name: path, limit: limit, expecting: expecting)
    }

    /// The file as text; invalid UTF-8 is replaced.
    package static func readText(_ path: String) throws(SystemError) -> String { String(decoding: try readAll(path), as: UTF8.self) }

    /// Writes all of `bytes`, however many calls it takes.
    package static func writeAll(_ bytes: borrowing [UInt8], to file: borrowing OwnedFD, name: String) throws(SystemError) {
        try writeAll(bytes, toRaw: file.rawValue, name: name)
    }

    /// The same for a descriptor that somebody else owns.
    package static func writeAll(_ bytes: borrowing [UInt8], toRaw fd: CInt, name: String) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            let start = done
            done += try syscall("write", on: name) { bytes.withUnsafeBytes { Glibc.write(fd, $0.baseAddress! + start, $0.count - start) } }
        }
    }

    /// One call, which may write less.
    package static func writeOnce(_ bytes: borrowing [UInt8], to file: borrowing OwnedFD, name: @autoclosure () -> String) throws(SystemError) -> Int {
        let fd = file.rawValue
        return try syscall("write", on: name()) { bytes.withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) } }
    }

    /// Writes `text` in one call, as the files of procfs, sysfs and cgroups want it. The file must exist.
    package static func write(_ text: String, toExisting path: String) throws(SystemError) {
        let file = try open(path, O_WRONLY)
        try writeAll(Array(text.utf8), to: file, name: path)
    }

    /// Makes `path` hold `bytes`, atomically: readers see the old file or the new one, never half of it. `durable` also waits for the disk.
    package static func replace(_ path: String, with bytes: [UInt8], mode: mode_t = 0o600, durable: Bool = false) throws(SystemError) {
        try write(bytes, to: path, mode: mode, durable: durable) { temporary throws(SystemError) in try move(temporary, to: path) }
    }

    /// As `replace`, for a file that does not live long: ext4 writes a file at once that is renamed onto another, and to remove it is to wait for the disk.
    /// The two change places instead.
    package static func exchange(_ path: String, with bytes: [UInt8], mode: mode_t = 0o600) throws(SystemError) {
        try write(bytes, to: path, mode: mode, durable: false) { temporary throws(SystemError) in
            // There is none yet, or the file system cannot.
            if temporary.withCString({ old in path.withCString { berth_exchange(old, $0) } }) == 0 { temporary.withCString { _ = Glibc.unlink($0) } } else { try move(temporary, to: path) }
        }
    }

    private static func move(_ from: String, to path: String) throws(SystemError) { try syscall("rename", on: path) { from.withCString { from in path.withCString { rename(from, $0) } } } }

    private static func write(
        _ bytes: [UInt8], to path: String, mode: mode_t, durable: Bool, _ place: (String) throws(SystemError) -> Void
    ) throws(SystemError) {
        let temporary = "\(path).\(String(decimal: Int(getpid()))).new"
        do throws(SystemError) {
            let file = try open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: mode)
            try writeAll(bytes, to: file, name: temporary)
            if durable {
                let fd = file.rawValue
                try syscall("fsync", on: temporary) { fsync(fd) }
            }
            try file.close(on: temporary)
            try place(temporary)
        } catch {
            temporary.withCString { _ = Glibc.unlink($0) }
            throw error
        }
    }

    package static func makeDirectory(_ path: String, mode: mode_t = 0o755) throws(SystemError) {
        try syscall("mkdir", on: path) { path.withCString { mkdir($0, mode) } }
    }

    package static func makeDirectory(_ name: String, mode: mode_t = 0o755, at directory: borrowing OwnedFD) throws(SystemError) {
        let fd = directory.rawValue
        try syscall("mkdir", on: name) { mkdirat(fd, name, mode) }
    }

    /// As `mkdir -p`: existing directories are fine.
    package static func makeDirectories(_ path: String, mode: mode_t = 0o755) throws(SystemError) {
        do throws(SystemError) { try makeDirectory(path, mode: mode) } catch {
            switch error.errno {
            case .fileExists: return
            case .noSuchFile:
                guard let slash = path.lastSlash, slash > path.startIndex else { throw error }
                try makeDirectories(String(path[..<slash]), mode: mode)
                do throws(SystemError) { try makeDirectory(path, mode: mode) } catch { if error.errno != .fileExists { throw error } }
            default: throw error
            }
        }
    }

    /// The absolute path without symlinks, as far as it exists: the rest is kept as it is. realpath(3).
    package static func resolved(_ path: String) -> String {
        if let real = realpath(path, nil) {
            defer { free(real) }
            return String(cString: real)
        }
        guard let slash = path.lastSlash, slash > path.startIndex else { return path }
        return resolved(String(path[..<slash])) + path[slash...]
    }

    /// Removes a file; one that is already gone is fine.
    package static func remove(_ path: String) throws(SystemError) {
        do throws(SystemError) { try syscall("unlink", on: path) { path.withCString { Glibc.unlink($0) } } } catch { if error.errno != .noSuchFile { throw error } }
    }

    /// Removes a directory and the files in it, one level deep, never following a symlink. Gone already is fine.
    package static func removeFlatDirectory(_ path: String) throws(SystemError) {
        for name in (try? entries(of: path)) ?? [] { try? remove("\(path)/\(name)") }
        do throws(SystemError) { try syscall("rmdir", on: path) { path.withCString { rmdir($0) } } } catch { if error.errno != .noSuchFile { throw error } }
    }

    /// Removes a directory that must be empty, or one of a kernel filesystem (cgroup, resctrl), whose files do not count.
    package static func removeEmptyDirectory(_ path: String) throws(SystemError) { try syscall("rmdir", on: path) { path.withCString { rmdir($0) } } }

    /// Names in a directory, without "." and "..", unsorted.
    package static func entries(of path: String) throws(SystemError) -> [String] {
        guard let directory = path.withCString({ opendir($0) }) else { throw SystemError(call: "opendir", subject: path, errno: Errno(rawValue: Glibc.errno)) }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(terminated: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// For the effective user.
    package static func isExecutable(_ path: String) -> Bool { faccessat(AT_FDCWD, path, X_OK, 0x200) == 0 }

    package static func exists(_ path: String) -> Bool { path.withCString { access($0, F_OK) } == 0 }

    package static func status(_ path: String) throws(SystemError) -> stat {
        var status = stat()
        try syscall("stat", on: path) { path.withCString { stat($0, &status) } }
        return status
    }

    package static func status(of file: borrowing OwnedFD, name: String) throws(SystemError) -> stat {
        let fd = file.rawValue
        var status = stat()
        try syscall("fstat", on: name) { fstat(fd, &status) }
        return status
    }

    package static func readLink(_ path: String) throws(SystemError) -> String {
        var failure: SystemError?
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, count in
            do throws(SystemError) {
                count = try buffer.withMemoryRebound(to: CChar.self) { (raw) throws(SystemError) in
                    try syscall("readlink", on: path) { readlink(path, raw.baseAddress!, raw.count) }
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
        return String(decoding: bytes, as: UTF8.self)
    }

    package static func currentDirectory() throws(SystemError) -> String {
        guard let raw = getcwd(nil, 0) else { throw SystemError(call: "getcwd", subject: "", errno: Errno(rawValue: Glibc.errno)) }
        defer { free(raw) }
        return String(terminated: raw)
    }

    package static func changeDirectory(_ path: String) throws(SystemError) { try syscall("chdir", on: path) { chdir(path) } }

    package static func changeDirectory(to directory: borrowing OwnedFD, name: String) throws(SystemError) {
        let fd = directory.rawValue
        try syscall("fchdir", on: name) { fchdir(fd) }
    }

    /// Takes an exclusive lock on the whole file, waiting for whoever has it. It belongs to the process: a fork does not inherit it (an flock(2) would
    /// live on in the child), and it ends when the process ends or closes the file.
    package static func lock(_ file: borrowing OwnedFD, name: String) throws(SystemError) {
        let fd = file.rawValue
        var lock = Glibc.flock()
        lock.l_type = Int16(F_WRLCK)
        try syscall("fcntl", on: name) { fcntl(fd, F_SETLKW, &lock) }
    }

    /// Makes the directory the caller's root and working directory.
    package static func changeRoot(_ directory: borrowing OwnedFD, name: String) throws(SystemError) {
        try changeDirectory(to: directory, name: name)
        try syscall("chroot", on: name) { chroot(".") }
        try changeDirectory("/")
    }

    package static func makeFIFO(_ path: String, mode: mode_t) throws(SystemError) { try syscall("mkfifo", on: path) { mkfifo(path, mode) } }
}

// Names in a directory that is held open.
extension Files {
    /// A device node or FIFO. The umask applies.
    package static func makeNode(
        _ name: String, kind: mode_t, mode: mode_t, major: UInt32, minor: UInt32, at directory: borrowing OwnedFD
    ) throws(SystemError) {
        let dir = directory.rawValue
        try syscall("mknod", on: name) { mknodat(dir, name, kind | mode, berth_makedev(major, minor)) }
    }

    package static func setMode(_ name: String, _ mode: mode_t, at directory: borrowing OwnedFD) throws(SystemError) {
        let dir = directory.rawValue
        try syscall("chmod", on: name) { fchmodat(dir, name, mode, 0) }
    }

    package static func setOwner(_ name: String, uid: uid_t, gid: gid_t, at directory: borrowing OwnedFD) throws(SystemError) {
        let dir = directory.rawValue
        try syscall("chown", on: name) { fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) }
    }

    package static func makeSymlink(_ name: String, to target: String, at directory: borrowing OwnedFD) throws(SystemError) {
        let dir = directory.rawValue
        try syscall("symlink", on: name) { symlinkat(target, dir, name) }
    }

    package static func unlink(_ name: String, at directory: borrowing OwnedFD) throws(SystemError) {
        let dir = directory.rawValue
        try syscall("unlink", on: name) { unlinkat(dir, name, 0) }
    }
}

extension stat {
    /// Whether it is that device.
    package func isDevice(_ kind: mode_t, major: UInt32, minor: UInt32) -> Bool {
        st_mode & S_IFMT == kind && berth_major(st_rdev) == major && berth_minor(st_rdev) == minor
    }

    package var isDirectory: Bool { st_mode & S_IFMT == S_IFDIR }
    package var isSymlink: Bool { st_mode & S_IFMT == S_IFLNK }
    package var isRegular: Bool { st_mode & S_IFMT == S_IFREG }
}
