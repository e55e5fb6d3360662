/// The names of storage drivers: containerd's, which requests carry, and Docker's for the same thing.
package enum StorageDrivers {
    /// containerd's names of those that are built, in the order in which one is chosen when nobody says which.
    package static let built = ["overlayfs", "btrfs", "native"]

    /// containerd's name for a driver of any name; nil for one that is not built.
    package static func canonical(_ name: String) -> String? {
        switch name {
        case "overlay", "overlay2": "overlayfs"
        case "vfs": "native"
        default: built.contains(name) ? name : nil
        }
    }

    /// Why a driver is not built and what to take instead, in one line.
    package static func explanation(_ name: String) -> String {
        let instead = "use overlayfs, btrfs or vfs"
        switch name {
        case "devicemapper", "devmapper":
            return "storage driver \(name) is not built: overlayfs replaced it, \(instead); it needs a thin pool of the kernel's device mapper, made by hand on a disk of its own"
        case "aufs":
            return "storage driver aufs is not built: overlayfs replaced it, \(instead); it needs a kernel with aufs patched in, which Linux itself never had"
        case "zfs":
            return "storage driver zfs is not built: \(instead) (overlayfs works on zfs since OpenZFS 2.2); it needs the zfs module, which is not part of Linux"
        case "fuse-overlayfs":
            return "storage driver fuse-overlayfs is not built: the kernel's overlayfs replaced it, \(instead); it is for engines without root, which need /dev/fuse and a process for each mount"
        case "windowsfilter": return "storage driver windowsfilter is not built: it is Windows' own, \(instead)"
        default: return "storage driver \(name) is unknown: \(instead)"
        }
    }
}
