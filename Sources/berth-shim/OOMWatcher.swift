import Cgroups
import LinuxSystem

/// Tells that the kernel has killed something in the container for want of memory.
final class OOMWatcher {
    private let loop: EventLoop
    private let onOOM: () -> Void
    private var watch: OutOfMemoryWatch?

    init(loop: EventLoop, cgroup: Cgroup, onOOM: @escaping () -> Void) {
        self.loop = loop
        self.onOOM = onOOM
        do {
            watch = try OutOfMemoryWatch(cgroup)
            if let descriptor = watch?.descriptor.rawValue { try loop.watch(descriptor, .read) { [unowned self] _ in check() } }
        } catch { ShimLog.warn("watch for out of memory: \(error)") }
    }

    /// Looks now; also called when the init process has ended, so that this news precedes that of its end.
    func check() { if watch?.take() == true { onOOM() } }

    func stop() {
        guard let descriptor = watch?.descriptor.rawValue else { return }
        loop.unwatch(descriptor)
        watch = nil
    }
}
