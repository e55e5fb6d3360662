import Glibc
import LinuxSystem

/// A container's files put together once more for the engine alone: the root filesystem with volumes, binds and the engine's own files in their places.
///
/// The mounts hang in a mount namespace that no process lives in and that only this object keeps; when it goes, they go. Nothing of it is visible on the
/// host or in the container, and every path is resolved by `openat2` below `root`, so no symbolic link leads out, whoever moves it at whichever moment.
///
/// As in dockerd, what only the container's process has is not there: tmpfs mounts, /proc, /sys and /dev.
final class ContainerFilesystem: Sendable {
    /// Where the root comes from.
    enum Base: Sendable {
        case layers(RootfsLayers, writable: Bool)
        /// A running container's init: its mount of the root, since one upper directory cannot serve two overlay mounts.
        case process(Int32, containerID: String)
    }

    struct Placement: Sendable, Equatable {
        /// A path of the host.
        var source: String
        var destination: String
        var isReadOnly: Bool
        var isRecursive: Bool
    }

    let root: RootedPath
    private let namespace: OwnedFD

    /// - Parameter place: an existing directory of ours, on which the root is mounted for a moment, in the new namespace only.
    /// - Throws: `SystemError`; EROFS when a place for a mount is missing and the root is not writable.
    init(_ base: Base, placing placements: [Placement], at place: String) throws(SystemError) {
        let ordered = placements.sorted { RootedPath.components($0.destination).count < RootedPath.components($1.destination).count }
        let raw = try OwnThread.run { () throws(SystemError) -> (root: CInt, namespace: CInt) in
            try Self.assemble(base, ordered, place)
        }
        root = RootedPath(OwnedFD(adopting: raw.root))
        namespace = OwnedFD(adopting: raw.namespace)
    }

    /// On a thread of its own, which ends afterwards: its namespace and root are not those of the process any more.
    private static func assemble(_ base: Base, _ placements: [Placement], _ place: String) throws(SystemError) -> (root: CInt, namespace: CInt) {
        try Namespaces.unshare([.mount])
        // Nothing mounted or unmounted here may reach the host.
        try Mounts.setPropagation("/", .private, recursive: true)
        let own = try Files.open("/proc/thread-self/ns/mnt")
        let tree = switch base {
        case .layers(let layers, let writable): try layers.mount(writable: writable)
        case .process(let pid, let id): try rootMount(of: pid, containerID: id, own: own)
        }
        try Mounts.attach(tree, onto: place)
        // A root that the container shares with somebody would pass the mounts below on to them.
        try Mounts.setPropagation(place, .private, recursive: true)
        let rooted = RootedPath(try tree.duplicate())
        for placement in placements { try put(placement, in: rooted) }
        // Lets go of the host's mounts, which a copy would keep busy. On a host whose root cannot be pivoted they stay until the end.
        try? Mounts.pivot(into: tree, name: place)
        return (tree.release(), own.release())
    }

    /// A copy of the mount that is the root in the namespace of `pid`, without what is mounted on it.
    private static func rootMount(of pid: Int32, containerID: String, own: borrowing OwnedFD) throws(SystemError) -> OwnedFD {
        let path = "/proc/\(pid)/ns/mnt"
        let theirs = try Files.open(path)
        // The process may be gone and its number somebody else's: what was opened counts only if the container's is still there afterwards.
        guard try Files.readText("/proc/\(pid)/cgroup").contains(containerID) else { throw SystemError(call: "open", subject: path, errno: .noSuchProcess) }
        try Namespaces.enter(.mount, at: path, through: theirs)
        let tree = try Mounts.cloneTree("/", recursive: false)
        try Namespaces.enter(.mount, at: "of the engine's view", through: own)
        return tree
    }

    /// Runs `body` on a thread that belongs to the view's namespace, for whatever makes or removes names.
    ///
    /// The kernel refuses to remove what something is mounted on only in the namespace of who asks: from outside, a name with a mount on it goes, and
    /// the mount with it, also in the container. The thread keeps the host's root, since `/proc/self/fd` is to be the kernel's and not the container's.
    func perform<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await BlockingThread.run {
            let host = try Files.open("/", O_PATH | O_DIRECTORY)
            try Namespaces.unshareDirectories()
            try Namespaces.enter(.mount, at: "of the engine's view", through: self.namespace)
            try Files.changeRoot(host, name: "/")
            return try body()
        }
    }

    private static func put(_ placement: Placement, in root: borrowing RootedPath) throws(SystemError) {
        let mount = try Mounts.cloneTree(placement.source, recursive: placement.isRecursive)
        if placement.isReadOnly { try Mounts.change(mount, set: [.readonly], recursive: true, name: placement.destination) }
        let isDirectory = try mount.status(on: placement.source).kind == .directory
        let target = try isDirectory ? root.makeDirectories(placement.destination) : root.makeFile(placement.destination)
        try Mounts.attach(mount, onto: target, name: placement.destination)
    }
}

// MARK: - Looking

extension ContainerFilesystem {
    /// What stands at a path, the last component not followed unless the path ends in a slash or `/.`.
    func status(_ path: String) throws(SystemError) -> FileStatus { try root.open(path, O_PATH | O_NOFOLLOW).status(on: path) }

    /// The directory behind a descriptor of its own.
    func directory(_ path: String) throws(SystemError) -> DirectoryFD {
        let found = try root.open(path, O_PATH | O_DIRECTORY)
        return try DirectoryFD(path: "/proc/self/fd/\(found.rawValue)")
    }

    /// The path without symbolic links: what is behind a descriptor, as the kernel names it below `root`.
    func resolved(_ path: String) throws(SystemError) -> (path: String, status: FileStatus) {
        let found = try root.open(path, O_PATH)
        return (try Files.readLink("/proc/self/fd/\(found.rawValue)"), try found.status(on: path))
    }

    /// Where a link leads in the end; what does not exist is taken as it is written.
    func target(ofLink path: String) throws(SystemError) -> String {
        var done: [String] = []
        var pending = Array(RootedPath.components(path).reversed())
        var links = 0
        while let component = pending.popLast() {
            if component == ".." {
                _ = done.popLast()
                continue
            }
            let whole = "/" + (done + [component]).joined(separator: "/")
            guard let status = try? status(whole), status.kind == .symbolicLink else {
                done.append(component)
                continue
            }
            links += 1
            guard links <= 255 else { throw SystemError(call: "readlink", subject: path, errno: .loop) }
            let target = try root.readLink(whole)
            if target.isAbsolutePath { done = [] }
            pending += RootedPath.components(target).reversed()
        }
        return "/" + done.joined(separator: "/")
    }
}
