import Glibc
import LinuxSystem

/// Notices that the kernel has killed something in the container for want of memory.
///
/// cgroup v1: an eventfd registered with `memory.oom_control`. cgroup v2: a change of `memory.events`, whose `oom_kill` count has grown.
final class OOMWatcher {
    private let loop: EventLoop
    private let onOOM: () -> Void
    private var file: OwnedFD?
    private var directory = ""
    private var isUnified = false
    private var killed: UInt64 = 0

    init(loop: EventLoop, cgroup: ContainerCgroup, onOOM: @escaping () -> Void) {
        self.loop = loop
        self.onOOM = onOOM
        do {
            if let memory = cgroup.directories["memory"] { try watchV1(memory) } else if let unified = cgroup.directories[""] { try watchV2(unified) }
        } catch {
            // A kernel without the memory controller has no such news.
            if error.errno != .noSuchFile { ShimLog.warn("watch for out of memory: \(error)") }
        }
    }

    private func watchV1(_ directory: String) throws(SystemError) {
        let counter = try EventCounter.make()
        let control = try Files.open("\(directory)/memory.oom_control", O_RDONLY)
        try Files.write("\(counter.rawValue) \(control.rawValue)", toExisting: "\(directory)/cgroup.event_control")
        self.directory = directory
        try watch(counter)
    }

    private func watchV2(_ directory: String) throws(SystemError) {
        let events = "\(directory)/memory.events"
        killed = try count(in: events)
        isUnified = true
        self.directory = directory
        try watch(try FileWatch.modifications(of: events))
    }

    private func watch(_ descriptor: consuming OwnedFD) throws(SystemError) {
        let raw = descriptor.rawValue
        file = consume descriptor
        try loop.watch(raw, .read) { [unowned self] _ in check() }
    }

    /// Looks now; also called when the init process has ended, so that the news precedes that of its end.
    func check() {
        guard let raw = file?.rawValue else { return }
        if isUnified {
            withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
                while read(raw, buffer.baseAddress, buffer.count) > 0 {}
            }
            guard let now = try? count(in: "\(directory)/memory.events") else { return stop() }
            if now > killed { onOOM() }
            killed = max(killed, now)
        } else {
            var value: UInt64 = 0
            guard read(raw, &value, 8) == 8 else { return }
            // The same descriptor is raised when the cgroup is removed.
            guard Files.exists("\(directory)/memory.oom_control") else { return stop() }
            onOOM()
        }
    }

    private func count(in path: String) throws(SystemError) -> UInt64 {
        for line in try Files.readText(path).split(separator: "\n") where line.hasPrefix("oom_kill ") { return UInt64(line.dropFirst(9)) ?? 0 }
        return 0
    }

    func stop() {
        guard let raw = file?.rawValue else { return }
        loop.unwatch(raw)
        file = nil
    }
}
