import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import OCISpec

/// The runtime's side of building a container: clones the init, gives it cgroup and id mappings while it mounts, runs the host's hooks, hears how it went.
///
/// The init is a copy of this process and works at the same time: what both do takes as long as the slower of the two.
struct ContainerLauncher {
    let plan: LaunchPlan
    let cgroup: Cgroup
    /// With `--systemd-cgroup`: the unit that makes the cgroup and takes the init in.
    let scope: SystemdScope?
    let limits: CgroupLimits
    let seccomp: SeccompFilter?
    /// For the init to move onto.
    let seal: ExecutableSeal.Prepared
    let preservedDescriptors: Int
    /// The bundle's config.json.
    let config: [UInt8]
    /// Wait for `start` at exec.fifo, or run at once.
    let waitsForStart: Bool
    /// The runtime stays, and relays the terminal.
    let isForeground: Bool
    let diagnostics: Diagnostics

    /// Builds the container up to `created` or `running`. After a failure nothing is left of it but its directory.
    func launch(in directory: borrowing ContainerDirectory, record: inout ContainerRecord, console: CInt?) throws(RuntimeError) -> ChildProcess {
        let fifo = try makeFIFO(in: directory)
        let pair = try attempt { () throws(SystemError) in try DescriptorPassing.pair() }
        let channel = SyncChannel(pair.takeParent())
        let hostMounts = try prepareMounts()
        let hostDevices = plan.namespaces.hasUserNamespace && plan.fillsDev ? try PreparedDevices.make(plan.devices, for: plan.linux, rootfs: plan.rootfs) : [:]
        let parts: (beforeClone: Cgroup?, afterClone: Cgroup?) = scope == nil ? ContainerCgroup.divide(cgroup) : (nil, cgroup)
        var made: [Cgroup.Creation] = []
        if cgroup.isNone { try goWithout() }
        if let early = parts.beforeClone {
            // What a killed runtime leaves must be found again.
            try directory.write(record)
            try create(early, isWhole: parts.afterClone == nil, limits, &made)
        }
        let child = try clone(SyncChannel(pair.takeChild()), fifo: fifo, console: console, mounts: hostMounts, devices: hostDevices, record: record, parent: channel)
        for fd in hostMounts.values { close(fd) }
        for fd in hostDevices.values { close(fd) }
        if let fifo { close(fifo) }
        do throws(RuntimeError) {
            // Nothing is to be found again for which there is no record.
            if parts.beforeClone == nil { try directory.write(record) }
            try NetworkDevices.move(plan, pid: child.pid)
            try enterResctrl(child.pid, in: directory, &record)
            try supply(child.pid, channel, parts.afterClone, &made)
            try raiseLoopback(of: child, channel)
            // The init has what it waited for, and dies with this process until it is ready: only from then on anybody needs its pid.
            try directory.write(config: config)
            record.initProcess = try attempt { () throws(SystemError) in try ProcessIdentity(of: child.pid) }
            try directory.write(record)
            seal.closeMount()
            try follow(child, channel, record)
        } catch {
            throw cleanedUp(child, error, record.resctrl, made)
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

    /// In a user namespace the container's root may not reach the sources of bind mounts; the runtime takes hold of them first. One without privileges cannot,
    /// and is the container's root itself: the init takes hold of them.
    private func prepareMounts() throws(RuntimeError) -> [Int: CInt] {
        var ready: [Int: CInt] = [:]
        for (index, mount) in plan.mounts.enumerated() {
            guard case .bind(let path, let recursive) = mount.source, plan.namespaces.hasUserNamespace || mount.options.idmap, !mount.isInside(plan.rootfs) else { continue }
            let tree: OwnedFD
            do throws(SystemError) { tree = try Mounts.cloneTree(path, recursive: recursive, followsLink: !mount.options.sourceNoFollow) } catch {
                if error.errno == .notPermitted, !mount.options.idmap { continue }
                throw RuntimeError(error, while: "error mounting \(mount.label)")
            }
            if mount.options.idmap { try IDMappedMounts.apply(mount, to: tree, plan) }
            ready[index] = (consume tree).release()
        }
        return ready
    }

    private func clone(
        _ childEnd: consuming SyncChannel, fifo: CInt?, console: CInt?, mounts: [Int: CInt], devices: [Int: CInt], record: ContainerRecord,
        parent: borrowing SyncChannel
    ) throws(RuntimeError) -> ChildProcess {
        let intermediate = plan.namespaces.needsIntermediate
        let stage = InitStage(
            plan: plan, channel: childEnd, runtimesEnd: intermediate ? -1 : parent.rawValue, state: record.state(.creating), cgroup: CgroupMounter(try visibleCgroup()), fifo: fifo, console: console, isForeground: isForeground, seccomp: seccomp, seal: seal,
            preservedDescriptors: preservedDescriptors, namespacesAreJoined: intermediate, preparedMounts: mounts, preparedDevices: devices, diagnostics: diagnostics)
        if !intermediate {
            try PIDNamespace.enterForChildren(plan.namespaces)
            defer { PIDNamespace.leave(plan.namespaces) }
            let bornIn = scope == nil ? try ContainerCgroup.openForClone(cgroup) : nil
            defer { if let bornIn { close(bornIn) } }
            let child = try attempt { () throws(SystemError) in try Processes.clone(namespaces: plan.namespaces.atClone, cgroup: bornIn, subject: "init") { stage.run() } }
            if plan.namespaces.creates(.user) {
                try NamespaceJoining.writeMaps(of: child.pid, plan.linux)
                try attempt { () throws(SystemError) in try parent.send(.go) }
            }
            return child
        }
        let between = try attempt { () throws(SystemError) in
            try Processes.clone(subject: "intermediate stage") { IntermediateStage.run(plan.namespaces, channel: stage.channel, runtimesEnd: parent.rawValue) { stage.run() } }
        }
        return try followIntermediate(between, parent)
    }

    /// What the container sees as its cgroup: the one it is in, be it the runtime's.
    private func visibleCgroup() throws(RuntimeError) -> Cgroup {
        guard cgroup.isNone else { return cgroup }
        return try withCgroup { () throws(CgroupError) in try .ofCaller(layout: try .current()) }
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

    /// A container without a cgroup of its own.
    /// - Throws: when it was to have limits.
    private func goWithout() throws(RuntimeError) {
        try withCgroup { () throws(CgroupError) in try cgroup.apply(limits, isNew: true) }
        if plan.namespaces.creates(.pid) { return }
        diagnostics.warn(
            "a container without a cgroup and without a pid namespace of its own. Such configuration is strongly discouraged: nobody can tell which processes are its, and kill all of them")
    }

    /// Makes directories. The limits come with the last part, before any process is in them. What was there before must be free: it may be another
    /// container's, and is left as it is.
    /// - Throws: `conflict` when it is not.
    private func create(_ part: Cgroup, isWhole: Bool, _ limits: CgroupLimits, _ made: inout [Cgroup.Creation]) throws(RuntimeError) {
        let creation: Cgroup.Creation
        do throws(CgroupError) { creation = try part.create() } catch {
            guard case .kernel(let failure) = error else { throw RuntimeError(error) }
            // The words runc has for it, which others look for.
            throw RuntimeError(RuntimeError(error).code, "unable to apply cgroup configuration: \(failure.call) \(failure.subject): \(failure.errno.description.lowercased())")
        }
        made.append(creation)
        if !creation.isNew, scope == nil {
            do throws(RuntimeError) { try refuseOccupied(part) } catch {
                for creation in made.reversed() { creation.undo() }
                throw error
            }
        }
        if isWhole { try withCgroup { () throws(CgroupError) in try cgroup.apply(limits, isNew: creation.isNew) } }
    }

    /// - Throws: `conflict` where processes are in a cgroup that was there before, or would not run there.
    private func refuseOccupied(_ part: Cgroup) throws(RuntimeError) {
        let pids = (try? part.ownProcesses()) ?? []
        if !pids.isEmpty { throw RuntimeError(.conflict, "container's cgroup is not empty: \(pids.count) process(es) found") }
        if part.isFrozen { throw RuntimeError(.conflict, "container's cgroup unexpectedly frozen") }
    }

    /// What the init needs from outside while it mounts.
    private func supply(_ pid: pid_t, _ channel: borrowing SyncChannel, _ late: Cgroup?, _ made: inout [Cgroup.Creation]) throws(RuntimeError) {
        var limits = limits
        // A unit of that name may be another container's: systemd would say only that it is loaded.
        if scope != nil, cgroup.exists { try refuseOccupied(cgroup) }
        try scope?.start(pid, id: plan.id, cgroup: cgroup, annotations: plan.spec.annotations, &limits)
        if let late { try create(late, isWhole: true, limits, &made) }
        try OutsideAttributes.apply(plan.process, to: pid, inUserNamespace: plan.namespaces.hasUserNamespace)
        // systemd moves what it is told into v2 itself.
        let isInV2 = cgroup.v2 != nil && (scope?.unit.isScope ?? !plan.namespaces.needsIntermediate)
        let tasks = try withCgroup { () throws(CgroupError) in try cgroup.openForEntering(isInV2: isInV2) }
        defer { for fd in tasks { close(fd) } }
        do throws(SystemError) { try channel.send(.cgroup, descriptors: tasks) } catch {
            // The init has failed already; its message is waiting.
            if error.errno != .brokenPipe && error.errno != .connectionReset { throw RuntimeError(error) }
        }
    }

    /// The kernel tells everybody of an interface that comes up, which takes as long as the init's first five mounts: so it is done beside them.
    private func raiseLoopback(of child: borrowing ChildProcess, _ channel: borrowing SyncChannel) throws(RuntimeError) {
        guard plan.runtimeRaisesLoopback else { return }
        do throws(SystemError) {
            let own = try Files.open("/proc/self/ns/net")
            try Namespaces.enter([.network], of: child.pidfd, name: "init")
            let result = Result { () throws(SystemError) in try ProcessAttributes.raiseLoopback() }
            try Namespaces.enter(.network, at: "/proc/self/ns/net", through: own)
            try result.get()
            try channel.send(.network)
        } catch {
            // The init has failed already; its message is waiting.
            if error.errno == .noSuchProcess || error.errno == .brokenPipe || error.errno == .connectionReset { return }
            throw RuntimeError(error, while: "take lo up")
        }
    }

    /// Listens until the init waits for `start` or has become the program.
    private func follow(_ child: borrowing ChildProcess, _ channel: borrowing SyncChannel, _ record: ContainerRecord) throws(RuntimeError) {
        while let message = try attempt({ () throws(SystemError) in try channel.receive() }) {
            switch message.kind {
            case .ready: return
            case .failure: throw SyncChannel.failure(message.text).during("unable to start container process: error during container init")
            case .programFailure: throw SyncChannel.failure(message.text, isProgramFailure: true)
            case .hooks:
                // The old kind of hook is told `created`, as it always was.
                try Hooks.run(plan.hooks.prestart, named: "prestart", state: record.state(.created))
                try Hooks.run(plan.hooks.createRuntime, named: "createRuntime", state: record.state(.creating))
                try attempt { () throws(SystemError) in try channel.send(.go) }
            case .idmap:
                guard let index = Int(message.text), plan.mounts.indices.contains(index), let raw = message.descriptors.first else {
                    throw RuntimeError(.internalError, "init sent no mount to map")
                }
                try IDMappedMounts.apply(plan.mounts[index], to: OwnedFD(adopting: raw), plan)
                try attempt { () throws(SystemError) in try channel.send(.go) }
            case .seccomp:
                try SeccompListener.forward(message.descriptors, seccomp, pid: child.pid, state: record.state(.creating))
                try attempt { () throws(SystemError) in try channel.send(.go) }
            default: throw RuntimeError(.internalError, "init sent \(message.kind)")
            }
        }
        if waitsForStart { throw RuntimeError(.internalError, "container init ended without a word (killed, or out of memory)") }
        // The end of the channel is execve, or a death without a message; a zombie tells them apart. It stays one: a short program may have ended
        // well by now, and whoever waits in the foreground needs its status.
        if case .signalled(SIGKILL) = Processes.peek(at: child.pid) {
            throw RuntimeError(.internalError, "container init was killed (out of memory?)")
        }
    }

    private func enterResctrl(_ pid: pid_t, in directory: borrowing ContainerDirectory, _ record: inout ContainerRecord) throws(RuntimeError) {
        guard let config = plan.linux.intelRdt, let base = ResctrlGroup.mountPoint() else { return }
        var group = ResctrlGroup(config, id: plan.id, below: base)
        do throws(RuntimeError) { try group.enter(pid, config) } catch {
            group.remove()
            throw error
        }
        record.resctrl = group
        try directory.write(record)
    }

    private func cleanedUp(_ child: borrowing ChildProcess, _ error: RuntimeError, _ resctrl: ResctrlGroup?, _ made: [Cgroup.Creation]) -> RuntimeError {
        try? Processes.signal(SIGKILL, to: child.pidfd, name: "init")
        _ = try? Processes.wait(for: child.pid)
        if !plan.namespaces.separates(.mount) { try? Mounts.detach(plan.rootfs) }
        resctrl?.remove()
        // A cgroup that was refused is somebody else's.
        if error.code == .conflict {
            for creation in made.reversed() { creation.undo() }
            return error
        }
        if scope != nil && !made.isEmpty { try? scope?.stop() }
        do throws(CgroupError) { try cgroup.remove() } catch let second { return RuntimeError(error.code, "\(error.message); \(second)") }
        return error
    }
}
