import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import OCISpec

/// `create` and `run`: the same but for who waits, and for what.
enum CreateCommand {
    static var specs: [OptionSpec] {
        [
            OptionSpec("bundle", "b", .value, "directory with config.json; default: the working directory"),
            OptionSpec("console-socket", nil, .value, "unix socket that gets the master of the container's terminal"),
            OptionSpec("pidfd-socket", nil, .value, "unix socket that gets a pidfd of the container's process"),
            OptionSpec("pid-file", nil, .value, "file that gets the process id"),
            OptionSpec("no-pivot", nil, .flag, "move the root instead of pivot_root, for an initial ramdisk"),
            OptionSpec("no-new-keyring", nil, .flag, "keep the caller's session keyring"),
            OptionSpec("preserve-fds", nil, .value, "how many descriptors from 3 on the container gets"),
        ]
    }

    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        let request = try ContainerRequest(options, global, command: "create")
        let console = try request.connectConsole(detached: true)
        var built = try request.build(waitsForStart: true, console: console)
        try request.announce(&built)
        return 0
    }
}

/// What `create` and `run` were asked for.
struct ContainerRequest {
    let id: String
    let bundle: String
    let pidFile: String?
    let plan: LaunchPlan
    let configBytes: [UInt8]
    let consoleSocket: String?
    let pidfdSocket: String?
    let preservedDescriptors: Int
    /// See `ExecutableSeal.prepare`.
    let seal: ExecutableSeal.Prepared
    let global: GlobalOptions

    init(_ options: ParsedOptions, _ global: GlobalOptions, command: String) throws(RuntimeError) {
        guard options.arguments.count == 1 else {
            throw RuntimeError(.invalidArgument, "\"\(command)\" requires exactly 1 argument(s)")
        }
        id = options.arguments[0]
        try ContainerDirectory.validate(id)
        bundle = try ConfigLoader.absolute(options["bundle"] ?? ".")
        pidFile = try Self.absolute(options["pid-file"])
        consoleSocket = try Self.absolute(options["console-socket"])
        pidfdSocket = try Self.absolute(options["pidfd-socket"])
        configBytes = try ConfigLoader.read(bundle: bundle)
        let spec: RuntimeSpec = try ConfigLoader.decode(configBytes, name: ConfigLoader.path(inBundle: bundle))
        var plan = try LaunchPlan(
            id: id, bundle: bundle, spec: spec, noPivot: options.has("no-pivot"), noNewKeyring: options.has("no-new-keyring"))
        CapabilityPlan.warnOfUnknown(in: spec.process?.capabilities, global.diagnostics)
        plan.process.environment += Descriptors.listeningEnvironment
        NotifySocket.prepare(&plan, container: "\(global.root)/\(id)")
        self.plan = plan
        preservedDescriptors = try Descriptors.preserved(options)
        seal = try ExecutableSeal.prepare(forInitOf: plan, global.diagnostics)
        self.global = global
    }

    private static func absolute(_ path: String?) throws(RuntimeError) -> String? {
        guard let path, !path.isEmpty else { return nil }
        return try ConfigLoader.absolute(path)
    }

    /// The caller's console socket, or nil without a terminal.
    ///
    /// Open until the runtime ends.
    func connectConsole(detached: Bool) throws(RuntimeError) -> CInt? {
        if detached && plan.process.terminal && consoleSocket == nil { throw .terminalWithoutConsole }
        if (!detached || !plan.process.terminal) && consoleSocket != nil { throw .consoleWithoutTerminal }
        guard let consoleSocket else { return nil }
        return try during("console socket") { () throws(SystemError) in try DescriptorPassing.connect(consoleSocket).release() }
    }

    /// Builds the container. After a failure nothing of it is left.
    func build(waitsForStart: Bool, console: CInt?, isForeground: Bool = false) throws(RuntimeError) -> BuiltContainer {
        try ExecutableSeal.hide()
        let seccomp = try SeccompFilter.of(plan.linux.seccomp, root: global.root)
        if let seccomp { global.diagnostics.note("seccomp filter flags: \(seccomp.flags)") }
        let scope = try scope()
        let cgroup = try cgroup(in: scope)
        let directory = try ContainerDirectory.create(root: global.root, id: id)
        do throws(RuntimeError) {
            if plan.hasNotifySocket { try NotifySocket.makeDirectory(in: directory.path) }
            var record = try makeRecord(cgroup)
            record.systemd = scope?.unit
            let launcher = ContainerLauncher(
                plan: plan, cgroup: cgroup, scope: scope, limits: try CgroupLimits(plan.linux.resources, canSetDevices: ProcessAttributes.isPrivileged), seccomp: seccomp, seal: seal, preservedDescriptors: preservedDescriptors,
                config: configBytes, waitsForStart: waitsForStart, isForeground: isForeground, diagnostics: global.diagnostics)
            // Before the program can speak; with `create` it is `start` that listens.
            let notify = waitsForStart ? nil : try NotifySocket.open(in: directory.path)
            let child = try launcher.launch(in: directory, record: &record, console: console)
            return BuiltContainer(directory: directory, child: child, record: record, cgroup: cgroup, notify: notify)
        } catch {
            try? ContainerDirectory.open(root: global.root, id: id).remove()
            throw error
        }
    }

    /// The unit to come, with `--systemd-cgroup`.
    func scope() throws(RuntimeError) -> SystemdScope? {
        global.systemdCgroup ? try SystemdScope(try SystemdUnit.plan(path: plan.linux.cgroupsPath, id: id)) : nil
    }

    func cgroup(in scope: SystemdScope?) throws(RuntimeError) -> Cgroup {
        guard let scope else { return try ContainerCgroup.plan(path: plan.linux.cgroupsPath, id: id) }
        return try scope.cgroup(try withCgroup { () throws(CgroupError) in try .current() })
    }

    func makeRecord(_ cgroup: Cgroup) throws(RuntimeError) -> ContainerRecord {
        ContainerRecord(
            ociVersion: plan.spec.ociVersion, id: id, bundle: bundle, rootfs: plan.rootfs, annotations: plan.spec.annotations, created: Diagnostics.now(),
            ownerUID: getuid(), creator: try attempt { () throws(SystemError) in try ProcessIdentity(of: getpid()) }, initProcess: nil,
            cgroup: cgroup, systemd: nil, resctrl: nil, ownPIDNamespace: plan.namespaces.creates(.pid), ownMountNamespace: plan.namespaces.separates(.mount),
            namespaces: NamespaceKind.allCases.filter { plan.namespaces.separates($0) }.map(\.rawValue), later: ContainerRecord.Later(plan.spec))
    }

    /// Tells the callers that asked for it which process it is. A container nobody can be told of is removed again.
    func announce(_ built: inout BuiltContainer) throws(RuntimeError) {
        built.directory.unlock()
        do throws(RuntimeError) {
            try Announcement.make(child: built.child, pidFile: pidFile, pidfdSocket: pidfdSocket, kind: "standard")
        } catch {
            try? DeleteCommand.destroy(id: id, root: global.root, record: built.record, diagnostics: global.diagnostics)
            throw error
        }
    }
}

/// A container with a live init.
struct BuiltContainer: ~Copyable {
    var directory: ContainerDirectory
    let child: ChildProcess
    let record: ContainerRecord
    let cgroup: Cgroup
    let notify: NotifySocket?
}
