import ContainerdAPI
import Glibc
import LinuxSystem

/// The files of a container that does not run: its layers mounted nowhere, behind a descriptor.
///
/// Nothing appears in any mount namespace, so nothing can be left behind and no path of the host leads in.
enum RootfsAccess {
    /// - Throws: `SystemError`, or `.unimplemented` for more than one mount.
    static func readOnly(_ mounts: [Types_Mount]) throws -> DetachedRootfs {
        let layers = try RootfsLayers(mounts)
        return switch layers {
        case .directory(let path): DetachedRootfs(root: try Files.open(path, O_PATH | O_DIRECTORY))
        case .overlay(let overlay):
            if overlay.all.count == 1 { DetachedRootfs(root: try Files.open(overlay.all[0], O_PATH | O_DIRECTORY)) } else { DetachedRootfs(root: try overlay.mountReadOnly(overlay.all)) }
        case .filesystem: DetachedRootfs(root: try layers.mount(writable: false))
        }
    }

    /// The root of a running container as its init sees it.
    static func ofProcess(_ pid: Int32) throws -> DetachedRootfs { DetachedRootfs(root: try Files.open("/proc/\(pid)/root", O_PATH | O_DIRECTORY)) }
}

typealias RootfsMount = Types_Mount

/// What a snapshotter's mounts say about the layers of a root filesystem.
enum RootfsLayers: Sendable {
    /// Everything is in one directory.
    case directory(String)
    case overlay(OverlayLayers)
    /// A file system of its own, such as a subvolume of btrfs.
    case filesystem(type: String, source: String, options: [String])

    /// The container's own layer holds only what it changed.
    var saysChanges: Bool { if case .overlay = self { true } else { false } }

    /// - Throws: `.unimplemented` for more than one mount.
    init(_ mounts: [Types_Mount]) throws(DaemonError) {
        guard let mount = mounts.first, mounts.count == 1 else { throw .unimplemented("reading a root filesystem made of \(mounts.count) mounts") }
        switch mount.type {
        case "bind", "": self = .directory(mount.source)
        case "overlay": self = .overlay(OverlayLayers(mount.options))
        default: self = .filesystem(type: mount.type, source: mount.source, options: mount.options)
        }
    }

    /// A detached mount of the whole.
    func mount(writable: Bool) throws(SystemError) -> OwnedFD {
        switch self {
        case .directory(let path):
            let tree = try Mounts.cloneTree(path, recursive: false)
            if !writable { try Mounts.change(tree, set: [.readonly], name: path) }
            return tree
        case .filesystem(let type, let source, let options):
            let context = try FilesystemContext(type: type)
            try context.set("source", source)
            for option in options where option != "ro" && option != "rw" {
                let parts = option.split(separator: "=", maxSplits: 1).map(String.init)
                try context.set(parts[0], parts.count > 1 ? parts[1] : nil)
            }
            return try context.mount(writable ? [] : [.readonly, .nosuid, .nodev])
        case .overlay(let overlay): return try writable ? overlay.mountWritable() : overlay.mountReadOnly(overlay.all)
        }
    }
}

/// The directories of an overlay mount.
struct OverlayLayers: Sendable, Equatable {
    /// The container's own layer; nil for a view.
    var upper: String?
    var work: String?
    /// From the topmost on.
    var lower: [String] = []
    /// Other options, as the snapshotter has them.
    var options: [String] = []

    init(_ options: [String]) {
        for option in options {
            if option.hasPrefix("upperdir=") {
                upper = String(option.dropFirst(9))
            } else if option.hasPrefix("workdir=") {
                work = String(option.dropFirst(8))
            } else if option.hasPrefix("lowerdir=") {
                lower = option.dropFirst(9).split(separator: ":").map(String.init)
            } else {
                self.options.append(option)
            }
        }
    }

    /// The writable layer first.
    var all: [String] { (upper.map { [$0] } ?? []) + lower }

    /// A mount of `layers`, all of them as lower ones, so that a mount of the same layers elsewhere is not disturbed.
    ///
    /// `lowerdir+` takes one layer a call (Linux 6.8). An older kernel takes all of them as one string, which fsconfig(2) limits to 255 bytes.
    func mountReadOnly(_ layers: [String]) throws(SystemError) -> OwnedFD {
        do throws(SystemError) { return try mount(layers.map { ("lowerdir+", $0) }, [.readonly, .nosuid, .nodev]) } catch {
            guard error.errno == .invalid else { throw error }
            return try mount([("lowerdir", layers.joined(separator: ":"))], [.readonly, .nosuid, .nodev])
        }
    }

    /// A second mount with the same upper directory: only while the container itself has none.
    func mountWritable() throws(SystemError) -> OwnedFD {
        guard let upper, let work else { throw SystemError(call: "fsmount", subject: "overlay without an upper directory", errno: .invalid) }
        let top = [("upperdir", upper), ("workdir", work)]
        let more = options.filter { $0.contains("=") }.map { option in
            let parts = option.split(separator: "=", maxSplits: 1).map(String.init)
            return (parts[0], parts.count > 1 ? parts[1] : "")
        }
        do throws(SystemError) { return try mount(lower.map { ("lowerdir+", $0) } + top + more, []) } catch {
            guard error.errno == .invalid else { throw error }
            return try mount([("lowerdir", lower.joined(separator: ":"))] + top + more, [])
        }
    }

    private func mount(_ options: [(String, String)], _ attributes: MountAttributes) throws(SystemError) -> OwnedFD {
        let context = try FilesystemContext(type: "overlay")
        for (key, value) in options { try context.set(key, value) }
        return try context.mount(attributes)
    }
}
