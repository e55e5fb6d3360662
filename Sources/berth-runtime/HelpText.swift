import BerthDefaults
import OCISpec

/// What `--version` and `--help` print, in the layout of runc's help.
enum HelpText {
    /// The features in the last line are how other projects' test suites ask what a runtime has; SYSTEMD is sd_notify.
    ///
    /// dockerd and podman read the three lines; "commit" is the tag that the release was made from.
    static let version = """
        \(ProgramName.own) version \(Defaults.version)
        commit: v\(Defaults.version)
        spec: \(RuntimeSpec.version)
        +SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +CRIU

        """

    private struct Entry {
        let name: String
        let arguments: String
        let summary: String
    }

    private static let entries = [
        Entry(name: "checkpoint", arguments: "CONTAINER", summary: "save a running container to files with CRIU"),
        Entry(name: "create", arguments: "CONTAINER", summary: "make a container from a bundle; its program waits for start"),
        Entry(name: "delete", arguments: "CONTAINER", summary: "remove what a stopped container has left"),
        Entry(name: "events", arguments: "CONTAINER", summary: "print statistics and out-of-memory events of a container"),
        Entry(name: "exec", arguments: "CONTAINER COMMAND [ARGUMENT...]", summary: "run one more process in a container"),
        Entry(name: "features", arguments: "", summary: "print what this runtime can do"),
        Entry(name: "kill", arguments: "CONTAINER [SIGNAL]", summary: "send a signal (default SIGTERM) to the program of a container"),
        Entry(name: "list", arguments: "", summary: "list the containers below the root directory"),
        Entry(name: "pause", arguments: "CONTAINER", summary: "freeze all processes of a container"),
        Entry(name: "ps", arguments: "CONTAINER [OPTION OF ps(1)...]", summary: "list the processes of a container"),
        Entry(name: "restore", arguments: "CONTAINER", summary: "start a container from the files of a checkpoint"),
        Entry(name: "resume", arguments: "CONTAINER", summary: "let the processes of a paused container go on"),
        Entry(name: "run", arguments: "CONTAINER", summary: "create a container and start it"),
        Entry(name: "spec", arguments: "", summary: "write a config.json to start from"),
        Entry(name: "start", arguments: "CONTAINER", summary: "start the program of a created container"),
        Entry(name: "state", arguments: "CONTAINER", summary: "print the state of a container as JSON"),
        Entry(name: "update", arguments: "CONTAINER", summary: "change the limits of a container"),
    ]

    /// Of the program.
    static var usage: String {
        section("NAME", ["\(ProgramName.own) - Open Container Initiative runtime"])
            + section("USAGE", ["\(ProgramName.own) [global options] command [command options] [arguments...]"])
            + section("VERSION", [Defaults.version]) + section("COMMANDS", table(entries.map { ($0.name, $0.summary) } + [("help", "show help of a command")]))
            + section("GLOBAL OPTIONS", table(GlobalOptions.specs.compactMap(line)))
    }

    /// Of one command.
    static func usage(of name: String, _ specs: [OptionSpec]) -> String {
        guard let entry = entries.first(where: { $0.name == name }) else { return usage }
        let call = [ProgramName.own, name, "[command options]", entry.arguments].filter { !$0.isEmpty }.joined(separator: " ")
        return section("NAME", ["\(ProgramName.own) \(name) - \(entry.summary)"]) + section("USAGE", [call])
            + section("OPTIONS", table((specs + [GlobalOptions.help]).compactMap(line)))
    }

    /// "--bundle value, -b value" and what it is for.
    private static func line(_ spec: OptionSpec) -> (String, String)? {
        guard let about = spec.about else { return nil }
        let value = spec.kind == .flag ? "" : " value"
        return ("--\(spec.name)\(value)" + (spec.short.map { ", -\($0)\(value)" } ?? ""), about)
    }

    private static func table(_ rows: [(String, String)]) -> [String] {
        let width = rows.map { $0.0.utf8.count }.max() ?? 0
        return rows.map { $0.0 + String(repeating: " ", count: width - $0.0.utf8.count + 2) + $0.1 }
    }

    private static func section(_ title: String, _ lines: [String]) -> String { "\(title):\n" + lines.map { "   \($0)\n" }.joined() + "\n" }
}
