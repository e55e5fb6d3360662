import ContainerdAPI
import LinuxSystem

/// The layer of a container that goes when it ends (`--rm`): overlayfs need not write it to the disk, neither when a program asks nor at the unmount.
///
/// Kernel: overlayfs' option `volatile`, Linux 5.10.
enum VolatileLayer {
    /// - Returns: the mounts, with the option where they are an overlay with a layer of the container's own.
    static func mounts(_ mounts: [RootfsMount]) -> [RootfsMount] {
        guard HostFacts.isKernel(atLeast: (5, 10)) else { return mounts }
        return mounts.map { mount in
            guard mount.type == "overlay", let work = OverlayLayers(mount.options).work else { return mount }
            forgetEarlierUse(work)
            var changed = mount
            changed.options.append("volatile")
            return changed
        }
    }

    /// The kernel leaves a mark in the work directory and mounts nothing there any more, since after a power cut the layer could be torn. A restart of a
    /// container is none.
    private static func forgetEarlierUse(_ work: String) {
        guard Files.exists("\(work)/work/incompat/volatile"), let directory = try? DirectoryFD(path: "\(work)/work/incompat") else { return }
        try? FileTree.remove(CName("volatile"), in: directory)
    }
}
