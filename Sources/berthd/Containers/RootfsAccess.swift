import ContainerdAPI
import Glibc
import LinuxSystem

/// The files of a container that does not run: its layers mounted nowhere, behind a descriptor.
///
/// Nothing appears in any mount namespace, so nothing can be left behind and no path of the host leads in.
enum RootfsAccess {
    /// Read-only: the container's own layer counts as the topmost lower one, so a mount of the same layers elsewhere is not disturbed.
    ///
    /// - Throws: `SystemError`, or `.unimplemented` for mounts that are neither overlay nor bind.
    static func readOnly(_ mounts: [Types_Mount]) throws -> DetachedRootfs {
        guard let mount = mounts.first, mounts.count == 1 else { throw DaemonError.unimplemented("reading a root filesystem made of \(mounts.count) mounts") }
        switch mount.type {
        case "bind", "": return DetachedRootfs(root: try Files.open(mount.source, O_PATH | O_DIRECTORY))
        case "overlay":
            let layers = overlayLayers(mount.options)
            if layers.count == 1 { return DetachedRootfs(root: try Files.open(layers[0], O_PATH | O_DIRECTORY)) }
            return try overlay(layers)
        default: throw DaemonError.unimplemented("reading a root filesystem of type \(mount.type)")
        }
    }

    /// `lowerdir+` takes one layer a call (Linux 6.8). An older kernel takes all of them as one string, which fsconfig(2) limits to 255 bytes.
    private static func overlay(_ layers: [String]) throws -> DetachedRootfs {
        do { return DetachedRootfs(root: try mount(layers.map { ("lowerdir+", $0) })) } catch {
            guard error.errno == .invalid else { throw error }
            return DetachedRootfs(root: try mount([("lowerdir", layers.joined(separator: ":"))]))
        }
    }

    private static func mount(_ options: [(String, String)]) throws(SystemError) -> OwnedFD {
        let context = try FilesystemContext(type: "overlay")
        for (key, value) in options { try context.set(key, value) }
        return try context.mount([.readonly, .nosuid, .nodev])
    }

    /// Directories of an overlay from the topmost on, the writable one first.
    static func overlayLayers(_ options: [String]) -> [String] {
        var upper: [String] = []
        var lower: [String] = []
        for option in options {
            if option.hasPrefix("upperdir=") { upper = [String(option.dropFirst(9))] }
            if option.hasPrefix("lowerdir=") { lower = option.dropFirst(9).split(separator: ":").map(String.init) }
        }
        return upper + lower
    }

    /// The root of a running container as its init sees it.
    static func ofProcess(_ pid: Int32) throws -> DetachedRootfs { DetachedRootfs(root: try Files.open("/proc/\(pid)/root", O_PATH | O_DIRECTORY)) }
}

typealias RootfsMount = Types_Mount
