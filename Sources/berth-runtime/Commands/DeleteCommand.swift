import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import OCISpec

/// `delete`: what is left of a stopped container, and with `--force` of any, also of one whose runtime was killed half way.
enum DeleteCommand {
    static var specs: [OptionSpec] { [OptionSpec("force", "f", .flag, "kill the container first; no error when there is none")] }


    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        let id = try soleArgument(options, "delete")
        let force = options.has("force")
        do throws(RuntimeError) { return try delete(id, force: force, global) } catch {
            guard force && error.code == .notFound else { throw error }
            try? ContainerDirectory.open(root: global.root, id: id).remove()
            return 0
        }
    }

    private static func delete(_ id: String, force: Bool, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        let directory = try ContainerDirectory.open(root: global.root, id: id, locked: true)
        let record = try directory.record()
        let cgroup = record.cgroup
        switch directory.status(record, isFrozen: { cgroup.isFrozen }) {
        case .stopped: break
        case .created: try kill(record)
        case let status where !force: throw .notStopped(id, status.rawValue)
        default:
            try kill(record)
            if cgroup.isFrozen { try withCgroup { () throws(CgroupError) in try cgroup.thaw() } }
        }
        try destroy(id: id, root: global.root, record: record, diagnostics: global.diagnostics)
        return 0
    }

    /// Kills the init and waits for its end, ten seconds at most as runc does.
    private static func kill(_ record: ContainerRecord) throws(RuntimeError) {
        guard let identity = record.initProcess, let pidfd = try? Processes.open(identity.pid), identity.isAlive else { return }
        try? Processes.signal(SIGKILL, to: pidfd, name: record.id)
        let raw = pidfd.rawValue
        let cgroup = record.cgroup
        if cgroup.isFrozen { try withCgroup { () throws(CgroupError) in try cgroup.thaw() } }
        func hasEnded(within milliseconds: CInt) throws(RuntimeError) -> Bool {
            try attempt { () throws(SystemError) in try !Processes.poll([raw], timeoutMilliseconds: milliseconds).isEmpty }
        }
        if try hasEnded(within: 200) { return }
        // Somebody else's frozen cgroup (version 1) keeps it from dying; its own does not.
        try? cgroup.bringHome(identity.pid)
        if try !hasEnded(within: 9_800) { throw .stillRunning }
    }

    /// Removes a container without a live init: what its cgroup still holds, the cgroup, the directory; then the poststop hooks.
    static func destroy(id: String, root: String, record: ContainerRecord, diagnostics: Diagnostics) throws(RuntimeError) {
        let directory = try ContainerDirectory.open(root: root, id: id)
        let hooks = (try? directory.later(record))?.poststop ?? []
        try kill(record)
        let cgroup = record.cgroup
        try withCgroup { () throws(CgroupError) in
            // Without a pid namespace the container may outlive its init; one whose runtime was killed half way may have an init that nobody noted.
            if !record.ownPIDNamespace || record.initProcess == nil { try cgroup.signal(SIGKILL) }
        }
        if let unit = record.systemd {
            // Without systemd the directories can still be removed, and a unit without processes ends by itself.
            do throws(RuntimeError) { try SystemdScope(unit).stop() } catch { diagnostics.warn(error.message) }
        }
        try withCgroup { () throws(CgroupError) in
            try cgroup.remove()
        }
        record.resctrl?.remove()
        if !record.ownMountNamespace { try? Mounts.detach(record.rootfs) }
        try directory.remove()
        for hook in hooks {
            do throws(RuntimeError) { try Hooks.run([hook], named: "poststop", state: record.state(.stopped)) } catch { diagnostics.warn(error.message) }
        }
    }
}
