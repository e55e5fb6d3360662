import DockerAPI
import Glibc
import LinuxSystem
import OCILayer

/// What `build` sends: a directory without what its `.dockerignore` leaves out, or what comes in on standard input.
final class BuildContext {
    private enum Source {
        case directory(String)
        /// An archive on standard input, of which this was read already.
        case archive(begun: [UInt8])
        /// Nothing but the Dockerfile.
        case dockerfile
    }

    /// Its name in the archive.
    let dockerfile: String
    private let source: Source
    /// A Dockerfile that is not of the directory, which goes along under a name of its own.
    private let extra: [UInt8]?

    /// - Throws: `CommandFailure` in Docker's words.
    init(_ path: String, dockerfile name: String) throws {
        if path == "-" {
            if name == "-" { throw CommandFailure("invalid argument: can't use stdin for both build context and dockerfile") }
            let begun = try BuildContext.readInput(atLeast: 1024)
            if BuildContext.isArchive(begun) {
                (source, dockerfile, extra) = (.archive(begun: begun), name, nil)
                return
            }
            if !name.isEmpty { throw CommandFailure("unable to prepare context: ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles") }
            (source, dockerfile, extra) = (.dockerfile, "Dockerfile", try BuildContext.readInput(atLeast: .max, begun: begun))
            return
        }
        let isAddress = ["http://", "https://", "git://", "git@", "github.com/"].contains { path.hasPrefix($0) }
        guard LocalFile.kind(path, following: true) != nil else {
            throw CommandFailure("unable to prepare context: " + (isAddress ? "an address as the context is not supported: \(path)" : "path \(GoText.quoted(path)) not found"))
        }
        guard let directory = BuildContext.real(path), LocalFile.kind(directory) == .directory else { throw CommandFailure("unable to prepare context: context must be a directory: \(LocalFile.absolute(path))") }
        source = .directory(directory)
        if name == "-" {
            extra = try BuildContext.readInput(atLeast: .max)
        } else {
            let place = try BuildContext.dockerfilePlace(name, in: directory)
            guard !place.isInside else {
                (dockerfile, extra) = (place.path, nil)
                return
            }
            do { extra = try LocalFile.read(place.path) } catch { throw CommandFailure("unable to open Dockerfile: open \(name): \(error.errno.goDescription)") }
        }
        dockerfile = ".dockerfile." + BuildContext.randomName()
    }

    /// Writes the archive; returns its bytes.
    func write(to sink: ChunkSink) throws -> Int64 {
        let counter = CountingSink(sink)
        switch source {
        case .archive(let begun):
            try begun.withUnsafeBytes { try counter.write($0) }
            while case let piece = try LocalFile.read(0, limit: 1 << 17), !piece.isEmpty { try piece.withUnsafeBytes { try counter.write($0) } }
        case .dockerfile:
            let writer = TarWriter(counter)
            try writer.add(TarEntry(kind: .file, path: Array(dockerfile.utf8), mode: 0o600, modified: BuildContext.now), content: extra ?? [])
            try writer.finish()
        case .directory(let path): try writeDirectory(path, counter)
        }
        return counter.count
    }

    // MARK: Directory

    private func writeDirectory(_ path: String, _ sink: CountingSink) throws {
        let root: DirectoryFD
        do { root = try DirectoryFD(path: path) } catch { throw CommandFailure("error checking context: open \(path): \(error.errno.goDescription)") }
        let ignored = (try? LocalFile.read(path + "/.dockerignore")) ?? []
        var lines = String(decoding: ignored, as: UTF8.self).split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") }
        let patterns = try BuildContext.patterns(lines)
        // The engine takes both out itself, once it has read them.
        if patterns.matches(".dockerignore") { lines.append("!.dockerignore") }
        if extra == nil, patterns.matches(dockerfile) { lines.append("!" + dockerfile) }
        let writer = TarWriter(sink)
        try DirectoryArchive(root, writer, leavingOut: try BuildContext.patterns(lines), skipping: extra == nil ? [] : [".dockerignore"]).write()
        if let extra {
            try writer.add(TarEntry(kind: .file, path: Array(dockerfile.utf8), mode: 0o600, modified: BuildContext.now), content: extra)
            let names = (ignored.isEmpty ? Array(".dockerignore".utf8) : ignored) + Array("\n\(dockerfile)\n".utf8)
            try writer.add(TarEntry(kind: .file, path: Array(".dockerignore".utf8), mode: 0o600, modified: BuildContext.now), content: names)
        }
        try writer.finish()
    }

    private static func patterns(_ lines: [String]) throws -> IgnorePatterns {
        do { return try IgnorePatterns(lines) } catch { throw CommandFailure("error reading .dockerignore: \(error)") }
    }

    /// Below the directory, or elsewhere on the machine. A name is of the working directory, not of the context.
    private static func dockerfilePlace(_ name: String, in directory: String) throws -> (path: String, isInside: Bool) {
        var path = name.isEmpty ? directory + "/Dockerfile" : LocalFile.absolute(name)
        if name.isEmpty, LocalFile.kind(path) == nil, LocalFile.kind(directory + "/dockerfile") != nil { path = directory + "/dockerfile" }
        guard let real = real(path) else {
            throw CommandFailure("unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat \(path): no such file or directory")
        }
        let prefix = directory == "/" ? "/" : directory + "/"
        return real.hasPrefix(prefix) ? (String(real.dropFirst(prefix.count)), true) : (real, false)
    }

    private static func real(_ path: String) -> String? {
        guard let found = realpath(path, nil) else { return nil }
        defer { free(found) }
        return String(cString: found)
    }

    // MARK: Standard input

    private static func readInput(atLeast count: Int, begun: [UInt8] = []) throws -> [UInt8] {
        var bytes = begun
        while bytes.count < count, case let piece = try LocalFile.read(0, limit: 1 << 16), !piece.isEmpty { bytes += piece }
        return bytes
    }

    /// By the packing's first bytes, or a header of tar.
    private static func isArchive(_ head: [UInt8]) -> Bool {
        let packings: [[UInt8]] = [[0x1F, 0x8B], Array("BZh".utf8), [0xFD, 0x37, 0x7A, 0x58, 0x5A], [0x28, 0xB5, 0x2F, 0xFD]]
        if packings.contains(where: { head.starts(with: $0) }) { return true }
        guard head.count >= 512 else { return false }
        return (try? TarReader(BytesSource(Array(head.prefix(512))), bufferSize: 4096).next()) != nil
    }

    private static var now: TarTime { TarTime(seconds: Int64(time(nil))) }

    private static func randomName() -> String {
        var generator = SystemRandomNumberGenerator()
        return String((0..<20).map { _ in "0123456789abcdef".randomElement(using: &generator) ?? "0" })
    }
}

/// A directory's files as members of an archive: in the order of their names, owned by root.
private final class DirectoryArchive {
    private struct FileIdentity: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    private let root: DirectoryFD
    private let writer: TarWriter
    private let ignored: IgnorePatterns
    /// Written by somebody else.
    private let skipped: Set<String>
    private var links: [FileIdentity: [UInt8]] = [:]

    init(_ root: DirectoryFD, _ writer: TarWriter, leavingOut ignored: IgnorePatterns, skipping skipped: Set<String>) {
        (self.root, self.writer, self.ignored, self.skipped) = (root, writer, ignored, skipped)
    }

    func write() throws { try writeChildren(of: root, below: []) }

    private func writeChildren(of directory: DirectoryFD, below path: [UInt8]) throws {
        for bytes in try directory.names().sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            let whole = path.isEmpty ? bytes : path + [UInt8(ascii: "/")] + bytes
            let text = String(decoding: whole, as: UTF8.self)
            if skipped.contains(text) { continue }
            let name = CName(bytes), status = try directory.status(name)
            let isIgnored = ignored.matches(text)
            if !isIgnored { try write(name, status, in: directory, as: whole) }
            // Something in it may come back.
            if status.kind == .directory, !isIgnored || ignored.hasExceptions { try writeChildren(of: try directory.directory(name), below: whole) }
        }
    }

    private func write(_ name: CName, _ status: FileStatus, in directory: DirectoryFD, as path: [UInt8]) throws {
        guard let kind = TarEntry.Kind(status) else { return }
        if kind == .file, status.linkCount > 1 {
            let identity = FileIdentity(device: status.device, inode: status.inode)
            if let first = links[identity] {
                var entry = TarEntry(kind: .hardLink, path: path, mode: status.mode, modified: TarTime(seconds: status.modifiedSeconds))
                entry.linkTarget = first
                return try writer.add(entry)
            }
            links[identity] = path
        }
        var entry = TarEntry(kind: kind, path: kind == .directory ? path + [UInt8(ascii: "/")] : path, mode: status.mode, modified: TarTime(seconds: status.modifiedSeconds))
        switch kind {
        case .symbolicLink: entry.linkTarget = try directory.readLink(name)
        case .characterDevice, .blockDevice: (entry.deviceMajor, entry.deviceMinor) = (status.deviceMajor, status.deviceMinor)
        default: break
        }
        guard kind == .file else { return try writer.add(entry) }
        entry.size = status.size
        let file: OwnedFD
        do { file = try directory.openFile(name) } catch {
            throw CommandFailure("error checking context: no permission to read from '\(String(decoding: path, as: UTF8.self))': \(error.errno.goDescription)")
        }
        try writer.add(entry)
        try writer.copy(file, status.size)
    }
}

extension TarEntry.Kind {
    /// nil for what has no place in an archive.
    init?(_ status: FileStatus) {
        switch status.kind {
        case .file: self = .file
        case .directory: self = .directory
        case .symbolicLink: self = .symbolicLink
        case .characterDevice: self = .characterDevice
        case .blockDevice: self = .blockDevice
        case .fifo: self = .fifo
        case .socket, .other: return nil
        }
    }
}

extension TarWriter {
    /// Exactly the announced number of bytes: a file that shrinks meanwhile is filled up, since the archive has promised its size.
    func copy(_ file: consuming OwnedFD, _ size: Int64) throws {
        var left = size
        while left > 0 {
            var bytes = try LocalFile.read(file.rawValue, limit: Int(min(left, 1 << 17)))
            if bytes.isEmpty { bytes = [UInt8](repeating: 0, count: Int(min(left, 1 << 17))) }
            try bytes.withUnsafeBytes { try write($0) }
            left -= Int64(bytes.count)
        }
    }
}

private final class CountingSink: ByteSink {
    private let sink: ChunkSink
    private(set) var count: Int64 = 0
    init(_ sink: ChunkSink) { self.sink = sink }
    func write(_ bytes: UnsafeRawBufferPointer) throws {
        count += Int64(bytes.count)
        try sink.write(bytes)
    }
}

private final class BytesSource: ByteSource {
    private var rest: ArraySlice<UInt8>
    init(_ bytes: [UInt8]) { rest = bytes[...] }
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = min(buffer.count, rest.count)
        buffer.copyBytes(from: rest.prefix(count))
        rest = rest.dropFirst(count)
        return count
    }
}
