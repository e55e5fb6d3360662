import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import OCISpec

/// `exec`: one more process in a container, from flags over the container's own process, or from a document.
enum ExecCommand {
    static var specs: [OptionSpec] {
        [
            OptionSpec("console-socket", nil, .value, "unix socket that gets the master of the process's terminal"),
            OptionSpec("pidfd-socket", nil, .value, "unix socket that gets a pidfd of the process"),
            OptionSpec("cwd", nil, .value, "working directory in the container"),
            OptionSpec("env", "e", .list, "NAME=VALUE, added to the container's environment"),
            OptionSpec("tty", "t", .flag, "give the process a terminal"),
            OptionSpec("user", "u", .value, "UID[:GID]"),
            OptionSpec("additional-gids", "g", .list, "one more group"),
            OptionSpec("process", "p", .value, "file with a process document, instead of the options here"),
            OptionSpec("detach", "d", .flag, "return when the program runs"),
            OptionSpec("pid-file", nil, .value, "file that gets the process id"),
            OptionSpec("process-label", nil, .value, "SELinux label"),
            OptionSpec("apparmor", nil, .value, "AppArmor profile"),
            OptionSpec("no-new-privs", nil, .flag, "set no_new_privs"),
            OptionSpec("cap", "c", .list, "capability to add"),
            OptionSpec("preserve-fds", nil, .value, "how many descriptors from 3 on the process gets"),
            OptionSpec("cgroup", nil, .list, "cgroup below the container's: [CONTROLLER,...:]PATH"),
            OptionSpec("ignore-paused", nil, .flag, "wait in a paused container instead of failing"),
        ]
    }

    /// runc's status for whatever fails before the program runs.
    static let failureCode: CInt = 255

    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        // Before anything of the container is looked at: where it takes a second start, this one ends here.
        try ExecutableSeal.ensure(global.diagnostics)
        do throws(RuntimeError) { return try exec(options, global) } catch { throw error.during("exec failed") }
    }

    private static func exec(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        guard let id = options.arguments.first else { throw RuntimeError(.invalidArgument, "\"exec\" requires a minimum of 1 argument(s)") }
        let directory = try ContainerDirectory.open(root: global.root, id: id)
        let record = try directory.record()
        let cgroup = record.cgroup
        switch directory.status(record, isFrozen: { cgroup.isFrozen }) {
        case .stopped, .creating: throw .execStopped
        case .paused where !options.has("ignore-paused"): throw .execPaused
        default: break
        }
        let spec = try directory.spec()
        let document = try ExecProcess.make(options, spec)
        CapabilityPlan.warnOfUnknown(in: document.capabilities, global.diagnostics)
        let process = try ProcessPlan(document)
        try ExecutableSeal.hide()
        let seccomp = try SeccompFilter.of(spec.linux?.seccomp, root: global.root)
        let launcher = ExecLauncher(
            record: record, process: process, cgroup: try ContainerCgroup.forExec(cgroup, options.list("cgroup")), spec: spec, seccomp: seccomp,
            preservedDescriptors: try Descriptors.preserved(options), namesCgroup: !options.list("cgroup").isEmpty, diagnostics: global.diagnostics)
        return try launch(launcher, options)
    }

    private static func launch(_ launcher: ExecLauncher, _ options: ParsedOptions) throws(RuntimeError) -> CInt {
        let detached = options.has("detach")
        let terminal = launcher.process.terminal
        let socketPath = options["console-socket"].flatMap { $0.isEmpty ? nil : $0 }
        if detached && terminal && socketPath == nil { throw .terminalWithoutConsole }
        if (!detached || !terminal) && socketPath != nil { throw .consoleWithoutTerminal }
        if detached {
            var console: CInt?
            if let socketPath { console = try during("console socket") { () throws(SystemError) in try DescriptorPassing.connect(socketPath).release() } }
            let child = try launcher.launch(console: console, isForeground: false)
            try announce(child, options)
            return 0
        }
        let foreground = try Foreground()
        let pair: SocketPair? = terminal ? try attempt { () throws(SystemError) in try DescriptorPassing.pair() } : nil
        let child = try launcher.launch(console: pair?.childDescriptor, isForeground: true)
        try announce(child, options)
        let relay: TerminalRelay? = if let pair { try TerminalRelay(from: pair.takeParent()) } else { nil }
        return try foreground.wait(for: child, terminal: relay)
    }

    private static func announce(_ child: borrowing ChildProcess, _ options: ParsedOptions) throws(RuntimeError) {
        try Announcement.make(
            child: child, pidFile: options["pid-file"].flatMap { $0.isEmpty ? nil : $0 }, pidfdSocket: options["pidfd-socket"], kind: "setns")
    }
}

/// The process to run: a document, or the container's own process with the flags laid over it.
enum ExecProcess {
    static func make(_ options: ParsedOptions, _ spec: RuntimeSpec) throws(RuntimeError) -> RuntimeSpec.Process {
        if let path = options["process"], !path.isEmpty { return try ConfigLoader.load(path) }
        guard var process = spec.process else { throw RuntimeError(.invalidArgument, "process property must not be empty") }
        process.args = Array(options.arguments.dropFirst())
        if process.args.isEmpty { throw RuntimeError(.invalidArgument, "process args cannot be empty") }
        if let cwd = options["cwd"] { process.cwd = cwd }
        if let profile = options["apparmor"] { process.apparmorProfile = profile }
        if let label = options["process-label"] { process.selinuxLabel = label }
        process.env += options.list("env")
        process.terminal = options.has("tty")
        if options["no-new-privs"] != nil { process.noNewPrivileges = options.has("no-new-privs") }
        addCapabilities(options.list("cap"), to: &process)
        if let user = options["user"] { try setUser(user, in: &process) }
        for text in options.list("additional-gids") {
            guard let gid = UInt32(text) else { throw RuntimeError(.invalidArgument, "invalid value \"\(text)\" for flag -additional-gids: not a number") }
            process.user.additionalGids.append(gid)
        }
        return process
    }

    /// Added to the sets the container has; never to the inheritable one, and to the ambient one only what is inheritable already.
    private static func addCapabilities(_ names: [String], to process: inout RuntimeSpec.Process) {
        if names.isEmpty { return }
        var sets = process.capabilities ?? RuntimeSpec.Capabilities()
        for name in names {
            if !sets.bounding.contains(name) { sets.bounding.append(name) }
            if !sets.effective.contains(name) { sets.effective.append(name) }
            if !sets.permitted.contains(name) { sets.permitted.append(name) }
            if sets.inheritable.contains(name), !sets.ambient.contains(name) { sets.ambient.append(name) }
        }
        process.capabilities = sets
    }

    /// "UID" or "UID:GID"; names were resolved by whoever knows the container's files.
    private static func setUser(_ text: String, in process: inout RuntimeSpec.Process) throws(RuntimeError) {
        let parts = text.fields(by: ":", limit: 2, keepsEmpty: true)
        guard let uid = UInt32(parts[0]) else { throw RuntimeError(.invalidArgument, "parsing \(parts[0]) as int for uid failed: not a number") }
        process.user.uid = uid
        if parts.count > 1 {
            guard let gid = UInt32(parts[1]) else { throw RuntimeError(.invalidArgument, "parsing \(parts[1]) as int for gid failed: not a number") }
            process.user.gid = gid
        }
    }
}
