/// Copies directory trees with owners, modes, times, extended attributes, holes, links and special files, by descriptors: nothing follows a symbolic link.
/// Blocks. A tree that changes meanwhile gives a copy of some moment of each file.
package final class TreeCopier {
    private struct FileID: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    /// One directory on the way down.
    private struct Level {
        let source: DirectoryFD
        let target: DirectoryFD
        var pending: [[UInt8]]
    }

    /// First copies of files that have several names.
    private var linked: [FileID: (directory: DirectoryFD, name: CName)] = [:]
    private let copiesSockets: Bool

    /// - Parameter copiesSockets: makes sockets too, which nobody listens on; otherwise they are left out.
    package init(copiesSockets: Bool = false) { self.copiesSockets = copiesSockets }

    /// Copies what is in `source` into `target`, and gives `target` the attributes of `source`.
    package func copy(_ source: DirectoryFD, into target: DirectoryFD) throws(SystemError) {
        var stack = [Level(source: source, target: target, pending: try source.names())]
        while let top = stack.last {
            guard let bytes = top.pending.last else {
                // Last: everything made in it changes its time.
                try Self.copyAttributes(of: .current, try top.source.status(.current), from: top.source, to: .current, in: top.target)
                stack.removeLast()
                continue
            }
            stack[stack.count - 1].pending.removeLast()
            let name = CName(bytes)
            let status = try top.source.status(name)
            if status.kind == .directory {
                try top.target.makeDirectory(name)
                let inner = try top.source.directory(name)
                stack.append(Level(source: inner, target: try top.target.directory(name), pending: try inner.names()))
            } else {
                try copy(name, status, from: top.source, into: top.target)
            }
        }
    }

    private func copy(_ name: CName, _ status: FileStatus, from source: DirectoryFD, into target: DirectoryFD) throws(SystemError) {
        let id = FileID(device: status.device, inode: status.inode)
        if status.linkCount > 1, let first = linked[id] { return try target.makeHardLink(name, to: first.name, in: first.directory) }
        guard try Self.make(name, as: status, from: source, named: name, in: target, withSockets: copiesSockets) else { return }
        if status.linkCount > 1 { linked[id] = (target, name) }
        try Self.copyAttributes(of: name, status, from: source, to: name, in: target)
    }

    /// Makes `name` in `target` what `original` is in `source`, without its attributes: content, target of the link, numbers of the device.
    ///
    /// - Returns: false for what is not made.
    package static func make(
        _ name: CName, as status: FileStatus, from source: DirectoryFD, named original: CName, in target: DirectoryFD, withSockets: Bool = false
    ) throws(SystemError) -> Bool {
        switch status.kind {
        case .file: try source.openFile(original).copyContent(to: try target.createFile(name), on: "\(name)")
        case .symbolicLink: try target.makeSymbolicLink(name, to: CName(try source.readLink(original)))
        case .fifo: try target.makeFIFO(name)
        case .characterDevice: try target.makeCharacterDevice(name, major: status.deviceMajor, minor: status.deviceMinor)
        case .blockDevice: try target.makeBlockDevice(name, major: status.deviceMajor, minor: status.deviceMinor)
        case .socket where withSockets: try target.makeSocket(name)
        case .socket, .directory, .other: return false
        }
        return true
    }

    /// Owner before mode: changing the owner takes the setuid bit away. Times last. Overlayfs' own attributes belong to the layer and stay behind.
    package static func copyAttributes(
        of name: CName, _ status: FileStatus, from source: DirectoryFD, to copy: CName, in target: DirectoryFD
    ) throws(SystemError) {
        try target.setOwner(copy, uid: status.uid, gid: status.gid)
        if status.kind != .symbolicLink { try target.setMode(copy, status.mode) }
        for bytes in try source.xattrNames(name) where !bytes.starts(with: Array("trusted.overlay.".utf8)) && !bytes.starts(with: Array("user.overlay.".utf8)) {
            let attribute = CName(bytes)
            guard let value = try source.xattr(name, attribute) else { continue }
            do throws(SystemError) { try target.setXattr(copy, attribute, value) } catch where error.errno == .notSupported {}
        }
        try target.setModified(copy, seconds: status.modifiedSeconds, nanoseconds: status.modifiedNanoseconds)
    }
}
