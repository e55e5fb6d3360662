import Glibc
import LinuxSystem

/// A json-file log and its rotated predecessors `PATH.1`, `PATH.2` …, as descriptors: a rotation in the middle of reading moves names, not what is open.
struct LogFiles: ~Copyable {
    /// Oldest first. The last is the one being written.
    private(set) var files: [LogFile]
    let path: String

    init(path: String) throws {
        self.path = path
        var found: [LogFile] = []
        var number = 1
        while let file = try LogFile.open("\(path).\(number)") {
            found.append(file)
            number += 1
        }
        found.reverse()
        // Opened last: what is rotated between the two steps is seen twice by inode and dropped here.
        if let current = try LogFile.open(path) { found.append(current) }
        files = []
        for file in found where !files.contains(where: { $0.inode == file.inode }) { files.append(file) }
    }

    /// Sets the read positions so that `count` lines remain.
    mutating func keepLast(_ count: Int, isLocal: Bool = false) throws {
        var missing = count
        for file in files.reversed() {
            if missing <= 0 {
                file.position = file.size
                continue
            }
            missing -= try isLocal ? file.seekToLastEntry(missing) : file.seekToLast(missing)
        }
    }

    /// The oldest file is read to its end.
    mutating func dropFirst() { files.removeFirst() }

    /// After the end of the current file: what was begun after it, if it was rotated away. Empty: nothing new.
    mutating func advance() throws {
        guard let current = files.last else {
            if let file = try LogFile.open(path) { files = [file] }
            return
        }
        guard let newest = try LogFile.open(path), newest.inode != current.inode else {
            files = [current]
            return
        }
        // Where is ours now? Everything with a smaller number came after it.
        var later = [newest]
        var number = 1
        while let file = try LogFile.open("\(path).\(number)"), file.inode != current.inode {
            later.insert(file, at: 0)
            number += 1
            if number > 1000 { break }
        }
        files = [current] + later
    }
}

/// One log file, read forward in large pieces.
final class LogFile {
    private let file: OwnedFD
    let inode: UInt64
    var position: Int64 = 0
    private let path: String

    private init(_ file: consuming OwnedFD, inode: UInt64, path: String) {
        self.file = file
        self.inode = inode
        self.path = path
    }

    /// nil when there is none.
    static func open(_ path: String) throws -> LogFile? {
        do throws(SystemError) { return try existing(path) } catch {
            if error.errno == .noSuchFile { return nil }
            throw error
        }
    }

    private static func existing(_ path: String) throws(SystemError) -> LogFile {
        let file = try Files.open(path, O_RDONLY | O_NOFOLLOW)
        let status = try Files.status(of: file, name: path)
        return LogFile(file, inode: UInt64(status.st_ino), path: path)
    }

    var size: Int64 { (try? Files.status(of: file, name: path)).map { Int64($0.st_size) } ?? 0 }

    /// Up to `limit` bytes from the position on; does not move it.
    func read(limit: Int) throws -> [UInt8] { try read(at: position, limit: limit) }

    private func read(at offset: Int64, limit: Int) throws -> [UInt8] {
        let fd = file.rawValue
        var failure: SystemError?
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            do throws(SystemError) { count = try syscall("pread", on: path) { pread(fd, buffer.baseAddress, buffer.count, off_t(offset)) } } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Goes back from the end until `count` line feeds before the last line are passed.
    ///
    /// - Returns: how many lines lie behind the position: fewer than wanted when the file has no more.
    func seekToLast(_ count: Int) throws -> Int {
        let end = size
        var offset = end
        var lines = 0
        let step = 64 << 10
        while offset > 0 {
            let start = max(0, offset - Int64(step))
            let chunk = try read(at: start, limit: Int(offset - start))
            for index in chunk.indices.reversed() where chunk[index] == 0x0A {
                let absolute = start + Int64(index)
                if absolute == end - 1 { continue }
                lines += 1
                if lines == count {
                    position = absolute + 1
                    return lines
                }
            }
            offset = start
        }
        position = 0
        return end > 0 ? lines + 1 : 0
    }

    /// The same for the local driver, whose entries end with their size.
    func seekToLastEntry(_ count: Int) throws -> Int {
        var offset = size, entries = 0
        while offset >= 8, entries < count {
            let trailer = try read(at: offset - 4, limit: 4)
            let length = trailer.reduce(Int64(0)) { $0 << 8 | Int64($1) } + 8
            // Torn by a power loss: what lies before it cannot be found from here.
            guard trailer.count == 4, length <= offset else { break }
            offset -= length
            entries += 1
        }
        position = offset
        return entries
    }
}
