import LinuxSystem

/// Walks over directory trees by descriptors: nothing follows a symbolic link, and a name that changes under way cannot lead anywhere else. Every call blocks.
enum FileTree {
    /// Removes a file or a directory with all that is in it.
    static func remove(_ name: CName, in directory: DirectoryFD) throws(SystemError) {
        do throws(SystemError) {
            try directory.unlink(name)
            return
        } catch {
            if error.errno == .noSuchFile { return }
            guard error.errno == .isDirectory || error.errno == .notPermitted else { throw error }
        }
        // Empty, or something is mounted on it: then nothing of what is mounted is touched.
        do throws(SystemError) {
            try directory.removeDirectory(name)
            return
        } catch {
            guard error.errno == .notEmpty || error.errno == .fileExists else { throw error }
        }
        let inner = try directory.directory(name)
        for child in try inner.names() { try remove(CName(child), in: inner) }
        try directory.removeDirectory(name)
    }

    /// Bytes on disk of everything below, a file with several names once.
    static func size(_ directory: DirectoryFD) throws(SystemError) -> Int64 {
        var seen: Set<UInt64> = []
        return try size(directory, &seen)
    }

    private static func size(_ directory: DirectoryFD, _ seen: inout Set<UInt64>) throws(SystemError) -> Int64 {
        var total: Int64 = 0
        for name in try directory.names() {
            // What vanishes while a container works is not counted.
            guard let status = try directory.statusIfPresent(CName(name)) else { continue }
            if status.kind == .directory {
                if let inner = try? directory.directory(CName(name)) { total += try size(inner, &seen) }
            } else if status.linkCount == 1 || seen.insert(status.inode).inserted {
                total += status.size
            }
        }
        return total
    }
}

/// Copies a directory tree with owners, modes, times, extended attributes, links and special files: an image's content into a new volume.
final class TreeCopier {
    private struct FileID: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    /// First copies of files that have several names.
    private var linked: [FileID: (directory: DirectoryFD, name: CName)] = [:]
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)

    deinit { buffer.deallocate() }

    /// Copies what is in `source` into `target`, and gives `target` the attributes of `source`.
    func copy(_ source: DirectoryFD, into target: DirectoryFD) throws(SystemError) {
        for bytes in try source.names() {
            let name = CName(bytes)
            let status = try source.status(name)
            switch status.kind {
            case .directory:
                try target.makeDirectory(name)
                try copy(try source.directory(name), into: try target.directory(name))
                continue
            case .file:
                let id = FileID(device: status.device, inode: status.inode)
                if status.linkCount > 1, let first = linked[id] {
                    try target.makeHardLink(name, to: first.name, in: first.directory)
                    continue
                }
                try copyFile(name, from: source, into: target)
                if status.linkCount > 1 { linked[id] = (target, name) }
            case .symbolicLink: try target.makeSymbolicLink(name, to: CName(try source.readLink(name)))
            case .fifo: try target.makeFIFO(name)
            case .characterDevice: try target.makeCharacterDevice(name, major: status.deviceMajor, minor: status.deviceMinor)
            case .blockDevice: try target.makeBlockDevice(name, major: status.deviceMajor, minor: status.deviceMinor)
            case .socket, .other: continue
            }
            try copyAttributes(of: name, status, from: source, to: name, in: target)
        }
        try copyAttributes(of: .current, try source.status(.current), from: source, to: .current, in: target)
    }

    private func copyFile(_ name: CName, from source: DirectoryFD, into target: DirectoryFD) throws(SystemError) {
        let input = try source.openFile(name), output = try target.createFile(name)
        var offset: Int64 = 0
        while true {
            let count = try input.readSome(into: buffer, at: offset, on: name.description)
            if count == 0 { break }
            try output.writeAll(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset, on: name.description)
            offset += Int64(count)
        }
    }

    /// Owner before mode: changing the owner takes the setuid bit away. Times last.
    private func copyAttributes(of name: CName, _ status: FileStatus, from source: DirectoryFD, to copy: CName, in target: DirectoryFD) throws(SystemError) {
        try target.setOwner(copy, uid: status.uid, gid: status.gid)
        if status.kind != .symbolicLink { try target.setMode(copy, status.mode) }
        for bytes in try source.xattrNames(name) where !bytes.starts(with: Array("trusted.overlay.".utf8)) {
            let attribute = CName(bytes)
            guard let value = try source.xattr(name, attribute) else { continue }
            do throws(SystemError) { try target.setXattr(copy, attribute, value) } catch where error.errno == .notSupported {}
        }
        try target.setModified(copy, seconds: status.modifiedSeconds, nanoseconds: status.modifiedNanoseconds)
    }
}
