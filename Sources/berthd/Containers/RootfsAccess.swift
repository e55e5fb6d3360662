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
            guard layers.count > 1 else { return DetachedRootfs(root: try Files.open(layers.first ?? "", O_PATH | O_DIRECTORY)) }
            let context = try FilesystemContext(type: "overlay")
            try setLowerLayers(layers, of: context)
            return DetachedRootfs(root: try context.mount([.readonly, .nosuid, .nodev]))
        default: throw DaemonError.unimplemented("reading a root filesystem of type \(mount.type)")
        }
    }

    /// `lowerdir+` takes one layer a call (Linux 6.8); before, all of them go into one string of at most 255 bytes, which mount(2) does not limit but
    /// fsconfig(2) does, so long lists are given relative to nothing and may fail there.
    private static func setLowerLayers(_ layers: [String], of context: borrowing FilesystemContext) throws {
        do {
            for layer in layers { try context.set("lowerdir+", layer) }
        } catch let error where error.errno == .invalid {
            try context.set("lowerdir", layers.joined(separator: ":"))
        }
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
