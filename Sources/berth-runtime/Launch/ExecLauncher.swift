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
    /// The caller has named the cgroup.
    let namesCgroup: Bool
    let diagnostics: Diagnostics

    /// - Parameter isForeground: the terminal is the runtime's to relay.
    func launch(console: CInt?, isForeground: Bool) throws(RuntimeError) -> ChildProcess {
        guard let initProcess = record.initProcess else { throw .notRunning }
        let target = try openInit(initProcess)
        let kinds = try namespacesToEnter(initProcess.pid)
        let throughStage = kinds.contains(.user) && !ProcessAttributes.isRoot()
        let pair = try attempt { () throws(SystemError) in try DescriptorPassing.pair() }
        let channel = SyncChannel(pair.takeParent())
        let childEnd = SyncChannel(pair.takeChild())
        let cgroup = cgroupThatExists(initProcess.pid)
        try checkExistence(of: cgroup)
        let bornIn = throughStage ? nil : try ContainerCgroup.openForClone(cgroup)
        defer { if let bornIn { close(bornIn) } }
        let tasks = try withCgroup { () throws(CgroupError) in try cgroup.openForEntering(isInV2: bornIn != nil) }
        defer { for fd in tasks { close(fd) } }
        let outer = throughStage ? [] : kinds.filter { $0 == .pid }
        try attempt { () throws(SystemError) in try Namespaces.enter(outer, of: target, name: record.id) }
        let child: ChildProcess
        if throughStage {
            child = try cloneThroughStage(target, kinds, childEnd, channel, tasks, console.map { ($0, isForeground) })
        } else {
            child = try clone(bornIn, initProcess.pid) {
                // With a copy of the runtime's end it would never see that the runtime has died.
                close(channel.rawValue)
                run(target, kinds.filter { $0 != .pid }, childEnd, tasks, console.map { ($0, isForeground) }, entered: false)
            }
        }
        _ = consume childEnd
        try OutsideAttributes.apply(process, to: child.pid, inUserNamespace: kinds.contains(.user))
        try attempt { () throws(SystemError) in try? channel.send(.go) }
        while let message = try attempt({ () throws(SystemError) in try channel.receive() }) {
            if message.kind == .seccomp {
                try SeccompListener.forward(message.descriptors, seccomp, pid: child.pid, state: record.state(ContainerStatus.running))
                try attempt { () throws(SystemError) in try channel.send(.go) }
                continue
            }
            _ = try? Processes.wait(for: child.pid)
            throw SyncChannel.failure(message.text).during("unable to start container process")
        }
        return child
    }

    private var adding: String { "adding pid \(getpid()) to cgroups: open" }

    /// The container's cgroup of v2 may be gone where the init has moved on: then it is the init's. Not where the caller names one.
    private func cgroupThatExists(_ pid: pid_t) -> Cgroup {
        guard !namesCgroup, let v2 = cgroup.v2, cgroup.v1.isEmpty, !Files.exists(v2.path), let found = try? Cgroup.v2Directory(of: pid, mountPoint: v2.mountPoint) else { return cgroup }
        return Cgroup(v1: [], v2: found)
    }

    /// A cgroup of v2 that has controllers for its children takes no process; the init has moved below it, and there a new one goes too. Where the caller may
    /// not move a process into the cgroup, systemd may.
    private func clone(_ bornIn: CInt?, _ pid: pid_t, _ body: () -> Never) throws(RuntimeError) -> ChildProcess {
        do throws(SystemError) { return try Processes.clone(cgroup: bornIn, subject: "exec", body) } catch {
            if error.errno == .busy, !namesCgroup, let v2 = cgroup.v2, let below = try? Cgroup.v2Directory(of: pid, mountPoint: v2.mountPoint),
                let directory = try? Files.open(below.path, O_RDONLY | O_DIRECTORY)
            {
                return try attempt { () throws(SystemError) in try Processes.clone(cgroup: directory.rawValue, subject: "exec", body) }
            }
            if error.errno == .accessDenied, let unit = record.systemd {
                let child = try attempt { () throws(SystemError) in try Processes.clone(subject: "exec", body) }
                do throws(RuntimeError) { try SystemdScope(unit).attach(child.pid) } catch {
                    try? Processes.signal(SIGKILL, to: child.pidfd, name: "exec")
                    _ = try? Processes.wait(for: child.pid)
                    throw error
                }
                return child
            }
            guard bornIn != nil, error.errno == .busy else { throw RuntimeError(error) }
            throw RuntimeError(.failedPrecondition, "\(adding) \(cgroup.v2?.path ?? "")/cgroup.procs: \(error.errno.description.lowercased())")
        }
    }

    /// A cgroup that the caller names is the container's to make.
    private func checkExistence(of cgroup: Cgroup) throws(RuntimeError) {
        guard namesCgroup, let missing = cgroup.directories.first(where: { !Files.exists($0.path) }) else { return }
        throw RuntimeError(.notFound, "\(adding) \(missing.path)/cgroup.procs: no such file or directory")
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
        _ target: borrowing OwnedFD, _ kinds: [NamespaceKind], _ childEnd: borrowing SyncChannel, _ channel: borrowing SyncChannel, _ tasks: [CInt], _ console: (CInt, Bool)?
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
        _ target: borrowing OwnedFD, _ kinds: [NamespaceKind], _ channel: borrowing SyncChannel, _ tasks: [CInt], _ console: (CInt, Bool)?, entered: Bool
    ) -> Never {
        ProcessAttributes.setName("berth[1:EXEC]")
        diagnostics.note("nsexec container setup")
        do throws(RuntimeError) {
            try attempt { () throws(SystemError) in
                try ProcessAttributes.setParentDeathSignal(SIGKILL)
                _ = try channel.expect(.go)
            }
            let proc = try attempt { () throws(SystemError) in try ProcHandle() }
            try attempt { () throws(SystemError) in
                try setAffinity(process.initialCPUs)
                for raw in tasks {
                    let file = OwnedFD(adopting: raw)
                    try Files.writeAll([UInt8(ascii: "0")], to: file, name: "tasks")
                }
                try setAffinity(process.finalCPUs)
                if process.initialCPUs.isEmpty && process.finalCPUs.isEmpty { ProcessAttributes.resetAffinity() }
                if !entered { try Namespaces.enter(kinds, of: target, name: record.id) }
            }
            diagnostics.note("child process in init()")
            if kinds.contains(.user) { try NamespaceJoining.becomeRoot() }
            try attempt { () throws(SystemError) in
                try ProcessAttributes.startSession()
                try? ProcessAttributes.joinSessionKeyring("_ses.\(record.id)")
                if process.terminal, let console {
                    let root = RootedPath(try Files.open("/", O_PATH | O_DIRECTORY))
                    try Console.open(in: root, sendTo: console.0, size: process.consoleSize, bindConsole: false, passesLineFeeds: console.1)
                }
            }
            try becomeProgram(proc, channel, inUserNamespace: kinds.contains(.user))
        } catch { channel.fail(error) }
        Processes.leave(1)
    }

    /// Before or after the process enters the cgroup; an empty list leaves things as they are.
    private func setAffinity(_ cpus: [Int]) throws(SystemError) {
        if cpus.isEmpty { return }
        try ProcessAttributes.setAffinity(cpus: cpus)
        diagnostics.note("nsexec[\(getpid())]: affinity: 0x\(NumberList.mask(cpus))")
    }

    private func becomeProgram(_ proc: borrowing ProcHandle, _ channel: borrowing SyncChannel, inUserNamespace: Bool) throws(RuntimeError) {
        let stage = ProgramStage(
            process: process, inUserNamespace: inUserNamespace, seccomp: seccomp, preservedDescriptors: preservedDescriptors,
            notify: { [raw = channel.rawValue] (descriptor) throws(RuntimeError) in
                try attempt { () throws(SystemError) in try SyncChannel.exchange(.seccomp, "", descriptor, over: raw) }
            })
        try stage.applyAttributes(personality: spec.linux?.personality, memoryPolicy: spec.linux?.memoryPolicy, cpus: spec.linux?.resources?.cpu?.cpus, proc: proc)
        let program = try stage.becomeUser(proc: proc)
        diagnostics.note("setns_init: about to exec")
        throw stage.execute(program)
    }
}
