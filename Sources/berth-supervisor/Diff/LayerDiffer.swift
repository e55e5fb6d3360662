import BerthDefaults
import LinuxSystem
import OCILayer

/// Writes what a snapshot changed as a layer: what it adds and changes as members, what it takes away as whiteouts. An upper directory of overlayfs says that
/// by itself; a whole tree is held against the one it began as (LayerDiffer+Trees.swift).
///
/// The same directory gives the same bytes: members in the order of their names, whole seconds only (as every engine writes layers), no owner names.
/// The tree may belong to a running container: every component is opened without following links, and a file that changes while it is read is cut or
/// filled with zeros to the size in its header.
final class LayerDiffer {
    private let writer: TarWriter
    /// Directories with a change below them, perhaps: written before the first one that is found.
    var undecided: [(entry: TarEntry, name: CName, directory: DirectoryFD)] = []
    private var linked: [LinkKey: [UInt8]] = [:]
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
    private let latest: Int64?

    private struct LinkKey: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    /// - Parameter latest: no time in the layer is after this (SOURCE_DATE_EPOCH), seconds since 1970.
    init(_ sink: any ByteSink, latest: Int64? = nil) {
        writer = TarWriter(sink)
        self.latest = latest
    }

    deinit { buffer.deallocate() }

    /// Writes the whole archive with its end. The root itself is left out, as it is in every engine's layers.
    func write(_ upper: DirectoryFD) throws {
        try writeChildren(of: upper, path: [])
        try writer.finish()
    }

    func finish() throws { try writer.finish() }

    private func add(_ entry: TarEntry) throws {
        try addUndecided()
        try writer.add(entry)
    }

    func addUndecided() throws {
        let held = undecided
        undecided = []
        for (entry, name, directory) in held { try writer.add(try withAttributes(entry, name, in: directory)) }
    }

    func addWhiteout(_ name: some Collection<UInt8>, in path: some Collection<UInt8>) throws {
        try addUndecided()
        let parent = path.isEmpty ? [] : Array(path) + [UInt8(ascii: "/")]
        try writer.add(TarEntry(kind: .file, path: parent + Whiteout.name(removing: name), mode: 0), content: [])
    }

    func writeChildren(of directory: DirectoryFD, path: [UInt8]) throws {
        for name in try directory.names().sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            let child = CName(name)
            // Gone since it was listed: the container goes on.
            guard let status = try directory.statusIfPresent(child) else { continue }
            try write(child, status, in: directory, path: path.isEmpty ? name : path + [UInt8(ascii: "/")] + name)
        }
    }

    func write(_ name: CName, _ status: FileStatus, in directory: DirectoryFD, path: [UInt8]) throws {
        if status.isWhiteout { return try addWhiteout(name.content, in: path.dropLast(name.content.count + 1)) }
        guard var entry = entry(status, path: path) else { return }  // a socket: nothing that an image can have
        if status.linkCount > 1, status.kind != .directory {
            let key = LinkKey(device: status.device, inode: status.inode)
            if let first = linked[key] {
                entry.kind = .hardLink
                entry.linkTarget = first
                return try add(entry)
            }
            linked[key] = path
        }
        entry = try withAttributes(entry, name, in: directory)
        switch status.kind {
        case .file: try writeFile(entry, name, in: directory)
        case .directory:
            let isOpaque = try LayerFiles.isOpaque(directory, name)
            try add(entry)
            let child = try directory.directory(name)
            if isOpaque { try writer.add(TarEntry(kind: .file, path: path + [UInt8(ascii: "/")] + Whiteout.opaqueName, mode: 0), content: []) }
            try writeChildren(of: child, path: path)
        case .symbolicLink:
            entry.linkTarget = try directory.readLink(name)
            try add(entry)
        default: try add(entry)
        }
    }

    private func withAttributes(_ entry: TarEntry, _ name: CName, in directory: DirectoryFD) throws -> TarEntry {
        var entry = entry
        for attribute in try directory.xattrNames(name).sorted(by: { $0.lexicographicallyPrecedes($1) }) where Self.isKept(attribute) {
            if let value = try directory.xattr(name, CName(attribute)) { entry.xattrs.append(ExtendedAttribute(name: attribute, value: value)) }
        }
        return entry
    }

    private func writeFile(_ entry: TarEntry, _ name: CName, in directory: DirectoryFD) throws {
        let file: OwnedFD
        do throws(SystemError) { file = try directory.openFile(name) } catch {
            if error.errno == .noSuchFile { return }
            throw error
        }
        try add(entry)
        var offset: Int64 = 0
        while offset < entry.size {
            let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(Int64(buffer.count), entry.size - offset))])
            var count = try file.readSome(into: wanted, at: offset, on: "\(name)")
            if count == 0 {
                // Became shorter: the header stands already.
                wanted.initializeMemory(as: UInt8.self, repeating: 0)
                count = wanted.count
            }
            try writer.write(UnsafeRawBufferPointer(rebasing: wanted[..<count]))
            offset += Int64(count)
        }
    }

    func entry(_ status: FileStatus, path: [UInt8]) -> TarEntry? {
        let kind: TarEntry.Kind
        switch status.kind {
        case .file: kind = .file
        case .directory: kind = .directory
        case .symbolicLink: kind = .symbolicLink
        case .characterDevice: kind = .characterDevice
        case .blockDevice: kind = .blockDevice
        case .fifo: kind = .fifo
        case .socket, .other: return nil
        }
        let seconds = min(status.modifiedSeconds, latest ?? .max)
        var entry = TarEntry(kind: kind, path: path, mode: kind == .symbolicLink ? 0o777 : status.mode, modified: TarTime(seconds: seconds))
        entry.uid = status.uid
        entry.gid = status.gid
        if kind == .file { entry.size = status.size }
        if kind == .characterDevice || kind == .blockDevice {
            entry.deviceMajor = status.deviceMajor
            entry.deviceMinor = status.deviceMinor
        }
        return entry
    }

    /// Attributes that belong to the file and not to this machine: capabilities, access lists, the user's own.
    private static func isKept(_ attribute: [UInt8]) -> Bool {
        if Whiteout.isOverlayAttribute(attribute) { return false }
        return attribute.starts(with: "user.".utf8) || attribute.elementsEqual("security.capability".utf8)
            || attribute.elementsEqual("system.posix_acl_access".utf8) || attribute.elementsEqual("system.posix_acl_default".utf8)
    }
}
