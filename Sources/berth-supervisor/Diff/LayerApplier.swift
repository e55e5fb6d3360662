import BerthDefaults
import LinuxSystem
import OCILayer

/// What unpacking a layer amounted to.
struct AppliedLayer: Sendable {
    /// Members of the archive.
    var entries = 0
    /// Bytes of file content written.
    var contentBytes: Int64 = 0
    /// The layer says what its root directory looks like.
    var hasRoot = false
}

/// Unpacks a layer: into a directory that becomes an upper directory of overlayfs, with removals as whiteouts, or onto a copy of the files below, where
/// removals are carried out. Both show the same files in the end.
///
/// Everything goes through descriptors below the root: see `LayerDirectories`. Nothing of the layer is ever executed, mapped or parsed beyond tar.
/// One thread; a file costs open, write, fchown, fchmod, futimens and close. When it throws, the directory holds a part and is to be removed.
///
/// Spec: OCI image-spec, layer.md.
final class LayerApplier {
    private let reader: TarReader
    private let directories: LayerDirectories
    private let base: Base
    private let goesOntoFiles: Bool
    /// What this layer brought, where it goes onto the files below: a removal speaks of those alone.
    private var brought = InodeSet()
    private let isCancelled: () -> Bool
    private var result = AppliedLayer()

    /// Times of directories, set at the end: every member created in one changes its time.
    private var directoryTimes: [(path: [UInt8], time: TarTime)] = []

    /// What the layer lies on.
    enum Base {
        /// It is the first one.
        case nothing
        /// The layers below, topmost first, each in a directory of its own. Asked only if the layer needs them, and may block until they are there.
        case apart(() throws -> [DirectoryFD])
        /// Their files are in the same directory.
        case sameTree
    }

    /// - Parameter source: the uncompressed archive.
    init(
        _ source: any ByteSource, into root: DirectoryFD, on base: Base, limits: TarLimits = TarLimits(), isCancelled: @escaping () -> Bool = { false }
    ) {
        reader = TarReader(source, limits: limits)
        self.base = base
        if case .apart(let lowers) = base {
            directories = LayerDirectories(root: root, lowers: LowerLayers(lowers))
        } else {
            directories = LayerDirectories(root: root, lowers: LowerLayers { [] })
        }
        if case .sameTree = base { goesOntoFiles = true } else { goesOntoFiles = false }
        self.isCancelled = isCancelled
        guard goesOntoFiles else { return }
        directories.keepsTimes = true
        directories.isOfLayersBelow = { [unowned self] in !brought.contains($0.inode) }
    }

    /// Unpacks to the end of the source, so that a digest taken over it is complete.
    func apply() throws -> AppliedLayer {
        while let entry = try reader.next() {
            if isCancelled() { throw StorageError(.cancelled, "unpacking was cancelled") }
            do {
                try apply(entry)
            } catch let error as SystemError {
                throw StorageError(error.errno == .noSpace ? .resourceExhausted : .internalError, "failed to unpack \(Self.text(entry.path)): \(error)")
            }
        }
        // What the layer itself says comes last and counts.
        for (path, time) in directories.copiedTimes.reversed() + directoryTimes.reversed() {
            // A later member may have replaced the directory by something else.
            guard let directory = try directories.existing(path) else { continue }
            try directory.setModified(.current, seconds: time.seconds, nanoseconds: time.nanoseconds)
        }
        try reader.drain()
        result.entries = reader.entryCount
        return result
    }

    private static func text(_ path: [UInt8]) -> String { String(decoding: path.prefix(512), as: UTF8.self) }

    // MARK: One member

    private func apply(_ entry: TarEntry) throws {
        let path = LayerPath(entry.path)
        if path.isRoot {
            guard entry.kind == .directory else { throw StorageError(.invalidArgument, "member \(Self.text(entry.path)) names the root, but is no directory") }
            try setAttributes(entry, .current, in: directories.root)
            directoryTimes.append(([], entry.modified))
            result.hasRoot = true
            return
        }
        if let whiteout = Whiteout(baseName: path.baseName) {
            try apply(whiteout, path)
            return
        }
        // Overlayfs' own mark as a member: it would be seen as a removal there, so it is one everywhere.
        if goesOntoFiles, entry.kind == .characterDevice, entry.deviceMajor == 0, entry.deviceMinor == 0 {
            return try apply(.removes(Array(path.baseName)), path)
        }
        let directory = try directories.open(path.parent)
        let name = path.name
        try make(entry, path, name, in: directory)
        if goesOntoFiles { brought.insert(try directory.status(name).inode) }
    }

    private func make(_ entry: TarEntry, _ path: LayerPath, _ name: CName, in directory: DirectoryFD) throws {
        switch entry.kind {
        case .file: try makeFile(entry, name, in: directory)
        case .directory:
            try makeDirectory(entry, name, in: directory)
            directoryTimes.append((path.bytes, entry.modified))
        case .symbolicLink:
            guard !entry.linkTarget.isEmpty, entry.linkTarget.count < 4096 else { throw StorageError(.invalidArgument, "link \(path.name) without a usable target") }
            let target = CName(entry.linkTarget)
            try making(name, in: directory) { () throws(SystemError) in try directory.makeSymbolicLink(name, to: target) }
            try finishSpecial(entry, name, in: directory)
        case .hardLink: try makeHardLink(entry, path, in: directory)
        case .fifo:
            try making(name, in: directory) { () throws(SystemError) in try directory.makeFIFO(name) }
            try finishSpecial(entry, name, in: directory)
        case .characterDevice:
            try making(name, in: directory) { () throws(SystemError) in
                try directory.makeCharacterDevice(name, major: entry.deviceMajor, minor: entry.deviceMinor)
            }
            try finishSpecial(entry, name, in: directory)
        case .blockDevice:
            try making(name, in: directory) { () throws(SystemError) in
                try directory.makeBlockDevice(name, major: entry.deviceMajor, minor: entry.deviceMinor)
            }
            try finishSpecial(entry, name, in: directory)
        }
    }

    private func makeFile(_ entry: TarEntry, _ name: CName, in directory: DirectoryFD) throws {
        let file = try createFile(name, in: directory)
        var end: Int64 = 0
        while let (offset, bytes) = try reader.nextChunk() {
            try file.writeAll(bytes, at: offset, on: "\(name)")
            end = offset + Int64(bytes.count)
            result.contentBytes += Int64(bytes.count)
            // So that the disk works while the next part is inflated, and the sync at the end is short.
            if end & ((8 << 20) - 1) < Int64(bytes.count) { file.startWriteback(from: max(0, end - (8 << 20)), count: 8 << 20) }
        }
        if end < entry.size { try file.setSize(entry.size, on: "\(name)") }
        // In this order: a change of owner takes set-id bits and capabilities away, and everything changes the time.
        try file.setOwner(uid: entry.uid, gid: entry.gid, on: "\(name)")
        try file.setMode(entry.mode, on: "\(name)")
        for attribute in entry.xattrs where !Whiteout.isOverlayAttribute(attribute.name) {
            do throws(SystemError) { try file.setXattr(CName(attribute.name), attribute.value, on: "\(name)") } catch {
                guard Self.mayLose(attribute.name, error.errno) else { throw error }
            }
        }
        try file.setModified(seconds: entry.modified.seconds, nanoseconds: entry.modified.nanoseconds, on: "\(name)")
    }

    private func createFile(_ name: CName, in directory: DirectoryFD) throws(SystemError) -> OwnedFD {
        do throws(SystemError) { return try directory.createFile(name) } catch {
            guard error.errno == .fileExists else { throw error }
            try removeExisting(name, in: directory)
            return try directory.createFile(name)
        }
    }

    private func makeDirectory(_ entry: TarEntry, _ name: CName, in directory: DirectoryFD) throws {
        do throws(SystemError) { try directory.makeDirectory(name) } catch {
            guard error.errno == .fileExists else { throw error }
            let status = try directory.status(name)
            // Said twice, or made for a member that came before it: the directory takes this member's attributes.
            if status.kind != .directory {
                try removeExisting(name, in: directory)
                try directory.makeDirectory(name)
                // The name was removed or was something else first: what the layers below have under it must not show through.
                if case .apart = base { try LayerFiles.makeOpaque(directory, name) }
            } else if goesOntoFiles {
                try removeAttributes(name, in: directory, except: entry.xattrs)
            }
        }
        try setAttributes(entry, name, in: directory)
    }

    private func makeHardLink(_ entry: TarEntry, _ path: LayerPath, in directory: DirectoryFD) throws {
        let target = LayerPath(entry.linkTarget)
        guard !target.isRoot else { throw StorageError(.invalidArgument, "hard link \(path.name) without a usable target") }
        var targetDirectory = target.parent == path.parent ? directory : try directories.existing(target.parent)
        var targetStatus = try targetDirectory?.statusIfPresent(target.name)
        if targetStatus.map(\.isWhiteout) ?? true {
            // A layer may link to a file of a layer below; overlayfs wants it in this one then.
            if targetStatus == nil, let copied = try directories.copyUp(target) {
                targetDirectory = copied
                targetStatus = try copied.statusIfPresent(target.name)
            }
        }
        guard let targetDirectory, let targetStatus, !targetStatus.isWhiteout else {
            throw SystemError(call: "linkat", subject: "\(path.name) to \(Self.text(entry.linkTarget))", errno: .noSuchFile)
        }
        let name = path.name
        do throws(SystemError) { try directory.makeHardLink(name, to: target.name, in: targetDirectory) } catch {
            guard error.errno == .fileExists else { throw error }
            let existing = try directory.status(name)
            if existing.inode == targetStatus.inode, existing.device == targetStatus.device { return }
            try removeExisting(name, in: directory)
            try directory.makeHardLink(name, to: target.name, in: targetDirectory)
        }
    }

    // MARK: Whiteouts

    private func apply(_ whiteout: Whiteout, _ path: LayerPath) throws {
        switch whiteout {
        case .bookkeeping: return
        case .malformed: throw StorageError(.invalidArgument, "whiteout \(path.name) names nothing that can be removed")
        case .opaque:
            switch base {
            case .nothing: return
            case .apart: try LayerFiles.makeOpaque(try directories.open(path.parent), .current)
            case .sameTree:
                let directory = try directories.open(path.parent)
                for name in try directory.names() { try removeUnlessBrought(CName(name), in: directory) }
                directories.invalidate()
            }
        case .removes(let removed):
            switch base {
            // Under the first layer is nothing to remove, and mounted alone a whiteout would be seen as a device.
            case .nothing: return
            case .apart: try makeWhiteout(CName(removed), in: try directories.open(path.parent))
            case .sameTree:
                try removeUnlessBrought(CName(removed), in: try directories.open(path.parent))
                directories.invalidate()
            }
        }
    }

    private func makeWhiteout(_ name: CName, in directory: DirectoryFD) throws {
        do throws(SystemError) { try directory.makeWhiteout(name) } catch {
            guard error.errno == .fileExists else { throw error }
            // A whiteout speaks of the layers below only: what this layer brings under the name stays, and hides what was there.
            if try directory.status(name).kind == .directory { try LayerFiles.makeOpaque(directory, name) }
        }
    }

    /// Removes what the layers below had under the name. A directory stays while something of this layer is in it.
    private func removeUnlessBrought(_ name: CName, in directory: DirectoryFD) throws {
        struct Level {
            let parent: DirectoryFD
            let name: CName
            let directory: DirectoryFD
            let isBrought: Bool
            var pending: [[UInt8]]
        }
        func level(_ parent: DirectoryFD, _ name: CName, _ status: FileStatus) throws -> Level {
            let child = try parent.directory(name)
            return Level(parent: parent, name: name, directory: child, isBrought: brought.contains(status.inode), pending: try child.names())
        }
        guard let status = try directory.statusIfPresent(name) else { return }
        guard status.kind == .directory else {
            if !brought.contains(status.inode) { try directory.unlink(name) }
            return
        }
        var stack = [try level(directory, name, status)]
        while let top = stack.last {
            guard let next = top.pending.last else {
                stack.removeLast()
                if top.isBrought { continue }
                do throws(SystemError) { try top.parent.removeDirectory(top.name) } catch {
                    guard error.errno == .notEmpty || error.errno == .fileExists else { throw error }
                }
                continue
            }
            stack[stack.count - 1].pending.removeLast()
            let child = CName(next)
            let status = try top.directory.status(child)
            if status.kind == .directory {
                stack.append(try level(top.directory, child, status))
            } else if !brought.contains(status.inode) {
                try top.directory.unlink(child)
            }
        }
    }

    // MARK: Attributes

    private func finishSpecial(_ entry: TarEntry, _ name: CName, in directory: DirectoryFD) throws {
        try setAttributes(entry, name, in: directory)
        try directory.setModified(name, seconds: entry.modified.seconds, nanoseconds: entry.modified.nanoseconds)
    }

    private func setAttributes(_ entry: TarEntry, _ name: CName, in directory: DirectoryFD) throws(SystemError) {
        try directory.setOwner(name, uid: entry.uid, gid: entry.gid)
        if entry.kind != .symbolicLink { try directory.setMode(name, entry.mode) }
        for attribute in entry.xattrs where !Whiteout.isOverlayAttribute(attribute.name) {
            do throws(SystemError) { try directory.setXattr(name, CName(attribute.name), attribute.value) } catch {
                guard Self.mayLose(attribute.name, error.errno) else { throw error }
            }
        }
    }

    /// A directory that takes a member's attributes loses those of the layers below that the member does not have.
    private func removeAttributes(_ name: CName, in directory: DirectoryFD, except kept: [ExtendedAttribute]) throws(SystemError) {
        for attribute in try directory.xattrNames(name) where !attribute.elementsEqual("security.selinux".utf8) && !kept.contains(where: { $0.name == attribute }) {
            try directory.removeXattr(name, CName(attribute))
        }
    }

    /// Attributes that the file system or kernel does not know are left out, as every engine does; a capability never is.
    private static func mayLose(_ attribute: [UInt8], _ errno: Errno) -> Bool {
        if attribute.elementsEqual("security.capability".utf8) { return false }
        // user.* on anything but files and directories is EPERM.
        return errno == .notSupported || (errno == .notPermitted && attribute.starts(with: "user.".utf8))
    }

    // MARK: Replacing

    private func making(_ name: CName, in directory: DirectoryFD, _ make: () throws(SystemError) -> Void) throws(SystemError) {
        do throws(SystemError) { try make() } catch {
            guard error.errno == .fileExists else { throw error }
            try removeExisting(name, in: directory)
            try make()
        }
    }

    /// A later member with the same name replaces the earlier one, as unpacking one after the other does.
    private func removeExisting(_ name: CName, in directory: DirectoryFD) throws(SystemError) {
        try LayerFiles.removeTree(name, in: directory)
        directories.invalidate()
    }
}
