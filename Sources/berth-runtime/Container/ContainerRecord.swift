import Cgroups
import LinuxSystem
import OCISpec

/// A process that cannot be mistaken for a later one with the same number.
struct ProcessIdentity: Equatable {
    let pid: Int32
    /// Ticks since boot, from /proc/PID/stat.
    let startTime: UInt64

    init(pid: Int32, startTime: UInt64) { (self.pid, self.startTime) = (pid, startTime) }

    init(of pid: Int32) throws(SystemError) {
        self.pid = pid
        startTime = try ProcessStat.of(pid).startTime
    }

    /// A zombie counts as ended.
    var isAlive: Bool {
        guard let stat = try? ProcessStat.of(pid) else { return false }
        return stat.isAlive && stat.startTime == startTime
    }
}

/// state.json (`ContainerRecord+JSON.swift`): what cannot be asked of the kernel. Written before the first cgroup is made, so that whatever a killed
/// runtime leaves can be found and removed, and once more when the init exists.
struct ContainerRecord {
    var ociVersion: String
    var id: String
    /// Absolute path.
    var bundle: String
    var rootfs: String
    var annotations: [String: String]
    /// RFC 3339.
    var created: String
    var ownerUID: UInt32
    /// The runtime that builds the container; the container is `creating` while it lives and there is no init.
    var creator: ProcessIdentity
    /// Named so because `init` is Swift's.
    var initProcess: ProcessIdentity?
    var cgroup: Cgroup
    /// The unit whose cgroup it is, where systemd made it.
    var systemd: SystemdUnit?
    /// Share of cache and memory bandwidth, where the config asks for one.
    var resctrl: ResctrlGroup?
    /// Whether the pid namespace ends with the init. If not, `delete` kills what is left in the cgroup.
    var ownPIDNamespace: Bool
    /// If not, `delete` detaches what was mounted on the root.
    var ownMountNamespace: Bool

    /// The namespaces of the init that `exec` enters.
    var namespaces: [String]
    /// What `start` and `delete` would otherwise read the whole config for; nil in a file of an older runtime.
    var later: Later?

    struct Later {
        var poststart: [RuntimeSpec.Hook]
        var poststop: [RuntimeSpec.Hook]
        var hasProcess: Bool
    }
}

extension ContainerRecord.Later {
    init(_ spec: RuntimeSpec) {
        // Not by `!= nil`, which makes the type of a pair of processes known.
        let hasProcess = if case .some = spec.process { true } else { false }
        self.init(poststart: spec.hooks?.poststart ?? [], poststop: spec.hooks?.poststop ?? [], hasProcess: hasProcess)
    }
}

extension ContainerRecord {
    /// What hooks and `state` see.
    func state(_ status: ContainerStatus, pid: Int32? = nil) -> RuntimeState {
        RuntimeState(
            ociVersion: ociVersion, id: id, status: status.rawValue, pid: status == .stopped ? nil : (pid ?? initProcess?.pid).map(Int.init),
            bundle: bundle, annotations: annotations)
    }
}
