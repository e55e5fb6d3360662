import Glibc
import LinuxSystem

/// Files of the user's machine: env files, credentials, archives.
enum LocalFile {
    static func open(_ path: String, _ flags: CInt = O_RDONLY, mode: mode_t = 0o644) throws(SystemError) -> OwnedFD {
        OwnedFD(adopting: try syscall("open", on: path) { Glibc.open(path, flags | O_CLOEXEC, mode) })
    }

    static func read(_ path: String) throws(SystemError) -> [UInt8] {
        let file = try open(path)
        var content: [UInt8] = []
        while case let piece = try read(file.rawValue, limit: 65536), !piece.isEmpty { content += piece }
        return content
    }

    /// One read(2); empty at the end of the file.
    static func read(_ descriptor: CInt, limit: Int) throws(SystemError) -> [UInt8] {
        var failure: SystemError?
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            do throws(SystemError) { count = try syscall("read", on: "descriptor \(descriptor)") { Glibc.read(descriptor, buffer.baseAddress, buffer.count) } } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    static func write(_ content: [UInt8], to path: String, mode: mode_t) throws(SystemError) {
        let file = try open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
        try content.withUnsafeBytesThrowing { (raw) throws(SystemError) in try writeAll(file.rawValue, raw) }
        try file.close(on: path)
    }

    enum Kind { case directory, file, symlink, other }

    /// What is at `path` without following a symlink at its end; nil when there is nothing.
    static func kind(_ path: String, following: Bool = false) -> Kind? {
        var info = stat()
        guard (following ? stat(path, &info) : lstat(path, &info)) == 0 else { return nil }
        switch info.st_mode & S_IFMT {
        case S_IFDIR: return .directory
        case S_IFREG: return .file
        case S_IFLNK: return .symlink
        default: return .other
        }
    }

    static var workingDirectory: String {
        guard let pointer = getcwd(nil, 0) else { return "/" }
        defer { free(pointer) }
        return String(cString: pointer)
    }

    /// Made absolute and freed of `.`, `..` and doubled slashes, by the text alone.
    static func absolute(_ path: String) -> String {
        clean(path.hasPrefix("/") ? path : "\(workingDirectory)/\(path)")
    }

    static func clean(_ path: String) -> String {
        let rooted = path.hasPrefix("/")
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." {
                if let last = parts.last, last != ".." { parts.removeLast() } else if !rooted { parts.append(part) }
            } else {
                parts.append(part)
            }
        }
        let joined = parts.joined(separator: "/")
        return rooted ? "/" + joined : joined.isEmpty ? "." : joined
    }
}
