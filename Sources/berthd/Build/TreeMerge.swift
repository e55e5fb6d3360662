import LinuxSystem

/// Copies files into an image's tree as COPY does: directories are merged, everything else takes the place of what has its name. Blocks.
///
/// Both trees are walked by descriptors: nothing follows a symbolic link.
final class TreeMerge {
    struct Owner: Sendable, Equatable {
        var uid: UInt32 = 0
        var gid: UInt32 = 0
    }

    private struct FileID: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    /// Of everything that is copied; nil: as it is in the source.
    private let owner: Owner?
    /// First copies of files that have several names.
    private var linked: [FileID: (directory: DirectoryFD, name: CName)] = [:]

    init(owner: Owner?) { self.owner = owner }

    /// What is in `source`, into `target`, whose own attributes stay.
    func copyChildren(of source: DirectoryFD, into target: DirectoryFD) throws(SystemError) {
        for bytes in try source.names() {
            let name = CName(bytes)
            try copy(name, from: source, to: name, in: target)
        }
    }

    func copy(_ name: CName, from source: DirectoryFD, to copy: CName, in target: DirectoryFD) throws(SystemError) {
        let status = try source.status(name)
        if status.kind == .directory { try copyDirectory(name, from: source, to: copy, in: target) } else {
            if try target.statusIfPresent(copy) != nil { try FileTree.remove(copy, in: target) }
            let id = FileID(device: status.device, inode: status.inode)
            if status.linkCount > 1, let first = linked[id] { return try target.makeHardLink(copy, to: first.name, in: first.directory) }
            guard try TreeCopier.make(copy, as: status, from: source, named: name, in: target) else { return }
            if status.linkCount > 1 { linked[id] = (target, copy) }
        }
        try TreeCopier.copyAttributes(of: name, status, from: source, to: copy, in: target)
        // Last, and also where it changes nothing: with it a program loses what it had on behalf of its owner (set-id bits, capabilities), as in Docker.
        if let owner { try target.setOwner(copy, uid: owner.uid, gid: owner.gid) }
    }

    private func copyDirectory(_ name: CName, from source: DirectoryFD, to copy: CName, in target: DirectoryFD) throws(SystemError) {
        if let existing = try target.statusIfPresent(copy) {
            if existing.kind != .directory {
                try FileTree.remove(copy, in: target)
                try target.makeDirectory(copy)
            }
        } else {
            try target.makeDirectory(copy)
        }
        try copyChildren(of: try source.directory(name), into: try target.directory(copy))
    }
}

extension ContainerFilesystem {
    /// The directory `path`, which holds no links, made with all above it where it is missing; what is made gets `owner`.
    func makeDirectories(_ path: String, owner: TreeMerge.Owner) throws(SystemError) -> DirectoryFD {
        var directory = try directory("/")
        for component in RootedPath.components(path) {
            let name = CName(component)
            if try directory.statusIfPresent(name) == nil {
                try directory.makeDirectory(name)
                try directory.setOwner(name, uid: owner.uid, gid: owner.gid)
                try directory.setMode(name, 0o755)
            }
            directory = try directory.directory(name)
        }
        return directory
    }
}
