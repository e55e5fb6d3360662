import BerthDefaults
import Glibc
import LinuxSystem

/// An OCI runtime with runc's command line.
@main
struct Main {
    static func main() {
        Processes.ignorePipeSignal()
        Processes.keepFreedMemory()
        exit(run(ProgramArguments.all))
    }

    private struct Command {
        let specs: [OptionSpec]
        /// `exec` leaves what follows the container's id to the program.
        var stopAfter: Int?
        var failureCode: CInt = 1
        let body: (ParsedOptions, GlobalOptions) throws(RuntimeError) -> CInt
    }

    private static func command(_ name: String) -> Command? {
        switch name {
        case "create": Command(specs: CreateCommand.specs, body: CreateCommand.run)
        case "start": Command(specs: [], body: StartCommand.run)
        case "run": Command(specs: RunCommand.specs, body: RunCommand.run)
        case "exec": Command(specs: ExecCommand.specs, stopAfter: 1, failureCode: ExecCommand.failureCode, body: ExecCommand.run)
        case "state": Command(specs: [], body: StateCommand.run)
        case "kill": Command(specs: KillCommand.specs, body: KillCommand.run)
        case "delete": Command(specs: DeleteCommand.specs, body: DeleteCommand.run)
        case "ps": Command(specs: PsCommand.specs, stopAfter: 1, body: PsCommand.run)
        case "spec": Command(specs: SpecCommand.specs, body: SpecCommand.run)
        case "features": Command(specs: [], body: FeaturesCommand.run)
        case "list": Command(specs: ListCommand.specs, body: ListCommand.run)
        case "pause": Command(specs: [], body: PauseCommand.pause)
        case "resume": Command(specs: [], body: PauseCommand.resume)
        case "update": Command(specs: UpdateCommand.specs, body: UpdateCommand.run)
        case "events": Command(specs: EventsCommand.specs, body: EventsCommand.run)
        case "checkpoint": Command(specs: CheckpointOptions.checkpoint, body: CheckpointCommand.run)
        case "restore": Command(specs: CheckpointOptions.restore, body: RestoreCommand.run)
        default: nil
        }
    }

    private static func run(_ words: [String]) -> CInt {
        var diagnostics = Diagnostics()
        var label = ""
        var failureCode: CInt = 1
        do throws(RuntimeError) {
            let global = try CommandLineParser.parse(words.dropFirst(), GlobalOptions.specs, stopAfter: 1)
            guard let name = global.arguments.first, !global.has("help"), !global.has("version") else { return try general(global) }
            let options = try globalOptions(global, &diagnostics)
            if name == "help" || name == "h" { return try help(global.arguments.dropFirst().first) }
            guard let command = command(name) else { throw RuntimeError(.invalidArgument, "No help topic for '\(name)'") }
            failureCode = command.failureCode
            let parsed = try CommandLineParser.parse(global.arguments.dropFirst(), command.specs + [GlobalOptions.help], stopAfter: command.stopAfter)
            if parsed.has("help") { return try help(name) }
            label = Self.label(name, parsed.arguments.first)
            return try command.body(parsed, options)
        } catch {
            if error.isProgramFailure { diagnostics.failProgram(error.message) } else { diagnostics.fail(label + error.message) }
            return failureCode
        }
    }

    /// What stands before a failure's message: in runc's form where engines show it to their users.
    private static func label(_ command: String, _ id: String?) -> String {
        switch command {
        case "create", "run", "restore": "\(ProgramName.own) \(command) failed: "
        case "exec": ""
        default: "\(command)\(id.map { " \($0)" } ?? ""): "
        }
    }

    private static func help(_ name: String?) throws(RuntimeError) -> CInt {
        guard let name else {
            try Output.write(HelpText.usage)
            return 0
        }
        guard let command = command(name) else { throw RuntimeError(.invalidArgument, "No help topic for '\(name)'") }
        try Output.write(HelpText.usage(of: name, command.specs))
        return 0
    }

    /// `--version`, `--help` and no command at all.
    private static func general(_ global: ParsedOptions) throws(RuntimeError) -> CInt {
        try Output.write(global.has("version") ? HelpText.version : HelpText.usage)
        return 0
    }

    private static func globalOptions(_ global: ParsedOptions, _ diagnostics: inout Diagnostics) throws(RuntimeError) -> GlobalOptions {
        if let path = global["log"], !path.isEmpty { diagnostics.logPath = try ConfigLoader.absolute(path) }
        if let text = global["log-format"], !text.isEmpty {
            guard let format = Diagnostics.Format(rawValue: text) else { throw RuntimeError(.invalidArgument, "invalid log-format: \(text)") }
            diagnostics.format = format
        }
        if global.has("debug") { diagnostics.enableDebug() }
        let root = try ConfigLoader.absolute(global["root"] ?? defaultRoot())
        if root == "/" { throw RuntimeError(.invalidArgument, "Option --root argument should not be set to /") }
        return GlobalOptions(root: root, diagnostics: diagnostics, systemdCgroup: global.has("systemd-cgroup"), criu: global["criu"])
    }

    private static func defaultRoot() -> String {
        if !ProcessAttributes.isRoot(), let directory = getenv("XDG_RUNTIME_DIR") { return "\(String(cString: directory))/berth/runtime" }
        return "\(Defaults.runRoot)/runtime"
    }
}
