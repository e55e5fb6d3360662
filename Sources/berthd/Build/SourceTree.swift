import Crypto
import Glibc
import LinuxSystem

/// Where COPY and ADD take files from: the context or an image. Blocks.
struct SourceTree: Sendable {
    /// One of the things that an instruction copies.
    struct Item: Sendable {
        /// As it is written or was found, without a slash at its start.
        var name: String
        /// Without links.
        var path: String
        var isDirectory: Bool
        /// `file:` or `dir:` and what its content and attributes, without times, add up to.
        var digest: String
    }

    let files: ContainerFilesystem
    /// Else an image.
    let isContext: Bool

    /// What a source names: one thing, or with `*`, `?` and `[]` all that match, in their order.
    ///
    /// - Throws: in Docker's words when there is nothing or the path leads out.
    func items(_ source: String) throws -> [Item] {
        var name = source[...]
        if name.isAbsolutePath { name = name.dropFirst() }
        if name.hasPrefix("./") { name = name.dropFirst(2) }
        guard Self.hasWildcards(name) else { return [try item(String(name))] }
        return try matches(String(name)).map { try item($0) }
    }

    private func item(_ name: String) throws -> Item {
        // By its letters: a link that leads out is followed inside, this is a mistake.
        if RootedPath.leavesRoot(name) { throw DaemonError.internalError("forbidden path outside the build context: \(name) ()") }
        let place: (path: String, status: FileStatus)
        do throws(SystemError) { place = try files.resolved("/" + name) } catch {
            guard error.errno == .noSuchFile else { throw error }
            let text = "stat \(name): file does not exist"
            throw DaemonError.internalError(isContext ? "file not found in build context or excluded by .dockerignore: \(text)" : text)
        }
        let isDirectory = place.status.kind == .directory
        let digest = isDirectory ? try "dir:" + TreeDigest.of(directory: try files.directory(place.path), named: place.path) : try "file:" + fileDigest(place.path, as: name)
        return Item(name: name, path: place.path, isDirectory: isDirectory, digest: digest)
    }

    private func fileDigest(_ path: String, as name: String) throws -> String {
        let last = CName(RootedPath.components(path).last ?? ".")
        return try TreeDigest.of(last, in: try files.directory(FileService.parent(of: path)), named: Array(RootedPath.cleaned(name).utf8))
    }

    static func hasWildcards(_ name: Substring) -> Bool {
        var rest = name[...]
        while let character = rest.popFirst() {
            if character == "\\" { _ = rest.popFirst() } else if "*?[".contains(character) { return true }
        }
        return false
    }

    /// Paths that match component by component; links are no directories here.
    private func matches(_ pattern: String) throws -> [String] {
        var found: [(path: String, directory: DirectoryFD)] = [("", try files.directory("/"))]
        let parts = RootedPath.components(pattern)
        for (index, part) in parts.enumerated() {
            let isLast = index == parts.count - 1
            var next: [(path: String, directory: DirectoryFD)] = []
            for (path, directory) in found {
                for bytes in try directory.names().sorted(by: { $0.lexicographicallyPrecedes($1) }) {
                    let name = String(decoding: bytes, as: UTF8.self)
                    guard ReferencePattern.matchesName(part, name) else { continue }
                    let whole = path.isEmpty ? name : "\(path)/\(name)"
                    if isLast { next.append((whole, directory)) } else if try directory.status(CName(bytes)).kind == .directory { next.append((whole, try directory.directory(CName(bytes)))) }
                }
            }
            found = next
        }
        return found.map(\.path)
    }
}

/// What files add up to: names, kinds, modes, owners, sizes, targets of links, capabilities and content. Times are left out, so that a fresh checkout is the same.
enum TreeDigest {
    private static let capability = CName("security.capability")

    static func of(directory: DirectoryFD, named name: String) throws -> String {
        var digests: [String] = []
        try collect(directory, named: Array(name.utf8), into: &digests)
        return of(list: digests.sorted())
    }

    static func of(list: [String]) -> String { hex(SHA256.hash(data: Array(list.joined(separator: ",").utf8))) }

    private static func collect(_ directory: DirectoryFD, named path: [UInt8], into digests: inout [String]) throws {
        // The directory itself gives nothing but what is in it: its attributes are not copied.
        for bytes in try directory.names() {
            let name = CName(bytes), whole = path + [UInt8(ascii: "/")] + bytes
            digests.append(try of(name, in: directory, named: whole))
            if try directory.status(name).kind == .directory { try collect(try directory.directory(name), named: whole, into: &digests) }
        }
    }

    static func of(_ name: CName, in directory: DirectoryFD, named path: [UInt8]) throws -> String {
        let status = try directory.status(name)
        var hash = SHA256()
        hash.update(data: path)
        let size = status.kind == .file ? status.size : 0
        hash.update(data: Array("\0\(status.kind) \(String(status.mode, radix: 8)) \(status.uid) \(status.gid) \(size) \(status.deviceMajor) \(status.deviceMinor)\0".utf8))
        switch status.kind {
        case .symbolicLink: hash.update(data: try directory.readLink(name))
        case .file:
            if let value = try directory.xattr(name, capability) { hash.update(data: value) }
            try add(try directory.openFile(name), named: name, to: &hash)
        default: break
        }
        return hex(hash.finalize())
    }

    private static func add(_ file: consuming OwnedFD, named name: CName, to hash: inout SHA256) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
        defer { buffer.deallocate() }
        var offset: Int64 = 0
        while case let count = try file.readSome(into: buffer, at: offset, on: "\(name)"), count > 0 {
            hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            offset += Int64(count)
        }
    }

    private static func hex(_ digest: SHA256.Digest) -> String { digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
}
