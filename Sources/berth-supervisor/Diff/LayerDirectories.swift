import LinuxSystem
import OCILayer

/// Finds, opens and, where a layer leaves them out, makes the directories that the members of a layer go into.
///
/// The common case costs nothing: members of one directory follow each other, and its descriptor is kept. The next costs one `openat2` with
/// RESOLVE_IN_ROOT, so neither `..` nor a link of the layer's own leads out of the root. Only where a directory is missing are the components walked
/// one by one, each without following links, with the layers below as a second opinion on what should be there.
final class LayerDirectories {
    let root: DirectoryFD
    private let lowers: LowerLayers
    private var currentPath: [UInt8] = []
    private var current: DirectoryFD
    private var scratch = CName("")

    init(root: DirectoryFD, lowers: LowerLayers) {
        self.root = root
        self.lowers = lowers
        current = root
    }

    /// The directory at `path` (as `LayerPath` cleans it), made if the layer did not bring it.
    func open(_ path: some Collection<UInt8>) throws -> DirectoryFD {
        if path.elementsEqual(currentPath) { return current }
        let opened: DirectoryFD
        if path.isEmpty {
            opened = root
        } else if let existing = try existing(path) {
            opened = existing
        } else {
            opened = try walk(path, making: true)
        }
        if keepsTimes { try keepTime(of: opened, at: path) }
        current = opened
        currentPath.replaceSubrange(currentPath.startIndex..., with: path)
        return opened
    }

    /// The directory at `path` of this layer alone, nil where the layer has none.
    func existing(_ path: some Collection<UInt8>) throws(SystemError) -> DirectoryFD? {
        if path.elementsEqual(currentPath) { return current }
        if path.isEmpty { return root }
        scratch.replace(with: path)
        do throws(SystemError) { return try root.directory(inRoot: scratch) } catch {
            if error.errno == .noSuchFile || error.errno == .notDirectory { return nil }
            throw error
        }
    }

    /// A name that may be part of the kept path was removed or replaced.
    func invalidate() {
        current = root
        currentPath.removeAll(keepingCapacity: true)
    }

    /// Copies the file at `path` of the layers below into this one, for a hard link whose target this layer does not have. Its parents are made
    /// in this layer.
    /// - Returns: the directory it is in now, nil when no layer has it.
    func copyUp(_ path: LayerPath) throws -> DirectoryFD? {
        let directory = try walk(path.parent, making: true)
        guard !walkedIsOpaque, let found = try lowers.lookup(walkedComponents + [path.name]) else { return nil }
        try LayerFiles.copyUp(found, to: path.name, in: directory)
        return directory
    }

    // MARK: The walk

    /// Directories that were made after those of a layer below, and the time they have there: set again when everything is unpacked.
    private(set) var copiedTimes: [(path: [UInt8], time: TarTime)] = []

    /// The layer goes onto the files below: what is made or removed in their directories does not change the directories' times.
    var keepsTimes = false
    private var keptTimes: Set<[UInt8]> = []

    private func keepTime(of directory: DirectoryFD, at path: some Collection<UInt8>) throws(SystemError) {
        let path = Array(path)
        guard keptTimes.insert(path).inserted else { return }
        let status = try directory.status(.current)
        copiedTimes.append((path, TarTime(seconds: status.modifiedSeconds, nanoseconds: status.modifiedNanoseconds)))
    }

    /// Where the last walk ended, as components without links.
    private var walkedComponents: [CName] = []
    /// Nothing of the layers below is seen there.
    private var walkedIsOpaque = false
    /// Where the layer goes onto the files below: whether it did not bring the file itself.
    var isOfLayersBelow: (FileStatus) -> Bool = { _ in false }

    private func walk(_ path: some Collection<UInt8>, making: Bool) throws -> DirectoryFD {
        var pending = path.split(separator: UInt8(ascii: "/")).reversed().map { Array($0) }
        var real: [(name: CName, directory: DirectoryFD, isOpaque: Bool)] = []
        let rootIsOpaque = try LayerFiles.isOpaque(root, .current)
        var links = 0
        func follow(_ target: [UInt8]) throws {
            links += 1
            guard links <= 40 else { throw SystemError(call: "openat2", subject: String(decoding: path, as: UTF8.self), errno: .loop) }
            if target.first == UInt8(ascii: "/") { real.removeAll() }
            pending += target.split(separator: UInt8(ascii: "/")).reversed().map { Array($0) }
        }
        while let component = pending.popLast() {
            if component.elementsEqual(".".utf8) { continue }
            if component.elementsEqual("..".utf8) {
                _ = real.popLast()
                continue
            }
            let parent = real.last?.directory ?? root
            let parentIsOpaque = real.last?.isOpaque ?? rootIsOpaque
            let name = CName(component)
            let status = try parent.statusIfPresent(name)
            if let status, !status.isWhiteout {
                switch status.kind {
                case .directory:
                    let isOpaque = try parentIsOpaque || LayerFiles.isOpaque(parent, name)
                    real.append((name, try parent.directory(name), isOpaque))
                case .symbolicLink: try follow(try parent.readLink(name))
                // A directory in the place of what the layers below have there.
                case _ where isOfLayersBelow(status):
                    try parent.unlink(name)
                    try parent.makeDirectory(name, mode: 0o755)
                    try parent.setMode(name, 0o755)
                    real.append((name, try parent.directory(name), false))
                default: throw SystemError(call: "openat2", subject: String(decoding: path, as: UTF8.self), errno: .notDirectory)
                }
                continue
            }
            // The layer removed the name and goes on below it: a directory that hides the old one.
            if status != nil { try parent.unlink(name) }
            let below = status != nil || parentIsOpaque ? nil : try lowers.lookup(real.map(\.name) + [name])
            if let below, below.status.kind == .symbolicLink {
                try follow(try below.directory.readLink(below.name))
                continue
            }
            try parent.makeDirectory(name, mode: 0o755)
            if let below, below.status.kind == .directory {
                try LayerFiles.copyAttributes(of: below, to: name, in: parent)
                let path = Array((real.map { Array($0.name.content) } + [component]).joined(separator: [UInt8(ascii: "/")]))
                copiedTimes.append((path, TarTime(seconds: below.status.modifiedSeconds, nanoseconds: below.status.modifiedNanoseconds)))
            } else {
                try parent.setMode(name, 0o755)
            }
            if status != nil { try LayerFiles.makeOpaque(parent, name) }
            real.append((name, try parent.directory(name), parentIsOpaque || status != nil))
        }
        walkedComponents = real.map(\.name)
        walkedIsOpaque = real.last?.isOpaque ?? rootIsOpaque
        return real.last?.directory ?? root
    }
}

/// A member's path, brought into one form: no `.`, no empty component, no slash at either end; `..` takes a component back and stays at the root.
///
/// This is naming, not protection: two spellings of one place should be one. What keeps a member inside the root is `openat2`.
struct LayerPath {
    /// The cleaned path; empty for the root itself.
    private(set) var bytes: [UInt8] = []
    private var nameStart = 0

    init(_ path: [UInt8]) {
        bytes.reserveCapacity(path.count)
        var index = 0
        while index < path.count {
            var end = index
            while end < path.count, path[end] != UInt8(ascii: "/") { end += 1 }
            append(path[index..<end])
            index = end + 1
        }
        nameStart = bytes.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
    }

    private mutating func append(_ component: ArraySlice<UInt8>) {
        if component.isEmpty || (component.count == 1 && component.first == UInt8(ascii: ".")) { return }
        if component.count == 2, component.elementsEqual("..".utf8) {
            bytes.removeSubrange((bytes.lastIndex(of: UInt8(ascii: "/")) ?? 0)...)
            return
        }
        if !bytes.isEmpty { bytes.append(UInt8(ascii: "/")) }
        bytes.append(contentsOf: component)
    }

    var isRoot: Bool { bytes.isEmpty }
    var parent: ArraySlice<UInt8> { bytes[..<max(0, nameStart - 1)] }
    var baseName: ArraySlice<UInt8> { bytes[nameStart...] }
    var name: CName { CName(baseName) }
}
