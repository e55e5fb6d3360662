import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import OCISpec

/// One more process in a running container.
///
/// All namespaces of the init are entered with one setns on its pidfd. The pid namespace is entered by the runtime for its next child; the child does the
/// rest, so that no stage stands between.
struct ExecLauncher {
    let record: ContainerRecord
    let process: ProcessPlan
    let cgroup: Cgroup
    let spec: RuntimeSpec
    let seccomp: SeccompFilter?
    let preservedDescriptors: Int

    func launch(console: CInt?) throws(RuntimeError) -> ChildProcess {
        guard let initProcess = record.initProcess else { throw .notRunning }
        let target = try openInit(initProcess)
        let kinds = try namespacesToEnter(initProcess.pid)
        let throughStage = kinds.contains(.user) && !ProcessAttributes.isRoot()
        let pair = try attempt { () throws(SystemError) in try DescriptorPassing.pair() }
        let channel = SyncChannel(pair.takeParent())
        let childEnd = SyncChannel(pair.takeChild())
        let bornIn = throughStage ? nil : try ContainerCgroup.openForClone(cgroup)
        defer { if let bornIn { close(bornIn) } }
        let tasks = try withCgroup { () throws(CgroupError) in try cgroup.openForEntering(isInV2: bornIn != nil) }
        defer { for fd in tasks { close(fd) } }
        let outer = throughStage ? [] : kinds.filter { $0 == .pid }
        try attempt { () throws(SystemError) in try Namespaces.enter(outer, of: target, name: record.id) }
        let child: ChildProcess
        if throughStage {
            child = try cloneThroughStage(target, kinds, childEnd, channel, tasks, console)
        } else {
            child = try attempt { () throws(SystemError) in
                try Processes.clone(cgroup: bornIn, subject: "exec") {
                    // With a copy of the runtime's end it would never see that the runtime has died.
                    close(channel.rawValue)
                    run(target, kinds.filter { $0 != .pid }, childEnd, tasks, console, entered: false)
                }
            }
        }
        _ = consume childEnd
        try OutsideAttributes.apply(process, to: child.pid, inUserNamespace: kinds.contains(.user))
        try attempt { () throws(SystemError) in try? channel.send(.go) }
        while let message = try attempt({ () throws(SystemError) in try channel.receive() }) {
            if message.kind == .seccomp {
                try SeccompListener.forward(message.descriptors, spec.linux?.seccomp, pid: child.pid, state: record.state(ContainerStatus.running))
                try attempt { () throws(SystemError) in try channel.send(.go) }
                continue
            }
            _ = try? Processes.wait(for: child.pid)
            throw SyncChannel.failure(message.text).during("unable to start container process")
        }
        return child
    }

    /// The pidfd is the init's only if its start time still is the recorded one after it is open.
    private func openInit(_ identity: ProcessIdentity) throws(RuntimeError) -> OwnedFD {
        guard let pidfd = try? Processes.open(identity.pid), identity.isAlive else { throw .notRunning }
        return pidfd
    }

    /// Those the container does not share with the runtime. Entering one's own user namespace is an error, the others would be a waste.
    private func namespacesToEnter(_ pid: pid_t) throws(RuntimeError) -> [NamespaceKind] {
        try attempt { () throws(SystemError) in
            var kinds: [NamespaceKind] = []
            for name in record.namespaces {
                guard let kind = NamespaceKind(rawValue: name) else { continue }
                if kind == .user {
                    let (theirs, ours) = (try Namespaces.identity("/proc/\(pid)/ns/user"), try Namespaces.identity("/proc/self/ns/user"))
                    if theirs == ours { continue }
                }
                kinds.append(kind)
            }
            return kinds
        }
    }

    /// With a user namespace: a pid namespace below it can be entered by root of the host beforehand, but an unprivileged runtime must be inside first.
    private func cloneThroughStage(
        _ target: borrowing OwnedFD, _ kinds: [NamespaceKind], _ childEnd: borrowing SyncChannel, _ channel: borrowing SyncChannel, _ tasks: [CInt], _ console: CInt?
    ) throws(RuntimeError) -> ChildProcess {
        let between = try attempt { () throws(SystemError) in
            try Processes.clone(subject: "exec stage") {
                close(channel.rawValue)
                do throws(SystemError) {
                    try Namespaces.enter(kinds, of: target, name: record.id)
                    let child = try Processes.clone(asSibling: true, subject: "exec") { run(target, kinds, childEnd, tasks, console, entered: true) }
                    try childEnd.send(.pid, descriptors: [child.pidfd.rawValue])
                } catch { childEnd.fail(RuntimeError(error)) }
                Processes.leave(0)
            }
        }
        defer { _ = try? Processes.wait(for: between.pid) }
        guard let message = try attempt({ () throws(SystemError) in try channel.receive() }) else { throw RuntimeError(.internalError, "exec stage ended without a word") }
        guard message.kind == .pid, let fd = message.descriptors.first else { throw SyncChannel.failure(message.text).during("unable to start container process") }
        let pidfd = OwnedFD(adopting: fd)
        let pid = try attempt { () throws(SystemError) in try Processes.pid(of: pidfd) }
        return ChildProcess(pid: pid, pidfd: pidfd)
    }

    /// The new process. Everything of the host's that it needs is open before the namespaces are entered.
    private func run(
        _ target: borrowing OwnedFD, _ kinds: [NamespaceKind], _ channel: borrowing SyncChannel, _ tasks: [CInt], _ console: CInt?, entered: Bool
    ) -> Never {
        ProcessAttributes.setName("berth[1:EXEC]")
        do throws(RuntimeError) {
            try attempt { () throws(SystemError) in
                try ProcessAttributes.setParentDeathSignal(SIGKILL)
                _ = try channel.expect(.go)
            }
            let proc = try attempt { () throws(SystemError) in try ProcHandle() }
            try attempt { () throws(SystemError) in
                if !process.initialCPUs.isEmpty { try ProcessAttributes.setAffinity(cpus: process.initialCPUs) }
                for raw in tasks {
                    let file = OwnedFD(adopting: raw)
                    try Files.writeAll([UInt8(ascii: "0")], to: file, name: "tasks")
                }
                if !process.finalCPUs.isEmpty { try ProcessAttributes.setAffinity(cpus: process.finalCPUs) }
                if !entered { try Namespaces.enter(kinds, of: target, name: record.id) }
            }
            if kinds.contains(.user) { try NamespaceJoining.becomeRoot() }
            try attempt { () throws(SystemError) in
                try ProcessAttributes.startSession()
                try? ProcessAttributes.joinSessionKeyring("_ses.\(record.id)")
                if process.terminal, let console {
                    let root = RootedPath(try Files.open("/", O_PATH | O_DIRECTORY))
                    try Console.open(in: root, sendTo: console, size: process.consoleSize, bindConsole: false)
                }
            }
            try becomeProgram(proc, channel, inUserNamespace: kinds.contains(.user))
        } catch { channel.fail(error) }
        Processes.leave(1)
    }

    private func becomeProgram(_ proc: borrowing ProcHandle, _ channel: borrowing SyncChannel, inUserNamespace: Bool) throws(RuntimeError) {
        let stage = ProgramStage(
            process: process, inUserNamespace: inUserNamespace, seccomp: seccomp, preservedDescriptors: preservedDescriptors,
            notify: { [raw = channel.rawValue] (descriptor) throws(RuntimeError) in try SyncChannel.exchange(.seccomp, descriptor, over: raw) })
        try stage.applyAttributes(personality: spec.linux?.personality, memoryPolicy: spec.linux?.memoryPolicy, proc: proc)
        let program = try stage.becomeUser(proc: proc)
        throw stage.execute(program)
    }
}
