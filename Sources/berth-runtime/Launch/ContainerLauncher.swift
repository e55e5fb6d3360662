import BerthDefaults
import Glibc
import LinuxSystem
import OCISpec

/// The runtime's side of building a container: clones the init, gives it cgroup and id mappings while it mounts, runs the host's hooks, hears how it went.
///
/// The init is a copy of this process and works at the same time: what both do takes as long as the slower of the two.
struct ContainerLauncher {
    let plan: LaunchPlan
    let cgroup: ContainerCgroup
    let limits: RuntimeSpec.Linux.Resources?
    let seccomp: SeccompFilter?
    let preservedDescriptors: Int
    /// Wait for `start` at exec.fifo, or run at once.
    let waitsForStart: Bool
    let diagnostics: Diagnostics

    /// Builds the container up to `created` or `running`. After a failure nothing is left of it but its directory.
    func launch(in directory: borrowing ContainerDirectory, record: inout ContainerRecord, console: CInt?) throws(RuntimeError) -> ChildProcess {
        let fifo = try makeFIFO(in: directory)
        let pair = try attempt { () throws(SystemError) in try DescriptorPassing.pair() }
        let channel = SyncChannel(pair.takeParent())
        let hostMounts = try prepareMounts()
        let early = cgroup.isUnified
        if early {
            try directory.write(record)
            try cgroup.create()
        }
        let child = try clone(SyncChannel(pair.takeChild()), fifo: fifo, console: console, mounts: hostMounts, record: record, parent: channel)
        for fd in hostMounts.values { close(fd) }
        if let fifo { close(fifo) }
        do throws(RuntimeError) {
            record.initProcess = try attempt { () throws(SystemError) in try ProcessIdentity(of: child.pid) }
            try directory.write(record)
            try supply(child.pid, channel, createCgroup: !early)
            try follow(child, channel, record)
        } catch {
            throw cleanedUp(child, error)
        }
        return child
    }

    private func makeFIFO(in directory: borrowing ContainerDirectory) throws(RuntimeError) -> CInt? {
        if !waitsForStart { return nil }
        let path = directory.fifoPath
        return try attempt { () throws(SystemError) in
            let before = umask(0)
            defer { _ = umask(before) }
            try Files.makeFIFO(path, mode: 0o622)
            return try Files.open(path, O_PATH | O_NOFOLLOW).release()
        }
    }

    /// In a user namespace the container's root may not reach the sources of bind mounts; the runtime takes hold of them first.
    private func prepareMounts() throws(RuntimeError) -> [Int: CInt] {
        var ready: [Int: CInt] = [:]
        for (index, mount) in plan.mounts.enumerated() {
            guard case .bind(let path, let recursive) = mount.source, plan.namespaces.hasUserNamespace || mount.options.idmap else { continue }
            let tree = try during("mount \(mount.label)") { () throws(SystemError) in try Mounts.cloneTree(path, recursive: recursive) }
            if mount.options.idmap { try IDMappedMounts.apply(mount, to: tree, plan.linux) }
            ready[index] = (consume tree).release()
        }
        return ready
    }

    private func clone(
        _ childEnd: consuming SyncChannel, fifo: CInt?, console: CInt?, mounts: [Int: CInt], record: ContainerRecord, parent: borrowing SyncChannel
    ) throws(RuntimeError) -> ChildProcess {
        let intermediate = plan.namespaces.needsIntermediate
        let stage = InitStage(
            plan: plan, channel: childEnd, state: record.state(.creating), cgroup: mounter, fifo: fifo, console: console, seccomp: seccomp,
            preservedDescriptors: preservedDescriptors, namespacesAreJoined: intermediate, preparedMounts: mounts)
        try TimeNamespace.enterForChildren(plan)
        defer { TimeNamespace.leave(plan) }
        if !intermediate {
            try PIDNamespace.enterForChildren(plan.namespaces)
            defer { PIDNamespace.leave(plan.namespaces) }
            let child = try attempt { () throws(SystemError) in try Processes.clone(namespaces: plan.namespaces.atClone, subject: "init") { stage.run() } }
            if plan.namespaces.creates(.user) {
                try NamespaceJoining.writeMaps(of: child.pid, plan.linux)
                try attempt { () throws(SystemError) in try parent.send(.go) }
            }
            return child
        }
        let between = try attempt { () throws(SystemError) in
            try Processes.clone(subject: "intermediate stage") { IntermediateStage.run(plan.namespaces, channel: stage.channel) { stage.run() } }
        }
        return try followIntermediate(between, parent)
    }

    /// Answers the intermediate stage until it has made the init.
    private func followIntermediate(_ between: borrowing ChildProcess, _ channel: borrowing SyncChannel) throws(RuntimeError) -> ChildProcess {
        defer { _ = try? Processes.wait(for: between.pid) }
        while let message = try attempt({ () throws(SystemError) in try channel.receive() }) {
            switch message.kind {
            case .mapping:
                try NamespaceJoining.writeMaps(of: between.pid, plan.linux)
                try attempt { () throws(SystemError) in try channel.send(.go) }
            case .pid:
                // The number is one of the init's namespace's outer ones: the pidfd tells what it is here.
                guard let fd = message.descriptors.first else { throw RuntimeError(.internalError, "intermediate stage sent no descriptor") }
                let pidfd = OwnedFD(adopting: fd)
                let pid = try attempt { () throws(SystemError) in try Processes.pid(of: pidfd) }
                return ChildProcess(pid: pid, pidfd: pidfd)
            case .failure: throw SyncChannel.failure(message.text)
            default: throw RuntimeError(.internalError, "intermediate stage sent \(message.kind)")
            }
        }
        throw RuntimeError(.internalError, "intermediate stage ended without a word")
    }

    private var mounter: CgroupMounter {
        CgroupMounter(
            hierarchies: cgroup.places.filter { !$0.controllers.isEmpty }.map {
                CgroupMounter.Hierarchy(name: $0.controllers.hasPrefix("name=") ? String($0.controllers.dropFirst(5)) : $0.controllers, directory: $0.directory)
            }, unifiedDirectory: cgroup.isUnified ? cgroup.places[0].directory : nil, ownNamespace: plan.namespaces.separates(.cgroup))
    }

    /// What the init needs from outside while it mounts.
    private func supply(_ pid: pid_t, _ channel: borrowing SyncChannel, createCgroup: Bool) throws(RuntimeError) {
        if createCgroup { try cgroup.create() }
        try OutsideAttributes.apply(plan.process, to: pid, inUserNamespace: plan.namespaces.hasUserNamespace)
        let tasks = try cgroup.openTasks()
        defer { for fd in tasks { close(fd) } }
        do throws(SystemError) { try channel.send(.cgroup, descriptors: tasks) } catch {
            // The init has failed already; its message is waiting.
            if error.errno != .brokenPipe && error.errno != .connectionReset { throw RuntimeError(error) }
        }
    }

    /// Listens until the init waits for `start` or has become the program.
    private func follow(_ child: borrowing ChildProcess, _ channel: borrowing SyncChannel, _ record: ContainerRecord) throws(RuntimeError) {
        while let message = try attempt({ () throws(SystemError) in try channel.receive() }) {
            switch message.kind {
            case .ready: return
            case .failure: throw SyncChannel.failure(message.text).during("unable to start container process: error during container init")
            case .hooks:
                let state = record.state(.creating)
                try Hooks.run(plan.hooks.prestart, named: "prestart", state: state)
                try Hooks.run(plan.hooks.createRuntime, named: "createRuntime", state: state)
                try attempt { () throws(SystemError) in try channel.send(.go) }
            default: throw RuntimeError(.internalError, "init sent \(message.kind)")
            }
        }
        if waitsForStart { throw RuntimeError(.internalError, "container init ended without a word (killed, or out of memory)") }
        // The end of the channel is execve, or a death without a message; a zombie tells them apart.
        if !(record.initProcess?.isAlive ?? false), let status = Processes.reap()?.status, case .signalled(let signal) = status, signal == SIGKILL {
            throw RuntimeError(.internalError, "container init was killed (out of memory?)")
        }
    }

    private func cleanedUp(_ child: borrowing ChildProcess, _ error: RuntimeError) -> RuntimeError {
        try? Processes.signal(SIGKILL, to: child.pidfd, name: "init")
        _ = try? Processes.wait(for: child.pid)
        cgroup.killAll(SIGKILL)
        do throws(RuntimeError) { try cgroup.remove() } catch let second { return RuntimeError(error.code, "\(error.message); \(second.message)") }
        return error
    }
}
