import LinuxSystem
import OCILayer

/// Unpacks an archive of a client into a directory of a container.
///
/// Names are resolved below the container's root with `openat2`, so links lead where they would lead the container's own processes and no further. Nothing
/// of the container or the archive is executed, loaded or mapped. A member replaces what has its name; two directories are merged.
final class ArchiveExtractor {
    struct Options: Sendable {
        /// A directory never takes the place of something else, nor the other way round.
        var keepsKinds = false
        /// Owner of everything, instead of what the archive says.
        var uid: UInt32?
        var gid: UInt32?
        /// A name that leads out by its letters leads to the top instead of being refused, as `..` of the root directory does.
        var staysInside = false
    }

    private let reader: TarReader
    private let root: DirectoryFD
    /// Without links, as components joined by slashes, without one at the ends.
    private let base: [UInt8]
    private let options: Options
    private var parent: (path: [UInt8], directory: DirectoryFD)?
    private var directoryTimes: [(path: [UInt8], time: TarTime)] = []
    private static let slash = UInt8(ascii: "/")

    /// - Parameter base: the directory that the members' names start from, without links.
    init(_ source: any ByteSource, into filesystem: ContainerFilesystem, at base: String, options: Options) throws(SystemError) {
        reader = TarReader(source)
        root = try DirectoryFD(path: "/proc/self/fd/\(filesystem.root.directory.rawValue)")
        self.base = Array(RootedPath.components(base).joined(separator: "/").utf8)
        self.options = options
    }

    /// - Throws: `TarError`, `SystemError`, or `DaemonError` in dockerd's words. What was unpacked before stays.
    func extract() throws {
        while let entry = try reader.next() {
            do { try extract(entry) } catch let error as SystemError {
                // The user knows the whole path, not the name in some directory.
                let path = "/" + String(decoding: full(try Self.local(entry.path, "entry name", staysInside: options.staysInside) ?? []).prefix(1024), as: UTF8.self)
                throw SystemError(call: error.call, subject: path, errno: error.errno)
            }
        }
        // A file made in a directory changes its time, so those come last.
        for (path, time) in directoryTimes.reversed() {
            try root.directory(inRoot: CName(path)).setModified(.current, seconds: time.seconds, nanoseconds: time.nanoseconds)
        }
    }

    private func extract(_ entry: TarEntry) throws {
        guard let path = try Self.local(entry.path, "entry name", staysInside: options.staysInside) else { return }
        let name = CName(path.last ?? [])
        let directory = try makeParent(Array(path.dropLast()))
        if let existing = try directory.statusIfPresent(name) {
            try replace(existing, by: entry, name, in: directory)
        }
        switch entry.kind {
        case .directory:
            if try directory.statusIfPresent(name) == nil { try directory.makeDirectory(name) }
            directoryTimes.append((full(path), entry.modified))
        case .file: try writeFile(name, entry, in: directory)
        case .symbolicLink: try directory.makeSymbolicLink(name, to: CName(entry.linkTarget))
        case .hardLink: return try makeHardLink(name, entry, in: directory)
        case .fifo: try directory.makeFIFO(name)
        case .characterDevice: try directory.makeCharacterDevice(name, major: entry.deviceMajor, minor: entry.deviceMinor)
        case .blockDevice: try directory.makeBlockDevice(name, major: entry.deviceMajor, minor: entry.deviceMinor)
        }
        try setAttributes(entry, name, in: directory)
    }

    // MARK: Names

    /// The components of a member's name; nil for the directory itself.
    ///
    /// - Throws: for a name that leads out of the directory by its letters.
    private static func local(_ name: [UInt8], _ what: String, staysInside: Bool) throws(DaemonError) -> [[UInt8]]? {
        var components: [[UInt8]] = []
        for part in name.split(separator: slash) where !part.elementsEqual(".".utf8) {
            if part.elementsEqual("..".utf8) {
                guard components.popLast() != nil || staysInside else { throw .internalError("invalid \(what) \"\(String(decoding: name.prefix(256), as: UTF8.self))\"") }
            } else {
                components.append(Array(part))
            }
        }
        return components.isEmpty ? nil : components
    }

    private func full(_ path: [[UInt8]]) -> [UInt8] { Array(((base.isEmpty ? [] : [base]) + path).joined(separator: [Self.slash])) }

    private func open(_ path: [[UInt8]]) throws(SystemError) -> DirectoryFD {
        let whole = full(path)
        return try root.directory(inRoot: CName(whole.isEmpty ? [UInt8(ascii: ".")] : whole))
    }

    /// The directory that a member goes into, made with all above it where it is missing. The last one is kept: members of one directory follow each other.
    private func makeParent(_ path: [[UInt8]]) throws -> DirectoryFD {
        let whole = full(path)
        if let parent, parent.path == whole { return parent.directory }
        let directory: DirectoryFD
        do throws(SystemError) { directory = try open(path) } catch {
            guard error.errno == .noSuchFile, !path.isEmpty else { throw error }
            let above = try makeParent(Array(path.dropLast()))
            let name = CName(path[path.count - 1])
            try above.makeDirectory(name)
            try above.setMode(name, 0o755)
            directory = try open(path)
        }
        parent = (whole, directory)
        return directory
    }

    // MARK: Members

    private func replace(_ existing: FileStatus, by entry: TarEntry, _ name: CName, in directory: DirectoryFD) throws {
        let wasDirectory = existing.kind == .directory, isDirectory = entry.kind == .directory
        if options.keepsKinds, wasDirectory != isDirectory {
            let text = String(decoding: entry.path.prefix(256), as: UTF8.self), place = "/" + String(decoding: base, as: UTF8.self)
            throw DaemonError.internalError(
                wasDirectory ? "cannot overwrite directory \"\(text)\" with non-directory \"\(place)\"" : "cannot overwrite non-directory \"\(text)\" with directory \"\(place)\"")
        }
        guard !(wasDirectory && isDirectory) else { return }
        try FileTree.remove(name, in: directory)
        // It may have been the kept parent, or above it.
        parent = nil
    }

    private func writeFile(_ name: CName, _ entry: TarEntry, in directory: DirectoryFD) throws {
        let file = try directory.createFile(name)
        var end: Int64 = 0
        while let (offset, bytes) = try reader.nextChunk() {
            try file.writeAll(bytes, at: offset, on: "\(name)")
            end = offset + Int64(bytes.count)
        }
        if end < entry.size { try file.setSize(entry.size, on: "\(name)") }
        try file.close(on: "\(name)")
    }

    private func makeHardLink(_ name: CName, _ entry: TarEntry, in directory: DirectoryFD) throws {
        guard let target = try Self.local(entry.linkTarget, "hardlink target", staysInside: options.staysInside), let last = target.last else {
            throw DaemonError.internalError("invalid hardlink target \"\(String(decoding: entry.linkTarget.prefix(256), as: UTF8.self))\"")
        }
        try directory.makeHardLink(name, to: CName(last), in: try open(Array(target.dropLast())))
    }

    /// Owner before attributes and mode: a change of owner takes set-id bits and capabilities away. Times last.
    private func setAttributes(_ entry: TarEntry, _ name: CName, in directory: DirectoryFD) throws {
        try directory.setOwner(name, uid: options.uid ?? entry.uid, gid: options.gid ?? entry.gid)
        for attribute in entry.xattrs where !Whiteout.isOverlayAttribute(attribute.name) {
            do throws(SystemError) { try directory.setXattr(name, CName(attribute.name), attribute.value) } catch {
                guard error.errno == .notPermitted else { throw error }
            }
        }
        if entry.kind != .symbolicLink { try directory.setMode(name, entry.mode) }
        if entry.kind != .directory { try directory.setModified(name, seconds: entry.modified.seconds, nanoseconds: entry.modified.nanoseconds) }
    }
}

/// The start of a stream, looked at before it is read: which packing it has.
final class ArchiveStart: ByteSource {
    private let source: any ByteSource
    private var held: [UInt8] = []
    private var position = 0

    init(_ source: any ByteSource) { self.source = source }

    /// The stream without its packing, if it has one.
    func plain() throws -> any ByteSource {
        var buffer = [UInt8](repeating: 0, count: ArchivePacking.headLength)
        while held.count < buffer.count {
            let count = try buffer.withUnsafeMutableBytes { try source.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[..<($0.count - held.count)])) }
            if count == 0 { break }
            held += buffer[..<count]
        }
        return try ArchivePacking(held).map { try UnpackedSource(self, $0) } ?? self
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard position < held.count else { return try source.read(into: buffer) }
        let count = min(buffer.count, held.count - position)
        buffer.copyBytes(from: held[position..<(position + count)])
        position += count
        return count
    }
}
