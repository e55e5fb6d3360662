import Glibc
package import LinuxSystem

/// Tells when the kernel kills a process of a cgroup because of its memory limit.
package struct OutOfMemoryWatch: ~Copyable {
    /// Readable when something happened: for epoll. Then call `take`.
    package let descriptor: OwnedFD
    /// v2: the file that counts.
    private let eventsPath: String?
    private var counted: UInt64

    /// - Returns: nil where neither version has a memory controller for the cgroup.
    package init?(_ cgroup: Cgroup) throws(CgroupError) {
        do throws(SystemError) {
            if let directory = cgroup.v1Directory(of: "memory") {
                // The descriptor is registered together with the file it is about; the kernel signals it, also once when the cgroup is removed.
                let counter = try EventCounter.make()
                let control = try Files.open("\(directory.path)/memory.oom_control")
                try Files.write("\(counter.rawValue) \(control.rawValue)", toExisting: "\(directory.path)/cgroup.event_control")
                descriptor = counter
                eventsPath = nil
                counted = 0
            } else if let v2 = cgroup.v2, CgroupFiles.exists("\(v2.path)/memory.events") {
                let path = "\(v2.path)/memory.events"
                descriptor = try FileWatch.modifications(of: path)
                eventsPath = path
                counted = Self.kills(path) ?? 0
            } else {
                return nil
            }
        } catch {
            throw .kernel(error)
        }
        self.controlPath = cgroup.v1Directory(of: "memory").map { "\($0.path)/memory.oom_control" }
    }

    private let controlPath: String?

    private static func kills(_ path: String) -> UInt64? { CgroupFiles.keyed(path).first { $0.key == "oom_kill" }?.value }

    /// Whether there was a kill since the last call.
    package mutating func take() -> Bool {
        guard let eventsPath else {
            // The last signal is the removal of the cgroup.
            return EventCounter.take(descriptor) > 0 && (controlPath.map(CgroupFiles.exists) ?? true)
        }
        FileWatch.drain(descriptor)
        guard let kills = Self.kills(eventsPath), kills > counted else { return false }
        counted = kills
        return true
    }
}
