import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import OCISpec

/// `checkpoint`: saves a running container to files with CRIU, and removes it unless it shall go on.
enum CheckpointCommand {
    /// Where the standard streams led, beside CRIU's images; `restore` connects pipes to its own.
    static let descriptorsFile = "descriptors.json"

    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        let id = try soleArgument(options, "checkpoint")
        let choices = try CheckpointOptions(options)
        var directory = try ContainerDirectory.open(root: global.root, id: id, locked: true)
        let record = try directory.record()
        let status = directory.status(record, isFrozen: { record.cgroup.isFrozen })
        guard status == .running || status == .paused, let identity = record.initProcess else {
            throw RuntimeError(.failedPrecondition, "Container cannot be checkpointed in \(status.rawValue) state")
        }
        let plan = try LaunchPlan(id: id, bundle: record.bundle, spec: try directory.spec(), noPivot: false, noNewKeyring: true)
        try dump(plan, record, pid: identity.pid, choices, program: try CRIUSession.program(global.criu))
        if choices.leavesRunning || choices.isPreDump { return 0 }
        directory.unlock()
        try DeleteCommand.destroy(id: id, root: global.root, record: record, diagnostics: global.diagnostics)
        return 0
    }

    private static func dump(_ plan: LaunchPlan, _ record: ContainerRecord, pid: pid_t, _ choices: CheckpointOptions, program: String) throws(RuntimeError) {
        try makeDirectories(choices)
        let mounts = CheckpointMounts(plan, record.cgroup)
        let root = RootedPath(try attempt { () throws(SystemError) in try Files.open("/proc/\(pid)/root", O_PATH | O_DIRECTORY) })
        let leftOut = choices.isPreDump ? [] : mounts.leftOut(in: root)
        let namespaces = try mounts.externalNamespaces()
        if !choices.isPreDump { try writeDescriptors(of: pid, into: choices.imagePath) }
        let session = try CRIUSession(program, choices, inherited: choices.statusDescriptor.map { [$0] } ?? []) { () throws(RuntimeError) in }
        do throws(RuntimeError) {
            try session.perform(choices.isPreDump ? .preDump : .dump, choices, log: "dump.log") { message in
                message.add(2, pid)
                message.add(13, record.rootfs)
                message.addIfSet(44, freezer(record.cgroup))
                for external in leftOut {
                    message.nest(23) {
                        $0.add(1, external.key)
                        $0.add(2, external.value)
                    }
                }
                for namespace in namespaces { message.add(37, namespace) }
            } onNotification: { (notification) throws(RuntimeError) in
                for fd in notification.descriptors { close(fd) }
                if notification.script == "status-ready", let fd = choices.statusDescriptor {
                    try attempt { () throws(SystemError) in try Files.writeAll([0], toRaw: fd, name: "status descriptor") }
                    close(fd)
                }
            }
        } catch {
            session.end()
            throw error
        }
    }

    static func makeDirectories(_ choices: CheckpointOptions) throws(RuntimeError) {
        for path in [choices.imagePath] + (choices.workPath.map { [$0] } ?? []) {
            try attempt { () throws(SystemError) in try Files.makeDirectories(path, mode: 0o700) }
        }
    }

    private static func writeDescriptors(of pid: pid_t, into path: String) throws(RuntimeError) {
        let links = (0...2).map { (try? Files.readLink("/proc/\(pid)/fd/\($0)")) ?? "" }
        let bytes = try ConfigLoader.encode(links)
        try attempt { () throws(SystemError) in try Files.replace("\(path)/\(descriptorsFile)", with: bytes) }
    }

    /// Stops all processes at once; without one CRIU stops them one by one.
    private static func freezer(_ cgroup: Cgroup) -> String? { cgroup.v1.first { $0.controllers.contains("freezer") }?.path ?? cgroup.v2?.path }
}
