import LinuxSystem
import OCILayer

/// The layers below the one that is being unpacked, topmost first, seen as overlayfs would show them merged, without a mount.
///
/// Only asked where a layer is incomplete: a file in a directory that the layer does not bring itself, or a hard link to a file of a layer below.
final class LowerLayers {
    /// What a path is in the merged view.
    struct Found {
        let directory: DirectoryFD
        let name: CName
        let status: FileStatus
    }

    private let load: () throws -> [DirectoryFD]
    private var loaded: [DirectoryFD]?

    /// - Parameter roots: asked once, at the first look.
    init(_ roots: @escaping () throws -> [DirectoryFD]) { load = roots }

    private func roots() throws -> [DirectoryFD] {
        if let loaded { return loaded }
        let roots = try load()
        loaded = roots
        return roots
    }

    /// Looks a path of plain components up (no `..`, no links on the way: the caller resolves those). Nil when it is in no layer or removed.
    func lookup(_ components: [CName]) throws -> Found? {
        guard !components.isEmpty else { return nil }
        for root in try roots() {
            switch try lookup(components, in: root) {
            case .found(let found): return found
            case .hidden: return nil
            case .absent: continue
            }
        }
        return nil
    }

    private enum Result {
        case found(Found)
        /// This layer says that it is gone, whatever is below.
        case hidden
        case absent
    }

    private func lookup(_ components: [CName], in root: DirectoryFD) throws(SystemError) -> Result {
        var directory = root
        var isOpaque = false
        for (index, name) in components.enumerated() {
            guard let status = try directory.statusIfPresent(name) else { return isOpaque ? .hidden : .absent }
            if status.isWhiteout { return .hidden }
            if index == components.count - 1 { return .found(Found(directory: directory, name: name, status: status)) }
            guard status.kind == .directory else { return .hidden }
            if try LayerFiles.isOpaque(directory, name) { isOpaque = true }
            directory = try directory.directory(name)
        }
        return .absent
    }
}

/// Small jobs on the files of layers that several parts need.
enum LayerFiles {
    static let opaqueAttribute = CName(Whiteout.opaqueAttribute)

    static func isOpaque(_ directory: DirectoryFD, _ name: CName) throws(SystemError) -> Bool {
        try directory.xattr(name, opaqueAttribute) == [UInt8(ascii: "y")]
    }

    static func makeOpaque(_ directory: DirectoryFD, _ name: CName) throws(SystemError) {
        try directory.setXattr(name, opaqueAttribute, [UInt8(ascii: "y")])
    }

    /// Makes `name` a copy of a file of another layer: what overlayfs does before a file below is changed.
    static func copyUp(_ source: LowerLayers.Found, to name: CName, in directory: DirectoryFD) throws(SystemError) {
        guard try TreeCopier.make(name, as: source.status, from: source.directory, named: source.name, in: directory) else {
            throw SystemError(call: "linkat", subject: "\(source.name)", errno: .notPermitted)
        }
        try copyAttributes(of: source, to: name, in: directory)
    }

    /// Gives `name` the owner, mode, attributes and time of another file, except overlayfs' own attributes.
    static func copyAttributes(of source: LowerLayers.Found, to name: CName, in directory: DirectoryFD) throws(SystemError) {
        try TreeCopier.copyAttributes(of: source.name, source.status, from: source.directory, to: name, in: directory)
    }

    /// Removes whatever `name` is, with all that is in it. Depth is bounded by the stack of open directories, not by recursion on paths.
    static func removeTree(_ name: CName, in directory: DirectoryFD) throws(SystemError) {
        guard let status = try directory.statusIfPresent(name) else { return }
        guard status.kind == .directory else { return try directory.unlink(name) }
        struct Level {
            let parent: DirectoryFD
            let name: CName
            let directory: DirectoryFD
            var pending: [[UInt8]]
        }
        func level(_ parent: DirectoryFD, _ name: CName) throws(SystemError) -> Level {
            let child = try parent.directory(name)
            return Level(parent: parent, name: name, directory: child, pending: try child.names())
        }
        var stack = [try level(directory, name)]
        while let top = stack.last {
            guard let next = top.pending.last else {
                try top.parent.removeDirectory(top.name)
                stack.removeLast()
                continue
            }
            stack[stack.count - 1].pending.removeLast()
            let child = CName(next)
            do throws(SystemError) { try top.directory.unlink(child) } catch {
                guard error.errno == .isDirectory else {
                    if error.errno == .noSuchFile { continue }
                    throw error
                }
                stack.append(try level(top.directory, child))
            }
        }
    }
}
