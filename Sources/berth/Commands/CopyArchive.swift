import DockerAPI
import Glibc
import LinuxSystem
import OCILayer

/// A local file or directory as the archive that `PUT /containers/ID/archive` takes.
struct ArchiveCreation {
    private let path: String
    let base: String
    let isDirectory: Bool

    init(_ path: String, followsLink: Bool) throws {
        var path = path
        let clean = path.hasSuffix("/.") || path.hasSuffix("/") ? LocalFile.clean(path) : path
        guard let kind = LocalFile.kind(clean) else { throw CommandFailure("lstat \(clean): no such file or directory") }
        var isDirectory = kind == .directory
        if kind == .symlink, followsLink || path.hasSuffix("/") || path.hasSuffix("/.") {
            isDirectory = LocalFile.kind(clean, following: true) == .directory
            guard let real = realpath(clean, nil) else { throw CommandFailure("lstat \(clean): no such file or directory") }
            defer { free(real) }
            path = String(cString: real) + (path.hasSuffix("/.") ? "/." : "")
        } else if path.hasSuffix("/"), path != "/" {
            if !isDirectory { throw CommandFailure("not a directory") }
            path = clean
        }
        self.isDirectory = isDirectory
        self.path = path
        base = CopyPath(clean == path ? path : path.hasSuffix("/.") ? path : clean).base
    }

    /// Writes the tree with `name` as its top; returns the bytes of content.
    func write(to sink: ChunkSink, as name: String) throws -> Int64 {
        let writer = TarWriter(SinkAdapter(sink))
        let place = CopyPath(path.hasSuffix("/.") ? LocalFile.clean(path) : path)
        let top = try DirectoryFD(path: place.directory)
        var size: Int64 = 0
        var links: [FileIdentity: [UInt8]] = [:]
        let start = place.base.isEmpty ? CName.current : CName(place.base)
        try add(start, in: top, as: Array(name.utf8), writer, &size, &links)
        try writer.finish()
        return size
    }

    private struct FileIdentity: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    private func add(
        _ name: CName, in directory: DirectoryFD, as path: [UInt8], _ writer: TarWriter, _ size: inout Int64, _ links: inout [FileIdentity: [UInt8]]
    ) throws {
        let status = try directory.status(name)
        // A socket has no content that could be copied
        guard let kind = TarEntry.Kind(status) else { return }
        var entry = TarEntry(
            kind: kind, path: path, mode: status.mode, modified: TarTime(seconds: status.modifiedSeconds, nanoseconds: status.modifiedNanoseconds))
        (entry.uid, entry.gid) = (status.uid, status.gid)
        switch kind {
        case .symbolicLink: entry.linkTarget = try directory.readLink(name)
        case .characterDevice, .blockDevice: (entry.deviceMajor, entry.deviceMinor) = (status.deviceMajor, status.deviceMinor)
        case .directory: entry.path.append(UInt8(ascii: "/"))
        case .file where status.linkCount > 1:
            let identity = FileIdentity(device: status.device, inode: status.inode)
            if let first = links[identity] {
                entry.kind = .hardLink
                entry.linkTarget = first
            } else {
                links[identity] = path
            }
        default: break
        }
        if entry.kind == .file {
            entry.size = status.size
            try writer.add(entry)
            try writer.copy(try directory.openFile(name), status.size)
            size += status.size
        } else {
            try writer.add(entry)
        }
        guard kind == .directory else { return }
        let child = try directory.directory(name)
        for entry in try child.names().sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            try add(CName(entry), in: child, as: path + [UInt8(ascii: "/")] + entry, writer, &size, &links)
        }
    }
}

private final class SinkAdapter: ByteSink {
    private let sink: ChunkSink
    init(_ sink: ChunkSink) { self.sink = sink }
    func write(_ bytes: UnsafeRawBufferPointer) throws { try sink.write(bytes) }
}

/// The body of a reply as the source of an archive.
final class ResponseSource: ByteSource {
    private let response: HTTPResponse
    private var rest: ArraySlice<UInt8> = []
    init(_ response: HTTPResponse) { self.response = response }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        if rest.isEmpty { rest = try response.read() }
        let count = min(buffer.count, rest.count)
        buffer.copyBytes(from: rest.prefix(count))
        rest = rest.dropFirst(count)
        return count
    }
}

/// Unpacks what a container sends below a local directory. Nothing in the archive leads out of it: every name is resolved with that directory as the root, so a
/// symbolic link that the archive brought along cannot be used to write elsewhere.
struct ArchiveExtraction {
    private let root: DirectoryFD
    private let keepsOwners: Bool

    init(into directory: String, keepsOwners: Bool) throws {
        do { root = try DirectoryFD(path: directory) } catch { throw CommandFailure("lstat \(directory): \(error.errno.goDescription)") }
        self.keepsOwners = keepsOwners
    }

    /// - Parameters:
    ///   - base: the name at the top of the archive.
    ///   - name: what it becomes; nil leaves it.
    /// - Returns: bytes of content.
    func run(_ source: any ByteSource, replacing base: String, with name: String?) throws -> Int64 {
        let reader = TarReader(source)
        var directories: [(path: String, entry: TarEntry)] = []
        var size: Int64 = 0
        while let entry = try reader.next() {
            let path = renamed(entry.path, base, name)
            let parts = path.split(separator: "/").filter { $0 != "." }.map(String.init)
            guard let last = parts.last else { continue }
            if parts.contains("..") { throw CommandFailure("archive entry \(GoText.quoted(path)) leads out of the destination") }
            let parent = parts.count == 1 ? root : try root.directory(inRoot: CName(parts.dropLast().joined(separator: "/")))
            try place(entry, CName(last), in: parent, reader, renamed(entry.linkTarget, base, name))
            size += entry.size
            if entry.kind == .directory { directories.append((parts.joined(separator: "/"), entry)) }
        }
        // Times of directories last: writing into them changes those
        for (path, entry) in directories.reversed() {
            let place = CopyPath(path)
            let parent = try root.directory(inRoot: CName(place.directory))
            try finish(entry, CName(place.base), in: parent)
        }
        return size
    }

    private func renamed(_ path: [UInt8], _ base: String, _ name: String?) -> String {
        let text = String(decoding: path, as: UTF8.self)
        guard let name, base != "." else { return text }
        if text == base || text == base + "/" { return name }
        return text.hasPrefix(base + "/") ? name + text.dropFirst(base.count) : text
    }

    private func place(_ entry: TarEntry, _ name: CName, in parent: DirectoryFD, _ reader: TarReader, _ linkPath: String) throws {
        let present = try parent.statusIfPresent(name)
        if entry.kind == .directory {
            if let present {
                guard present.kind == .directory else { throw CommandFailure("cannot overwrite non-directory \"\(name)\" with directory") }
            } else {
                try parent.makeDirectory(name)
            }
            return
        }
        if let present {
            guard present.kind != .directory else { throw CommandFailure("cannot overwrite directory \"\(name)\" with non-directory") }
            try parent.unlink(name)
        }
        switch entry.kind {
        case .file:
            let file = try parent.createFile(name)
            while let (offset, bytes) = try reader.nextChunk() { try file.writeAll(bytes, at: offset, on: "\(name)") }
            try file.setSize(entry.size, on: "\(name)")
        case .symbolicLink: try parent.makeSymbolicLink(name, to: CName(entry.linkTarget))
        case .hardLink:
            let target = CopyPath(linkPath)
            try parent.makeHardLink(name, to: CName(target.base), in: try root.directory(inRoot: CName(target.directory)))
            return
        case .fifo: try parent.makeFIFO(name)
        case .characterDevice: try parent.makeCharacterDevice(name, major: entry.deviceMajor, minor: entry.deviceMinor)
        case .blockDevice: try parent.makeBlockDevice(name, major: entry.deviceMajor, minor: entry.deviceMinor)
        case .directory: break
        }
        try finish(entry, name, in: parent)
    }

    private func finish(_ entry: TarEntry, _ name: CName, in parent: DirectoryFD) throws {
        if keepsOwners { try parent.setOwner(name, uid: entry.uid, gid: entry.gid) }
        if entry.kind != .symbolicLink { try parent.setMode(name, entry.mode) }
        try parent.setModified(name, seconds: entry.modified.seconds, nanoseconds: entry.modified.nanoseconds)
    }
}
