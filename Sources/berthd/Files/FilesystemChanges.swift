import DockerAPI
import LinuxSystem
import OCILayer

/// What a container changed in its image's files: its own layer read against the ones below.
///
/// A file that was written and is as before is none. A directory counts as changed when its mode or owner differ or when something in it changed; its
/// time alone says nothing. Deletions are told by name, also those inside of a directory that was removed and made again.
struct FilesystemChanges {
    private enum Kind: Int { case modified = 0, added = 1, deleted = 2 }

    private init(isWholeTree: Bool) { self.isWholeTree = isWholeTree }

    private var list: [FilesystemChange] = []
    /// The container's files are all there, changed or not: what is missing was deleted.
    private let isWholeTree: Bool

    /// - Parameter image: the files that the container began with, where its own layer does not say what it changes.
    static func list(_ layers: RootfsLayers, below image: RootfsLayers?) throws(SystemError) -> [FilesystemChange] {
        var changes = FilesystemChanges(isWholeTree: !layers.saysChanges)
        switch layers {
        case .directory, .filesystem:
            let own = try layers.mount(writable: false), below = try image?.mount(writable: false)
            let lower: DirectoryFD? = if let below { try DirectoryFD(path: "/proc/self/fd/\(below.rawValue)") } else { nil }
            try changes.walk(try DirectoryFD(path: "/proc/self/fd/\(own.rawValue)"), below: lower, path: "", hidesBelow: true)
        case .overlay(let overlay):
            guard let upper = overlay.upper else { return [] }
            let mount = try overlay.lower.count == 1 ? Files.open(overlay.lower[0]) : overlay.mountReadOnly(overlay.lower)
            let lower = try DirectoryFD(path: "/proc/self/fd/\(mount.rawValue)")
            try changes.walk(try DirectoryFD(path: upper), below: lower, path: "", hidesBelow: false)
        }
        return changes.list
    }

    /// - Parameters:
    ///   - lower: the same directory in the image; nil when it has none.
    ///   - hidesBelow: nothing of it is seen (an opaque directory).
    private mutating func walk(_ upper: DirectoryFD, below lower: DirectoryFD?, path: String, hidesBelow: Bool) throws(SystemError) {
        var names = Set(try upper.names().map { CName($0) })
        let own = names
        if hidesBelow, let lower { for name in try lower.names() { names.insert(CName(name)) } }
        for name in names.sorted(by: { $0.content.lexicographicallyPrecedes($1.content) }) {
            let child = "\(path)/\(name)"
            guard own.contains(name) else {
                add(child, .deleted)
                continue
            }
            guard let status = try upper.statusIfPresent(name) else { continue }
            let old = try lower?.statusIfPresent(name)
            if status.isWhiteout, !isWholeTree {
                if old != nil { add(child, .deleted) }
            } else if status.kind == .directory {
                try walk(directory: name, status, in: upper, old, below: lower, path: child)
            } else if let old {
                if Self.differs(status, old) { add(child, .modified) }
            } else if !EngineMountPoints.isOne(child, status) {
                add(child, .added)
            }
        }
    }

    private mutating func walk(directory name: CName, _ status: FileStatus, in upper: DirectoryFD, _ old: FileStatus?, below lower: DirectoryFD?, path: String) throws(SystemError) {
        let place = list.count
        let inner = try upper.directory(name)
        let before = old?.kind == .directory ? try lower?.directory(name) : nil
        let mark = isWholeTree ? nil : try upper.xattr(name, Self.opaque)
        let isOpaque = isWholeTree || mark?.elementsEqual("y".utf8) ?? false
        try walk(inner, below: before, path: path, hidesBelow: isOpaque)
        if let old {
            // What holds a change is listed before it.
            if Self.differs(status, old) || list.count > place { list.insert(FilesystemChange(Path: path, Kind: Kind.modified.rawValue), at: place) }
        } else if list.count > place || !EngineMountPoints.isOne(path, status) {
            list.insert(FilesystemChange(Path: path, Kind: Kind.added.rawValue), at: place)
        }
    }

    private mutating func add(_ path: String, _ kind: Kind) { list.append(FilesystemChange(Path: path, Kind: kind.rawValue)) }

    private static let opaque = CName(Whiteout.opaqueAttribute)

    private static func differs(_ new: FileStatus, _ old: FileStatus) -> Bool {
        guard new.kind == old.kind, new.mode == old.mode, new.uid == old.uid, new.gid == old.gid else { return true }
        guard new.kind != .directory else { return false }
        return new.size != old.size || new.modifiedSeconds != old.modifiedSeconds || new.modifiedNanoseconds != old.modifiedNanoseconds
            || new.deviceMajor != old.deviceMajor || new.deviceMinor != old.deviceMinor
    }
}

/// What the runtime makes in a container's layer for the engine's own mounts to stand on. Docker has them in a layer between image and container.
enum EngineMountPoints {
    private static let files: Set<String> = ["/.dockerenv", "/dev/console", "/etc/hostname", "/etc/hosts", "/etc/mtab", "/etc/resolv.conf", "/sbin/docker-init"]
    private static let directories: Set<String> = ["/dev", "/dev/mqueue", "/dev/pts", "/dev/shm", "/etc", "/proc", "/sbin", "/sys", "/sys/fs", "/sys/fs/cgroup"]

    static var all: [String] { files.union(directories).sorted() }

    /// Whether an added path is one of them and nothing more: an empty file, or a directory that nothing but these is in.
    static func isOne(_ path: String, _ status: FileStatus) -> Bool {
        switch status.kind {
        case .directory: directories.contains(path)
        case .file: status.size == 0 && files.contains(path)
        case .symbolicLink: path == "/etc/mtab"
        default: false
        }
    }
}
