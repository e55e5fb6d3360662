import BerthDefaults
import Glibc
import LinuxSystem

/// The client: turns a command line into calls of the Engine API.
///
/// Called as `docker` it names itself so in its messages, so that scripts that read them go on working.
@main
enum Main {
    static func main() {
        // A reader that goes away is an error of write(2), not the end of the program
        signal(SIGPIPE, SIG_IGN)
        let words = CommandLine.arguments
        let program = words.first.map { $0.split(separator: "/").last == "docker" ? "docker" : "berth" } ?? "berth"
        exit(run(program: program, words: words.dropFirst()))
    }

    private static func run(program: String, words: ArraySlice<String>) -> Int32 {
        let environment = Environment.current()
        var client: Client?
        let status: Int32
        do {
            let global = try globalFlags(program, words)
            let new = Client(program: program, environment: environment, global: global)
            client = new
            try dispatch(new, global)
            status = 0
        } catch {
            let failure = describe(error)
            let text = failure.message.isEmpty ? "" : failure.message + "\n"
            if let client { client.err(text) } else { try? Array(text.utf8).withUnsafeBytesThrowing { (raw) throws(SystemError) in try writeAll(2, raw) } }
            status = failure.status
        }
        client?.out.flush()
        return status
    }

    /// What the user reads, and the exit status, of anything a command throws.
    static func describe(_ error: any Error) -> CommandFailure {
        switch error {
        case let failure as CommandFailure: failure
        case let failure as EngineFailure: CommandFailure(failure.message)
        case let failure as ConnectionFailed: CommandFailure(failure.message)
        case let invalid as InvalidValue: CommandFailure(invalid.reason)
        case let failure as TemplateError: CommandFailure("template parsing error: \(failure.message)")
        default: CommandFailure("\(error)")
        }
    }

    private static func globalFlags(_ program: String, _ words: ArraySlice<String>) throws -> ParsedFlags {
        do { return try FlagParser(flags: GlobalFlags.all, interspersed: false).parse(words) } catch let failure as CommandFailure {
            throw CommandFailure(
                "\(failure.message)\n\nUsage:  \(program) [OPTIONS] COMMAND [ARG...]\n\nRun '\(program) --help' for more information", status: failure.status)
        }
    }

    private static func dispatch(_ client: Client, _ global: ParsedFlags) throws {
        let program = client.program
        if global.bool("version") {
            client.out.write(program == "docker" ? "Docker version \(Defaults.version), build berth\n" : "Berth version \(Defaults.version)\n")
            return
        }
        let levels = ["debug", "info", "warn", "error", "fatal", "trace", "panic", "warning"]
        if global.changed("log-level"), !levels.contains(global.string("log-level").lowercased()) {
            throw CommandFailure("Unable to parse logging level: \(global.string("log-level"))")
        }
        guard let name = global.arguments.first, !global.wantsHelp else {
            client.out.write(CommandTree.overview(program, configDirectory: client.configDirectory))
            return
        }
        var words = global.arguments.dropFirst()
        var asksHelp = false
        var first = name
        if first == "help" {
            guard let topic = words.popFirst() else {
                client.out.write(CommandTree.overview(program, configDirectory: client.configDirectory))
                return
            }
            (first, asksHelp) = (topic, true)
        }
        guard var command = CommandTree.top.first(where: { $0.name == first || $0.alternatives.contains(first) }) else {
            throw CommandFailure("\(program): unknown command: \(program) \(first)\n\nRun '\(program) --help' for more information")
        }
        var path = "\(program) \(command.name)"
        while let word = words.first, let child = command.subcommand(word) {
            words.removeFirst()
            command = child
            path += " \(child.name)"
        }
        let flags: ParsedFlags
        do { flags = try FlagParser(flags: command.flags, interspersed: command.interspersed).parse(words) } catch let failure as CommandFailure {
            throw CommandFailure(
                "\(failure.message)\n\nUsage:  \(command.usageLine(path: path))\n\nRun '\(path) --help' for more information", status: failure.status)
        }
        if flags.wantsHelp || asksHelp {
            if flags.usedShortHelp { client.err("Flag shorthand -h has been deprecated, use --help\n") }
            client.out.write(HelpText(command: command, path: path, width: helpWidth).render())
            return
        }
        try command.checkArguments(flags.arguments.count, path: path, first: flags.arguments.first)
        guard let run = command.run else {
            client.out.write(HelpText(command: command, path: path, width: helpWidth).render())
            return
        }
        try run(Invocation(flags: flags, arguments: flags.arguments, path: path, client: client))
    }

    private static var helpWidth: Int {
        let width = LocalTerminal(descriptor: 1).size.width
        return width == 0 ? 80 : width
    }
}
