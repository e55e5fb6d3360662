import LinuxSystem
import OCILayer

/// Writes files as `docker cp` and `docker export` send them: members in the order of their names, whole seconds, no owner names, of the extended
/// attributes only the capabilities of a program.
///
/// The tree may belong to a running container: every component is opened without following links, and a file that changes while it is read is cut or
/// filled with zeros to the size in its header. Sockets are left out, and what cannot be read.
final class TreeArchiver {
    private struct LinkKey: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    private let writer: TarWriter
    private var linked: [LinkKey: [UInt8]] = [:]
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)

    init(_ sink: any ByteSink) { writer = TarWriter(sink) }

    deinit { buffer.deallocate() }

    /// The end of the archive.
    func finish() throws { try writer.finish() }

    /// A directory as the member `name` and what is in it below; an empty name stands for the root, whose children then begin with a slash.
    func writeDirectory(_ directory: DirectoryFD, as name: [UInt8]) throws {
        try writer.add(try entry(try directory.status(.current), .current, in: directory, path: name, kind: .directory))
        try writeChildren(of: directory, below: name + [UInt8(ascii: "/")])
    }

    /// What is in a directory, without the directory itself. `prefix` goes before every name.
    func writeChildren(of directory: DirectoryFD, below prefix: [UInt8] = []) throws {
        for name in try directory.names().sorted(by: { $0.lexicographicallyPrecedes($1) }) { try write(CName(name), in: directory, as: prefix + name) }
    }

    /// The file, link or directory `name` as the member `path`.
    func write(_ name: CName, in directory: DirectoryFD, as path: [UInt8]) throws {
        // Gone since it was listed: the container goes on.
        guard let status = try directory.statusIfPresent(name), let kind = Self.kind(status) else { return }
        var entry = try entry(status, name, in: directory, path: path, kind: kind)
        if status.linkCount > 1, status.kind != .directory {
            let key = LinkKey(device: status.device, inode: status.inode)
            if let first = linked[key] {
                entry.kind = .hardLink
                entry.linkTarget = first
                entry.size = 0
                return try writer.add(entry)
            }
            linked[key] = path
        }
        switch kind {
        case .file: try writeFile(entry, name, in: directory)
        case .directory:
            try writer.add(entry)
            guard let child = try? directory.directory(name) else { return }
            try writeChildren(of: child, below: path + [UInt8(ascii: "/")])
        case .symbolicLink:
            entry.linkTarget = try directory.readLink(name)
            try writer.add(entry)
        default: try writer.add(entry)
        }
    }

    private func writeFile(_ entry: TarEntry, _ name: CName, in directory: DirectoryFD) throws {
        guard let file = try? directory.openFile(name) else { return }
        try writer.add(entry)
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

    private static func kind(_ status: FileStatus) -> TarEntry.Kind? {
        switch status.kind {
        case .file: .file
        case .directory: .directory
        case .symbolicLink: .symbolicLink
        case .characterDevice: .characterDevice
        case .blockDevice: .blockDevice
        case .fifo: .fifo
        case .socket, .other: nil
        }
    }

    private func entry(_ status: FileStatus, _ name: CName, in directory: DirectoryFD, path: [UInt8], kind: TarEntry.Kind) throws -> TarEntry {
        var entry = TarEntry(kind: kind, path: path, mode: kind == .symbolicLink ? 0o777 : status.mode, modified: TarTime(seconds: status.modifiedSeconds))
        entry.uid = status.uid
        entry.gid = status.gid
        if kind == .file { entry.size = status.size }
        if kind == .characterDevice || kind == .blockDevice {
            entry.deviceMajor = status.deviceMajor
            entry.deviceMinor = status.deviceMinor
        }
        if kind == .file, let value = try directory.xattr(name, Self.capability) {
            entry.xattrs = [ExtendedAttribute(name: Array(Self.capability.content), value: Self.withoutNamespace(value))]
        }
        return entry
    }

    private static let capability = CName("security.capability")

    /// Revision 3 of the attribute names the root of a user namespace, which means nothing elsewhere: revision 2 is the same without it.
    /// Kernel: include/uapi/linux/capability.h.
    private static func withoutNamespace(_ value: [UInt8]) -> [UInt8] {
        guard value.count == 24, value[3] == 3 else { return value }
        var shorter = Array(value.prefix(20))
        shorter[3] = 2
        return shorter
    }
}
