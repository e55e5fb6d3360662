import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import OCISpec

/// `restore`: a container from the files of a checkpoint, and a bundle like the one it was made from. What it may do is the bundle's to say, not the files'.
enum RestoreCommand {
    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        let choices = try CheckpointOptions(options)
        let request = try ContainerRequest(options, global, command: "restore")
        guard Files.exists("\(choices.imagePath)/inventory.img") else { throw RuntimeError(.notFound, "no checkpoint in \(choices.imagePath): inventory.img does not exist") }
        let program = try CRIUSession.program(global.criu)
        let isDetached = options.has("detach")
        let console = try request.connectConsole(detached: isDetached)
        if !isDetached && !options.has("no-subreaper") { try attempt { () throws(SystemError) in try ProcessAttributes.becomeSubreaper() } }
        let foreground: Foreground? = isDetached ? nil : try Foreground()
        let pair: SocketPair? = !isDetached && request.plan.process.terminal ? try attempt { () throws(SystemError) in try DescriptorPassing.pair() } : nil
        var built = try ContainerRestorer(request: request, choices: choices, program: program, console: console ?? pair?.childDescriptor).restore()
        try request.announce(&built)
        guard let foreground else { return 0 }
        let relay: TerminalRelay? = if let pair { try TerminalRelay(from: pair.takeParent()) } else { nil }
        let code = try foreground.wait(for: built.child, terminal: relay)
        try DeleteCommand.destroy(id: request.id, root: global.root, record: built.record, diagnostics: global.diagnostics)
        return code
    }
}

/// Has CRIU build a container: directory, cgroup and mount points first, as for a new one, then the processes.
struct ContainerRestorer {
    let request: ContainerRequest
    let choices: CheckpointOptions
    let program: String
    let console: CInt?

    private var plan: LaunchPlan { request.plan }

    func restore() throws(RuntimeError) -> BuiltContainer {
        let scope = try request.scope()
        let cgroup = try request.cgroup(in: scope)
        let directory = try ContainerDirectory.create(root: request.global.root, id: request.id)
        do throws(RuntimeError) {
            try directory.write(config: request.configBytes)
            var record = try request.makeRecord(cgroup)
            record.systemd = scope?.unit
            try directory.write(record)
            let pid = try launch(cgroup, scope, record, directory.path)
            record.initProcess = try attempt { () throws(SystemError) in try ProcessIdentity(of: pid) }
            if !record.namespaces.contains("time"), isOwn(.time, of: pid) { record.namespaces.append("time") }
            try directory.write(record)
            let pidfd = try attempt { () throws(SystemError) in try Processes.open(pid) }
            return BuiltContainer(directory: directory, child: ChildProcess(pid: pid, pidfd: pidfd), record: record, cgroup: cgroup, notify: nil)
        } catch {
            try? scope?.stop()
            try? cgroup.remove()
            try? ContainerDirectory.open(root: request.global.root, id: request.id).remove()
            throw error
        }
    }

    private func isOwn(_ kind: NamespaceKind, of pid: pid_t) -> Bool {
        guard let theirs = try? Namespaces.identity("/proc/\(pid)/ns/\(kind.fileName)"), let ours = try? Namespaces.identity("/proc/self/ns/\(kind.fileName)") else { return false }
        return theirs != ours
    }

    /// CRIU's child is the restored init, ours by CLONE_PARENT.
    private func launch(_ cgroup: Cgroup, _ scope: SystemdScope?, _ record: ContainerRecord, _ directory: String) throws(RuntimeError) -> pid_t {
        var limits = try CgroupLimits(plan.linux.resources, canSetDevices: ProcessAttributes.isPrivileged)
        // A unit is made with a process in it; CRIU's come into the cgroup by themselves.
        let holder = try scope.map { _ throws(RuntimeError) in try makeHolder() }
        defer {
            if let holder {
                try? Processes.kill(holder, SIGKILL)
                _ = try? Processes.wait(for: holder)
            }
        }
        if let scope, let holder { try scope.start(holder, id: request.id, cgroup: cgroup, annotations: plan.spec.annotations, &limits) }
        try withCgroup { () throws(CgroupError) in
            let creation = try cgroup.create()
            try cgroup.apply(limits, isNew: creation.isNew)
        }
        let mounts = CheckpointMounts(plan, cgroup)
        try mounts.makeMountPoints()
        try CheckpointCommand.makeDirectories(choices)
        let namespaces = try mounts.openNamespaces()
        let tasks = try withCgroup { () throws(CgroupError) in try cgroup.openForEntering(isInV2: false) }
        defer { for fd in tasks + namespaces.map(\.descriptor) { close(fd) } }
        let joined = try mounts.joinedNamespaces()
        let streams: [String] = (try? ConfigLoader.load("\(choices.imagePath)/\(CheckpointCommand.descriptorsFile)")) ?? []
        let root = "\(directory)/criu-root"
        try attempt { () throws(SystemError) in try Files.makeDirectory(root, mode: 0o700) }
        defer { try? Files.removeEmptyDirectory(root) }
        let session = try CRIUSession(program, choices, inherited: namespaces.map(\.descriptor)) { () throws(RuntimeError) in try enter(tasks, root: root) }
        var pid: pid_t = 0
        do throws(RuntimeError) {
            try session.perform(.restore, choices, log: "restore.log") { message in
                message.add(6, true)  // evasive_devices
                message.add(13, root)
                message.add(26, true)  // rst_sibling
                for external in mounts.supplied {
                    message.nest(23) {
                        $0.add(1, external.key)
                        $0.add(2, external.value)
                    }
                }
                for directory in cgroup.directories {
                    message.nest(25) {
                        $0.add(1, directory.controllers.joined(separator: ","))
                        $0.add(2, String(directory.path.dropFirst(directory.mountPoint.utf8.count)))
                    }
                }
                let pipes = streams.enumerated().filter { $0.element.hasPrefix("pipe:") }.map { ($0.element, CInt($0.offset)) }
                for (key, descriptor) in pipes + namespaces {
                    message.nest(27) {
                        $0.add(1, key)
                        $0.add(2, descriptor)
                    }
                }
                for (name, path) in joined {
                    message.nest(39) {
                        $0.add(1, name)
                        $0.add(2, path)
                    }
                }
            } onNotification: { (notification) throws(RuntimeError) in try answer(notification, record, &pid) }
        } catch {
            if pid > 0 { try? Processes.kill(pid, SIGKILL) }
            session.end()
            throw error
        }
        guard pid > 0 else { throw RuntimeError(.internalError, "criu did not say which process it restored") }
        return pid
    }

    private func makeHolder() throws(RuntimeError) -> pid_t {
        try attempt { () throws(SystemError) in
            try Processes.clone(subject: "unit") {
                try? ProcessAttributes.setParentDeathSignal(SIGKILL)
                while true { Processes.pause() }
            }.pid
        }
    }

    /// In CRIU's process: into the container's cgroup, and a mount namespace where the root filesystem is a mount of its own, as CRIU demands.
    private func enter(_ tasks: [CInt], root: String) throws(RuntimeError) {
        try attempt { () throws(SystemError) in
            for fd in tasks { try Files.writeAll([UInt8(ascii: "0")], toRaw: fd, name: "tasks") }
            try Namespaces.unshare([.mount])
            try Mounts.setPropagation("/", .slave, recursive: true)
            try Mounts.attach(try Mounts.cloneTree(plan.rootfs, recursive: true), onto: root)
        }
    }

    private func answer(_ notification: CRIUSession.Notification, _ record: ContainerRecord, _ pid: inout pid_t) throws(RuntimeError) {
        defer { for fd in notification.descriptors { close(fd) } }
        switch notification.script {
        case "setup-namespaces":
            try raiseLoopback(of: notification.pid)
            try NetworkDevices.move(plan, pid: notification.pid)
            var state = record.state(.created)
            state.pid = Int(notification.pid)
            try Hooks.run(plan.hooks.prestart, named: "prestart", state: state)
            try Hooks.run(plan.hooks.createRuntime, named: "createRuntime", state: state)
        case "post-restore": pid = notification.pid
        case "orphan-pts-master":
            guard let console, let master = notification.descriptors.first else { return }
            try during("console socket") { () throws(SystemError) in
                try DescriptorPassing.send(Array("/dev/console".utf8), descriptors: [master], overRaw: console, name: "console socket")
            }
        default: break
        }
    }

    /// A new network namespace is empty, as for a container that is created.
    private func raiseLoopback(of pid: pid_t) throws(RuntimeError) {
        guard plan.namespaces.creates(.network) else { return }
        let child = try attempt { () throws(SystemError) in
            try Processes.clone(subject: "lo") {
                do throws(SystemError) {
                    let path = "/proc/\(pid)/ns/net"
                    try Namespaces.enter(.network, at: path, through: try Files.open(path))
                    try ProcessAttributes.raiseLoopback()
                    Processes.leave(0)
                } catch { Processes.leave(1) }
            }
        }
        if try attempt({ () throws(SystemError) in try Processes.wait(for: child.pid) }) != .exited(0) { throw RuntimeError(.internalError, "take lo up in the restored namespace") }
    }
}
