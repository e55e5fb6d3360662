internal import CLinux
import Glibc

private let oPath = CInt(BERTH_O_PATH)
private let oNoAccessTime = CInt(BERTH_O_NOATIME)

// ioctl_iflags(2): macros that Swift does not see.
private let getFlags: UInt = 0x8008_6601
private let setFlags: UInt = 0x4008_6602
private let topOfHierarchy: CInt = 0x0002_0000

/// A name for the kernel: bytes with a NUL at the end, made once and used for many calls.
package struct CName: Sendable, Hashable, CustomStringConvertible {
    /// With the NUL.
    package private(set) var bytes: ContiguousArray<UInt8>

    /// - Precondition: no NUL in `name`; a tar reader refuses them.
    package init(_ name: some Collection<UInt8>) {
        bytes = ContiguousArray()
        bytes.reserveCapacity(name.count + 1)
        bytes.append(contentsOf: name)
        bytes.append(0)
    }

    package init(_ name: String) { self.init(name.utf8) }

    package static let current = CName(".")

    /// Becomes another name in the same memory.
    package mutating func replace(with name: some Sequence<UInt8>) {
        bytes.removeAll(keepingCapacity: true)
        bytes.append(contentsOf: name)
        bytes.append(0)
    }

    package var content: ContiguousArray<UInt8>.SubSequence { bytes.dropLast() }

    package var description: String { String(decoding: bytes.dropLast(), as: UTF8.self) }

    func withCString<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
        bytes.withUnsafeBytes { body($0.assumingMemoryBound(to: CChar.self).baseAddress.unsafelyUnwrapped) }
    }
}

/// What lstat(2) says, as far as layers and snapshots ask.
package struct FileStatus: Sendable {
    private let raw: stat

    init(_ raw: stat) { self.raw = raw }

    package enum Kind: Sendable { case file, directory, symbolicLink, characterDevice, blockDevice, fifo, socket, other }

    package var kind: Kind {
        switch raw.st_mode & S_IFMT {
        case S_IFREG: .file
        case S_IFDIR: .directory
        case S_IFLNK: .symbolicLink
        case S_IFCHR: .characterDevice
        case S_IFBLK: .blockDevice
        case S_IFIFO: .fifo
        case S_IFSOCK: .socket
        default: .other
        }
    }

    package var mode: UInt32 { raw.st_mode & 0o7777 }
    package var uid: UInt32 { raw.st_uid }
    package var gid: UInt32 { raw.st_gid }
    package var size: Int64 { Int64(raw.st_size) }
    /// Bytes on disk; st_blocks counts in 512 whatever the file system's block is.
    package var allocatedSize: Int64 { Int64(raw.st_blocks) * 512 }
    package var inode: UInt64 { UInt64(raw.st_ino) }
    package var device: UInt64 { UInt64(raw.st_dev) }
    package var linkCount: UInt64 { UInt64(raw.st_nlink) }
    package var deviceMajor: UInt32 { gnu_dev_major(raw.st_rdev) }
    package var deviceMinor: UInt32 { gnu_dev_minor(raw.st_rdev) }
    package var modifiedSeconds: Int64 { Int64(raw.st_mtim.tv_sec) }
    package var modifiedNanoseconds: Int32 { Int32(raw.st_mtim.tv_nsec) }
    /// Nanoseconds since 1970 of the last change of content or attributes, and of content alone.
    package var changed: Int64 { Int64(raw.st_ctim.tv_sec) &* 1_000_000_000 &+ Int64(raw.st_ctim.tv_nsec) }
    package var modified: Int64 { Int64(raw.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(raw.st_mtim.tv_nsec) }
    /// How overlayfs marks a removed name.
    package var isWhiteout: Bool { kind == .characterDevice && raw.st_rdev == 0 }
}

/// An open directory and the calls relative to it. Names are single components except where said; no call follows a symbolic link in the last one.
///
/// A class, so that a cache can hold several and hand them out; the descriptor (O_PATH) is closed with the last reference.
package final class DirectoryFD: Sendable {
    private let fd: OwnedFD

    init(adopting fd: consuming OwnedFD) { self.fd = fd }

    /// Opens a directory by a path of our own (never one that an image named).
    package convenience init(path: String) throws(SystemError) {
        let raw = try syscall("open", on: path) { open(path, oPath | O_DIRECTORY | O_CLOEXEC) }
        self.init(adopting: OwnedFD(adopting: raw))
    }

    package var rawValue: CInt { fd.rawValue }

    /// The same directory open for reading: what ioctls, fsync and syncfs want.
    package func readable() throws(SystemError) -> OwnedFD {
        OwnedFD(adopting: try syscall("openat", on: ".") { openat(fd.rawValue, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) })
    }

    /// Tells the file system that the directories made in this one from now on have nothing to do with each other (FS_TOPDIR_FL, chattr(1) `T`).
    ///
    /// ext4 then spreads them over its block groups, with their files beside each of them. Without it, it puts all of them into one, and a group from which many files were removed in the last
    /// minutes is slow to make files in: the kernel does not use an inode again so soon, and looks at each of them anew for every file. File systems that know no such mark are left alone.
    package func spreadDirectories() throws(SystemError) {
        let file = try readable()
        var flags: CInt = 0
        guard ioctl(file.rawValue, getFlags, &flags) == 0, flags & topOfHierarchy == 0 else { return }
        flags |= topOfHierarchy
        _ = ioctl(file.rawValue, setFlags, &flags)
    }

    /// Sets the times to now. As a mark on a directory: what was changed later has a later time.
    package func touch() throws(SystemError) {
        try syscall("utimensat", on: ".") { utimensat(fd.rawValue, ".", nil, 0) }
    }

    /// Removes an extended attribute; one that is not there is fine.
    package func removeXattr(_ name: CName, _ attribute: CName) throws(SystemError) {
        let path = procPath(name)
        do throws(SystemError) {
            try syscall("lremovexattr", on: "\(attribute) of \(name)") { path.withCString { path in attribute.withCString { lremovexattr(path, $0) } } }
        } catch where error.errno.rawValue == ENODATA || error.errno == .notSupported {}
    }

    // MARK: Opening

    /// The directory at `path` as a process with this directory as its root would see it: `..` stops here, absolute links start here, links of
    /// procfs are refused. Kernel: openat2(2), RESOLVE_IN_ROOT.
    package func directory(inRoot path: CName) throws(SystemError) -> DirectoryFD {
        var how = open_how()
        how.flags = UInt64(oPath | O_DIRECTORY | O_CLOEXEC)
        how.resolve = UInt64(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
        var attempts = 0
        while true {
            do throws(SystemError) {
                let raw = try syscall("openat2", on: "\(path)") { path.withCString { berth_openat2(fd.rawValue, $0, &how) } }
                return DirectoryFD(adopting: OwnedFD(adopting: raw))
            } catch {
                // A rename elsewhere on the system while `..` was walked.
                attempts += 1
                if error.errno != .again || attempts > 64 { throw error }
            }
        }
    }

    /// The child directory `name`.
    package func directory(_ name: CName) throws(SystemError) -> DirectoryFD {
        let raw = try syscall("openat", on: "\(name)") { name.withCString { openat(fd.rawValue, $0, oPath | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) } }
        return DirectoryFD(adopting: OwnedFD(adopting: raw))
    }

    /// A new file, for writing; EEXIST when the name is taken by anything.
    package func createFile(_ name: CName, mode: UInt32 = 0o600) throws(SystemError) -> OwnedFD {
        let raw = try syscall("openat", on: "\(name)") {
            name.withCString { openat(fd.rawValue, $0, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode) }
        }
        return OwnedFD(adopting: raw)
    }

    /// A regular file for reading. O_NONBLOCK, so that a FIFO in its place cannot hold us; the caller checks the kind where it matters.
    package func openFile(_ name: CName) throws(SystemError) -> OwnedFD {
        let raw = try syscall("openat", on: "\(name)") {
            name.withCString { openat(fd.rawValue, $0, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | oNoAccessTime | O_CLOEXEC) }
        }
        return OwnedFD(adopting: raw)
    }

    // MARK: Making and removing

    package func makeDirectory(_ name: CName, mode: UInt32 = 0o700) throws(SystemError) {
        try syscall("mkdirat", on: "\(name)") { name.withCString { mkdirat(fd.rawValue, $0, mode) } }
    }

    package func makeSymbolicLink(_ name: CName, to target: CName) throws(SystemError) {
        try syscall("symlinkat", on: "\(name)") { name.withCString { path in target.withCString { symlinkat($0, fd.rawValue, path) } } }
    }

    package func makeHardLink(_ name: CName, to target: CName, in directory: DirectoryFD) throws(SystemError) {
        try syscall("linkat", on: "\(name) to \(target)") {
            name.withCString { path in target.withCString { linkat(directory.fd.rawValue, $0, fd.rawValue, path, 0) } }
        }
    }

    package func makeFIFO(_ name: CName) throws(SystemError) { try makeNode(name, S_IFIFO, 0) }
    package func makeCharacterDevice(_ name: CName, major: UInt32, minor: UInt32) throws(SystemError) {
        try makeNode(name, S_IFCHR, gnu_dev_makedev(major, minor))
    }
    package func makeBlockDevice(_ name: CName, major: UInt32, minor: UInt32) throws(SystemError) {
        try makeNode(name, S_IFBLK, gnu_dev_makedev(major, minor))
    }
    /// A socket's name, which nobody listens on.
    package func makeSocket(_ name: CName) throws(SystemError) { try makeNode(name, S_IFSOCK, 0) }
    /// Overlayfs' mark for a removed name.
    package func makeWhiteout(_ name: CName) throws(SystemError) { try makeNode(name, S_IFCHR, 0) }

    private func makeNode(_ name: CName, _ kind: mode_t, _ device: dev_t) throws(SystemError) {
        try syscall("mknodat", on: "\(name)") { name.withCString { mknodat(fd.rawValue, $0, kind | 0o600, device) } }
    }

    package func unlink(_ name: CName) throws(SystemError) {
        try syscall("unlinkat", on: "\(name)") { name.withCString { unlinkat(fd.rawValue, $0, 0) } }
    }

    package func removeDirectory(_ name: CName) throws(SystemError) {
        try syscall("unlinkat", on: "\(name)") { name.withCString { unlinkat(fd.rawValue, $0, AT_REMOVEDIR) } }
    }

    package func rename(_ name: CName, to newName: CName, in directory: DirectoryFD) throws(SystemError) {
        try syscall("renameat", on: "\(name) to \(newName)") {
            name.withCString { from in newName.withCString { renameat(fd.rawValue, from, directory.fd.rawValue, $0) } }
        }
    }

    // MARK: Asking

    package func status(_ name: CName) throws(SystemError) -> FileStatus {
        var raw = stat()
        try syscall("fstatat", on: "\(name)") { name.withCString { fstatat(fd.rawValue, $0, &raw, AT_SYMLINK_NOFOLLOW) } }
        return FileStatus(raw)
    }

    /// As `status`, nil when there is no such name.
    package func statusIfPresent(_ name: CName) throws(SystemError) -> FileStatus? {
        do throws(SystemError) { return try status(name) } catch {
            if error.errno == .noSuchFile { return nil }
            throw error
        }
    }

    package func readLink(_ name: CName) throws(SystemError) -> [UInt8] {
        var target = [UInt8](repeating: 0, count: 4096)
        let count = try syscall("readlinkat", on: "\(name)") {
            name.withCString { path in
                target.withUnsafeMutableBytes { readlinkat(fd.rawValue, path, $0.assumingMemoryBound(to: CChar.self).baseAddress.unsafelyUnwrapped, $0.count) }
            }
        }
        return Array(target[..<count])
    }

    /// The names in this directory, without `.` and `..`, in no order.
    package func names() throws(SystemError) -> [[UInt8]] {
        let raw = try syscall("openat", on: ".") { openat(fd.rawValue, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard let stream = fdopendir(raw) else {
            let errno = Errno(rawValue: Glibc.errno)
            _ = Glibc.close(raw)
            throw SystemError(call: "fdopendir", subject: ".", errno: errno)
        }
        defer { closedir(stream) }
        var names: [[UInt8]] = []
        while true {
            Glibc.errno = 0
            guard let entry = readdir(stream) else {
                if Glibc.errno != 0 { throw SystemError(call: "readdir", subject: ".", errno: Errno(rawValue: Glibc.errno)) }
                return names
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in Array(bytes.prefix { $0 != 0 }) }
            if name != [0x2e], name != [0x2e, 0x2e] { names.append(name) }
        }
    }

    // MARK: Attributes

    package func setOwner(_ name: CName, uid: UInt32, gid: UInt32) throws(SystemError) {
        try syscall("fchownat", on: "\(name)") { name.withCString { fchownat(fd.rawValue, $0, uid, gid, AT_SYMLINK_NOFOLLOW) } }
    }

    /// Not for symbolic links: fchmodat(2) would follow, so the caller knows that `name` is none.
    package func setMode(_ name: CName, _ mode: UInt32) throws(SystemError) {
        try syscall("fchmodat", on: "\(name)") { name.withCString { fchmodat(fd.rawValue, $0, mode, 0) } }
    }

    /// Sets the modification time and, to the same, the access time.
    package func setModified(_ name: CName, seconds: Int64, nanoseconds: Int32) throws(SystemError) {
        let time = timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds))
        try withTimes(time) { times throws(SystemError) in
            _ = try syscall("utimensat", on: "\(name)") { name.withCString { utimensat(fd.rawValue, $0, times, AT_SYMLINK_NOFOLLOW) } }
        }
    }

    /// Sets an extended attribute of anything, through its name in procfs: the calls on paths have no variant with a directory descriptor before 6.13.
    package func setXattr(_ name: CName, _ attribute: CName, _ value: [UInt8]) throws(SystemError) {
        let path = procPath(name)
        try syscall("lsetxattr", on: "\(attribute) of \(name)") {
            path.withCString { path in attribute.withCString { key in value.withUnsafeBytes { lsetxattr(path, key, $0.baseAddress, $0.count, 0) } } }
        }
    }

    /// The value of an attribute, nil when there is none (or the file system knows none).
    package func xattr(_ name: CName, _ attribute: CName) throws(SystemError) -> [UInt8]? {
        let path = procPath(name)
        var value = [UInt8](repeating: 0, count: 1024)
        while true {
            do throws(SystemError) {
                let count = try syscall("lgetxattr", on: "\(attribute) of \(name)") {
                    path.withCString { path in
                        attribute.withCString { key in value.withUnsafeMutableBytes { lgetxattr(path, key, $0.baseAddress, $0.count) } }
                    }
                }
                return Array(value[..<count])
            } catch {
                if error.errno.rawValue == ENODATA || error.errno == .notSupported { return nil }
                guard error.errno.rawValue == ERANGE, value.count < 65536 else { throw error }
                value = [UInt8](repeating: 0, count: 65536)
            }
        }
    }

    /// The names of all attributes; none when the file system knows none.
    package func xattrNames(_ name: CName) throws(SystemError) -> [[UInt8]] {
        let path = procPath(name)
        var list = [CChar](repeating: 0, count: 1024)
        while true {
            do throws(SystemError) {
                let count = try syscall("llistxattr", on: "\(name)") { path.withCString { path in llistxattr(path, &list, list.count) } }
                return list[..<count].split(separator: 0).map { $0.map { UInt8(bitPattern: $0) } }
            } catch {
                if error.errno == .notSupported { return [] }
                guard error.errno.rawValue == ERANGE, list.count < 65536 else { throw error }
                list = [CChar](repeating: 0, count: 65536)
            }
        }
    }

    private func procPath(_ name: CName) -> CName { CName(Array("/proc/self/fd/\(fd.rawValue)/".utf8) + Array(name.content)) }

    // MARK: Durability

    /// Writes everything of the file system this directory is on to disk. Kernel: syncfs(2).
    package func syncFileSystem() throws(SystemError) {
        let readable = try readable()
        try syscall("syncfs", on: ".") { berth_syncfs(readable.rawValue) }
    }

    /// Makes the names in this directory durable.
    package func sync() throws(SystemError) {
        let readable = try readable()
        try syscall("fsync", on: ".") { fsync(readable.rawValue) }
    }
}

/// The pair of access and modification time that utimensat(2) takes, both `time`.
private func withTimes(_ time: timespec, _ body: (UnsafePointer<timespec>) throws(SystemError) -> Void) throws(SystemError) {
    let times: InlineArray<2, timespec> = [time, time]
    var failure: SystemError?
    withUnsafeBytes(of: times) { bytes in
        do throws(SystemError) { try body(bytes.assumingMemoryBound(to: timespec.self).baseAddress.unsafelyUnwrapped) } catch { failure = error }
    }
    if let failure { throw failure }
}

/// Calls on an open file, for whoever writes or reads whole files.
extension OwnedFD {
    package borrowing func setOwner(uid: UInt32, gid: UInt32, on subject: @autoclosure () -> String) throws(SystemError) {
        let raw = rawValue
        try syscall("fchown", on: subject()) { fchown(raw, uid, gid) }
    }

    package borrowing func setMode(_ mode: UInt32, on subject: @autoclosure () -> String) throws(SystemError) {
        let raw = rawValue
        try syscall("fchmod", on: subject()) { fchmod(raw, mode) }
    }

    package borrowing func setModified(seconds: Int64, nanoseconds: Int32, on subject: @autoclosure () -> String) throws(SystemError) {
        let raw = rawValue
        let time = timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds))
        try withTimes(time) { times throws(SystemError) in _ = try syscall("futimens", on: subject()) { futimens(raw, times) } }
    }

    package borrowing func setXattr(_ attribute: CName, _ value: [UInt8], on subject: @autoclosure () -> String) throws(SystemError) {
        let raw = rawValue
        try syscall("fsetxattr", on: "\(attribute) of \(subject())") {
            attribute.withCString { key in value.withUnsafeBytes { fsetxattr(raw, key, $0.baseAddress, $0.count, 0) } }
        }
    }

    /// Writes all of `bytes` at `offset`.
    package borrowing func writeAll(_ bytes: UnsafeRawBufferPointer, at offset: Int64, on subject: @autoclosure () -> String) throws(SystemError) {
        let raw = rawValue
        var done = 0
        while done < bytes.count {
            let count = try syscall("pwrite", on: subject()) { pwrite(raw, bytes.baseAddress.unsafelyUnwrapped + done, bytes.count - done, Int(offset) + done) }
            done += count
        }
    }

    /// Reads up to `buffer.count` bytes at `offset`; 0 at the end of the file.
    package borrowing func readSome(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64, on subject: @autoclosure () -> String) throws(SystemError) -> Int {
        let raw = rawValue
        return try syscall("pread", on: subject()) { pread(raw, buffer.baseAddress, buffer.count, Int(offset)) }
    }

    package borrowing func setSize(_ size: Int64, on subject: @autoclosure () -> String) throws(SystemError) {
        let raw = rawValue
        try syscall("ftruncate", on: subject()) { ftruncate(raw, Int(size)) }
    }

    package borrowing func sync(on subject: @autoclosure () -> String) throws(SystemError) {
        let raw = rawValue
        try syscall("fsync", on: subject()) { fsync(raw) }
    }

    package borrowing func dataSync(on subject: @autoclosure () -> String) throws(SystemError) {
        let raw = rawValue
        try syscall("fdatasync", on: subject()) { fdatasync(raw) }
    }

    /// Starts to write out what is dirty in the range without waiting for it, so that the fsync at the end is short. A hint: failure is none.
    package borrowing func startWriteback(from offset: Int64, count: Int64) {
        _ = berth_start_writeback(rawValue, offset, count)
    }

    package borrowing func status(on subject: @autoclosure () -> String) throws(SystemError) -> FileStatus {
        let rawFD = rawValue
        var raw = stat()
        try syscall("fstat", on: subject()) { fstat(rawFD, &raw) }
        return FileStatus(raw)
    }
}
