/// One command of the tree: how it is called, what it takes, and what it does.
struct Command: Sendable {
    /// How many arguments a command takes, with Docker's wording when the number is wrong.
    enum Arguments: Sendable {
        case none, exactly(Int), atLeast(Int), atMost(Int), between(Int, Int), any
    }

    let name: String
    /// What stands after the command's path in the usage line, such as `[OPTIONS] CONTAINER`.
    let synopsis: String
    let summary: String
    var arguments = Arguments.any
    var flags: [Flag] = []
    var interspersed = true
    /// Other names among its siblings.
    var alternatives: [String] = []
    /// The full paths under which help lists this command, without the program's name.
    var aliases: [String] = []
    /// More than one line for the help, in place of `summary`.
    var details: String?
    var subcommands: [Command] = []
    var isHidden = false
    /// Left nil for a group, which prints its help.
    var run: (@Sendable (Invocation) throws -> Void)?

    /// A group such as `network`: prints its help when called alone.
    static func group(_ name: String, _ summary: String, _ subcommands: [Command]) -> Command {
        Command(name: name, synopsis: "COMMAND", summary: summary, arguments: .none, subcommands: subcommands)
    }

    /// The same command under another name, as `docker ps` is `docker container ls`.
    func named(_ name: String, alternatives: [String] = []) -> Command {
        Command(
            name: name, synopsis: synopsis, summary: summary, arguments: arguments, flags: flags, interspersed: interspersed,
            alternatives: alternatives, aliases: aliases, details: details, subcommands: subcommands, isHidden: isHidden, run: run)
    }

    func subcommand(_ word: String) -> Command? {
        subcommands.first { $0.name == word || $0.alternatives.contains(word) }
    }

    /// - Throws: `CommandFailure` with Docker's sentence about the number of arguments.
    func checkArguments(_ count: Int, path: String, first: String?) throws {
        let program = path.split(separator: " ").first.map(String.init) ?? path
        let usage = usageLine(path: path)
        func plural(_ number: Int) -> String { number == 1 ? "argument" : "arguments" }
        func refuse(_ what: String, _ hint: String = "Run") -> CommandFailure {
            CommandFailure("\(program): '\(path)' \(what)\n\nUsage:  \(usage)\n\n\(hint) '\(path) --help' for more information")
        }
        switch arguments {
        case .any: return
        case .none where count > 0 && !subcommands.isEmpty:
            throw CommandFailure("\(program): unknown command: \(path) \(first ?? "")\n\nUsage:  \(path)\n\nRun '\(path) --help' for more information")
        case .none where count > 0: throw refuse("accepts no arguments")
        case .exactly(let number) where count != number: throw refuse("requires \(number) \(plural(number))")
        case .atLeast(let number) where count < number: throw refuse("requires at least \(number) \(plural(number))", "See")
        case .atMost(let number) where count > number: throw refuse("requires at most \(number) \(plural(number))", "SRun")
        case .between(let low, let high) where count < low || count > high:
            throw refuse("requires at least \(low) and at most \(high) \(plural(high))")
        default: return
        }
    }

    func usageLine(path: String) -> String { synopsis.isEmpty ? path : "\(path) \(synopsis.replacing("{path}", with: path))" }
}

/// One call of a command: what was given, and the program's connections to the world.
struct Invocation {
    let flags: ParsedFlags
    let arguments: [String]
    /// As typed, for messages: `docker container ls`.
    let path: String
    let client: Client

    var engine: EngineClient { get throws { try client.engine() } }
    func changed(_ name: String) -> Bool { flags.changed(name) }
    func bool(_ name: String) -> Bool { flags.bool(name) }
    func string(_ name: String) -> String { flags.string(name) }
    func int(_ name: String) -> Int64 { flags.int(name) }
    func list(_ name: String) -> [String] { flags.list(name) }

    func print(_ line: String) { client.out.write(line + "\n") }
    func printError(_ line: String) { client.err(line + "\n") }
}
