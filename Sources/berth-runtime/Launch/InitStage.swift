import BerthDefaults
import Glibc
import LinuxSystem
import OCISpec

/// The init, from clone to execve.
///
/// On entry: a copy of the runtime, in the new namespaces of the plan (but cgroup), root of the host, descriptors of the runtime open (close-on-exec), not
/// dumpable, killed when the runtime dies. On leaving: the user's program. The steps stand in `run` in their order; each says what it needs.
struct InitStage: ~Copyable {
    let plan: LaunchPlan
    let channel: SyncChannel
    /// The copy of the runtime's end of the channel, -1 where the intermediate stage has closed it.
    let runtimesEnd: CInt
    let state: RuntimeState
    let cgroup: CgroupMounter
    /// With `create`: exec.fifo (O_PATH), on whose opening the init waits for `start`.
    let fifo: CInt?
    let console: CInt?
    /// The terminal is the runtime's to relay.
    let isForeground: Bool
    let seccomp: SeccompFilter?
    /// What becomes this process's program.
    let seal: ExecutableSeal.Prepared
    let preservedDescriptors: Int
    /// The intermediate stage has joined and created namespaces already.
    let namespacesAreJoined: Bool
    /// Detached clones of bind sources, made by the runtime where the container's root may not reach them.
    let preparedMounts: [Int: CInt]
    /// Detached device nodes, where the init may make none.
    let preparedDevices: [Int: CInt]
    /// The three debug lines below are those that runc's users know its stages by.
    let diagnostics: Diagnostics

    borrowing func run() -> Never {
        // First of all: with a copy of the other end it would never see that the runtime has died.
        close(runtimesEnd)
        ProcessAttributes.setName("berth[1:INIT]")
        diagnostics.note("nsexec container setup")
        do throws(RuntimeError) {
            try attempt { () throws(SystemError) in try ProcessAttributes.setParentDeathSignal(SIGKILL) }
            try ExecutableSeal.move(to: seal)
            try enterNamespaces()
            diagnostics.note("child process in init()")
            try startSession()
            let builder = try makeRootfs()
            try runHooksBeforePivot()
            var masks = try ProtectedPaths()  // from the host's /dev
            try builder.pivot(noPivot: plan.noPivot)
            try openConsole(in: builder)
            try finishRootfs(builder)
            try masks.mask(plan.linux.maskedPaths, in: builder.root, label: builder.mountLabel)
            try becomeProgram(builder.proc)
        } catch { channel.fail(error) }
        Processes.leave(1)
    }

    /// New user namespace: waits for its mappings. Then joins what the plan joins, and is root inside.
    private borrowing func enterNamespaces() throws(RuntimeError) {
        if plan.namespaces.creates(.user) && !namespacesAreJoined {
            _ = try attempt { () throws(SystemError) in try channel.expect(.go) }
        }
        if !namespacesAreJoined {
            for namespace in plan.namespaces.joined where namespace.kind != .pid { try NamespaceJoining.enter(namespace) }
        }
        if plan.namespaces.hasUserNamespace { try NamespaceJoining.becomeRoot() }
        try TimeNamespace.enter(plan)
    }

    private borrowing func startSession() throws(RuntimeError) {
        try attempt { () throws(SystemError) in try ProcessAttributes.startSession() }
        ProcessAttributes.resetAffinity()
        if plan.newKeyring { try joinKeyring() }
        if plan.namespaces.creates(.network), !plan.runtimeRaisesLoopback { try during("take lo up") { () throws(SystemError) in try ProcessAttributes.raiseLoopback() } }
    }

    private borrowing func joinKeyring() throws(RuntimeError) {
        do throws(SystemError) { try ProcessAttributes.joinSessionKeyring("_ses.\(plan.id)") } catch {
            // Kernels without keys, and quotas of a user with many containers, do not stop a container.
            if error.errno != .noSystemCall { throw RuntimeError(error, while: "unable to join session keyring") }
        }
    }

    /// All mounts, /dev, and the cgroup, which must be joined before its namespace is created and mounted.
    private borrowing func makeRootfs() throws(RuntimeError) -> RootfsBuilder {
        ProcessAttributes.setUmask(0)
        try SecurityLabels.check(plan.process)
        var builder = try RootfsBuilder(
            rootPath: plan.rootfs, propagation: plan.linux.rootfsPropagation, ownMountNamespace: plan.namespaces.separates(.mount),
            inUserNamespace: plan.namespaces.hasUserNamespace,
            mountLabel: SecurityLabels.hasSELinux ? plan.linux.mountLabel.flatMap { $0.isEmpty ? nil : $0 } : nil, prepared: preparedMounts,
            mapIDs: { [raw = channel.rawValue] (index, tree) throws(SystemError) in try SyncChannel.exchange(.idmap, "\(index)", tree.rawValue, over: raw) })
        var joined = false
        // The runtime answers one question at a time, and the cgroup is what it tells first.
        if plan.asksForMappings {
            try joinCgroup()
            joined = true
        }
        for (index, mount) in plan.mounts.enumerated() {
            if case .cgroup = mount.source, !joined {
                try joinCgroup()
                joined = true
            }
            try builder.mount(mount, index: index, cgroup: cgroup)
        }
        if !joined { try joinCgroup() }
        if plan.fillsDev {
            try Devices.create(
                plan.devices, in: builder.root, inUserNamespace: plan.namespaces.hasUserNamespace, prepared: preparedDevices)
            try Devices.createLinks(in: builder.root)
        }
        if plan.runtimeRaisesLoopback { _ = try attempt { () throws(SystemError) in try channel.expect(.network) } }
        return builder
    }

    private borrowing func joinCgroup() throws(RuntimeError) {
        let tasks = try attempt { () throws(SystemError) in try channel.expect(.cgroup) }
        for raw in tasks {
            let file = OwnedFD(adopting: raw)
            try during("join cgroup") { () throws(SystemError) in try Files.writeAll([UInt8(ascii: "0")], to: file, name: "tasks") }
        }
        if plan.namespaces.creates(.cgroup) { try attempt { () throws(SystemError) in try Namespaces.unshare([.cgroup]) } }
    }

    private borrowing func runHooksBeforePivot() throws(RuntimeError) {
        if plan.hasRuntimeHooks {
            try attempt { () throws(SystemError) in
                try channel.send(.hooks)
                _ = try channel.expect(.go)
            }
        }
        var state = state
        (state.status, state.pid) = ("creating", Int(getpid()))
        // Such hooks name files of the root by relative paths.
        if !plan.hooks.createContainer.isEmpty { try attempt { () throws(SystemError) in try Files.changeDirectory(plan.rootfs) } }
        try Hooks.run(plan.hooks.createContainer, named: "createContainer", state: state)
    }

    /// The terminal, from the container's own devpts, bound to /dev/console; its master goes to whoever asked.
    private borrowing func openConsole(in builder: borrowing RootfsBuilder) throws(RuntimeError) {
        if plan.fillsDev { try attempt { () throws(SystemError) in try StandardStreams.reopenNull() } }
        guard plan.process.terminal, let console else { return }
        try during("open the terminal") { () throws(SystemError) in
            try Console.open(in: builder.root, sendTo: console, size: plan.process.consoleSize, bindConsole: true, passesLineFeeds: isForeground)
        }
    }

    private borrowing func finishRootfs(_ builder: borrowing RootfsBuilder) throws(RuntimeError) {
        try makeWorkingDirectory(builder)
        try builder.seal(readonlyRoot: plan.readonlyRoot, propagation: plan.linux.rootfsPropagation)
        try attempt { () throws(SystemError) in
            if let name = plan.spec.hostname, !name.isEmpty { try ProcessAttributes.setHostname(name) }
            if let name = plan.spec.domainname, !name.isEmpty { try ProcessAttributes.setDomainname(name) }
        }
        for (name, value) in plan.linux.sysctl {
            try during("sysctl \(name)") { () throws(SystemError) in try builder.proc.write(value, to: "sys/\(SysctlName.path(name))") }
        }
        try ProtectedPaths.makeReadonly(plan.linux.readonlyPaths, in: builder.root)
    }

    private borrowing func makeWorkingDirectory(_ builder: borrowing RootfsBuilder) throws(RuntimeError) {
        if Files.exists(plan.process.cwd) { return }
        do throws(SystemError) { _ = try builder.root.makeDirectories(plan.process.cwd) } catch {
            // What cannot be made may still be entered (a file system that hides it from root); entering it tells.
            if error.errno != .accessDenied { throw RuntimeError(error, while: "create cwd \(plan.process.cwd)") }
        }
    }

    /// User, filter, program. `ready` is what `create` waits for; from there on a failure goes to `start`, through the FIFO.
    private borrowing func becomeProgram(_ proc: borrowing ProcHandle) throws(RuntimeError) {
        let stage = ProgramStage(
            process: plan.process, inUserNamespace: plan.namespaces.hasUserNamespace, seccomp: seccomp, preservedDescriptors: preservedDescriptors,
            notify: { [raw = channel.rawValue] (descriptor) throws(RuntimeError) in
                try attempt { () throws(SystemError) in try SyncChannel.exchange(.seccomp, "", descriptor, over: raw) }
            })
        try stage.applyAttributes(personality: plan.linux.personality, memoryPolicy: plan.linux.memoryPolicy, cpus: plan.linux.resources?.cpu?.cpus, proc: proc)
        // Waiting for `start`, it is process 1 of its namespace, which ignores what it does not handle; execve takes the handlers away.
        if let fifo {
            Processes.leave(on: [SIGHUP, SIGINT, SIGQUIT, SIGTERM])
            // It may wait for long, and has no business with the host's files meanwhile.
            try attempt { () throws(SystemError) in
                try Processes.close(from: CInt(3 + preservedDescriptors), except: [channel.rawValue, fifo, proc.rawValue, diagnostics.debugDescriptor])
            }
        }
        let program = try stage.becomeUser(proc: proc)
        diagnostics.note("init: closing the pipe to signal completion")
        guard let path = fifo.map({ "self/fd/\($0)" }) else { throw start(stage, program) }
        try attempt { () throws(SystemError) in try channel.send(.ready) }
        // Opening the FIFO for writing succeeds when `start` opens it for reading, which then reads until execve closes it, or a failure.
        let opened = try during("exec fifo") { () throws(SystemError) in try proc.open(path, O_WRONLY) }
        try? Files.writeAll([UInt8(ascii: "0")], to: opened, name: "exec fifo")
        let failure = start(stage, program)
        try? Files.writeAll(Array("\(failure.code.rawValue)\0\(failure.message)".utf8), to: opened, name: "exec fifo")
        Processes.leave(1)
    }

    /// The last hooks and the program. Comes back only with a failure.
    private borrowing func start(_ stage: ProgramStage, _ program: ProgramStage.Program) -> RuntimeError {
        var state = state
        (state.status, state.pid) = ("created", Int(getpid()))
        // A hook that names no environment has the program's, as it would have been started by it.
        let hooks = plan.hooks.startContainer.map { hook in
            var hook = hook
            if hook.env.isEmpty { hook.env = program.environment }
            return hook
        }
        do throws(RuntimeError) { try Hooks.run(hooks, named: "startContainer", state: state) } catch { return error }
        return stage.execute(program)
    }
}
