import BerthDefaults
import Cgroups
import LinuxSystem

/// `pause` and `resume`, through the freezer of the container's cgroup.
enum PauseCommand {
    static func pause(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        let (cgroup, status) = try look(try soleArgument(options, "pause"), global)
        guard status == .running || status == .created else { throw .notRunning }
        try withCgroup { () throws(CgroupError) in try cgroup.freeze() }
        return 0
    }

    static func resume(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        let (cgroup, status) = try look(try soleArgument(options, "resume"), global)
        guard status == .paused else { throw .notPaused }
        try withCgroup { () throws(CgroupError) in try cgroup.thaw() }
        return 0
    }

    private static func look(_ id: String, _ global: GlobalOptions) throws(RuntimeError) -> (Cgroup, ContainerStatus) {
        let directory = try ContainerDirectory.open(root: global.root, id: id, locked: true)
        let record = try directory.record()
        let cgroup = record.cgroup
        return (cgroup, directory.status(record, isFrozen: { cgroup.isFrozen }))
    }
}
