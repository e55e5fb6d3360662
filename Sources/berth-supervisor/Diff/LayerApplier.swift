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

/// Unpacks a layer into a directory that becomes an upper directory of overlayfs: removals as whiteouts, not carried out.
///
/// Everything goes through descriptors below the root: see `LayerDirectories`. Nothing of the layer is ever executed, mapped or parsed beyond tar.
/// One thread; a file costs open, write, fchown, fchmod, futimens and close. When it throws, the directory holds a part and is to be removed.
///
/// Spec: OCI image-spec, layer.md.
final class LayerApplier {
    private let reader: TarReader
    private let directories: LayerDirectories
    private let hasLowers: Bool
    private let isCancelled: () -> Bool
    private var result = AppliedLayer()

    /// Times of directories, set at the end: every member created in one changes its time.
    private var directoryTimes: [(path: [UInt8], time: TarTime)] = []

    /// - Parameters:
    ///   - source: the uncompressed archive.
    ///   - lowers: the layers below, topmost first; nil for the first layer of an image. Asked only if the layer needs them, and may block
    ///     until they are there.
    init(
        _ source: any ByteSource, into root: DirectoryFD, lowers: (() throws -> [DirectoryFD])?, limits: TarLimits = TarLimits(),
        isCancelled: @escaping () -> Bool = { false }
    ) {
        reader = TarReader(source, limits: limits)
        directories = LayerDirectories(root: root, lowers: LowerLayers(lowers ?? { [] }))
        hasLowers = lowers != nil
        self.isCancelled = isCancelled
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
        let directory = try directories.open(path.parent)
        let name = path.name
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
                // The layer removed the one below first: the new one must not let it show through.
                if status.isWhiteout { try LayerFiles.makeOpaque(directory, name) }
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
            guard hasLowers else { return }
            try LayerFiles.makeOpaque(try directories.open(path.parent), .current)
        case .removes(let removed):
            // Under the first layer is nothing to remove, and mounted alone a whiteout would be seen as a device.
            guard hasLowers else { return }
            let directory = try directories.open(path.parent)
            let name = CName(removed)
            do throws(SystemError) { try directory.makeWhiteout(name) } catch {
                guard error.errno == .fileExists else { throw error }
                // A whiteout speaks of the layers below only: what this layer brings under the name stays, and hides what was there.
                if try directory.status(name).kind == .directory { try LayerFiles.makeOpaque(directory, name) }
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
