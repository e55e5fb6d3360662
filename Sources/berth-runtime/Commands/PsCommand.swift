import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem

/// `ps`: the processes in the container's cgroup, as a list of numbers or as ps(1) shows them.
enum PsCommand {
    static var specs: [OptionSpec] { [OptionSpec("format", "f", .value, "table (default) or json")] }

    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        guard let id = options.arguments.first else { throw RuntimeError(.invalidArgument, "\"ps\" requires a minimum of 1 argument(s)") }
        let record = try ContainerDirectory.open(root: global.root, id: id).record()
        if record.cgroup.isNone { throw RuntimeError(.failedPrecondition, "the container has no cgroup of its own: its processes cannot be listed") }
        let pids = try withCgroup { () throws(CgroupError) in try record.cgroup.processes() }.sorted()
        switch options["format"] ?? "table" {
        case "json": try Output.write(try ConfigLoader.encode(pids) + [UInt8(ascii: "\n")])
        case "table": try printTable(Set(pids), arguments: Array(options.arguments.dropFirst()))
        default: throw RuntimeError(.invalidArgument, "invalid format option")
        }
        return 0
    }

    /// Filters the output of ps(1), whose options the user may give, by its column PID.
    private static func printTable(_ pids: Set<Int32>, arguments: [String]) throws(RuntimeError) {
        let text = try output(of: "ps", arguments: arguments.isEmpty ? ["-ef"] : arguments)
        let lines = text.fields(by: "\n")
        guard let title = lines.first, let column = title.fields(by: " ").firstIndex(of: "PID") else {
            throw RuntimeError(.internalError, "couldn't find PID field in ps output")
        }
        let kept = lines.dropFirst().filter { line in
            let fields = line.fields(by: " ")
            return fields.count > column && Int32(fields[column]).map(pids.contains) == true
        }
        try Output.write(([title] + kept).map { "\($0)\n" }.joined())
    }

    private static func output(of program: String, arguments: [String]) throws(RuntimeError) -> String {
        let file = try attempt { () throws(SystemError) in try Pipes.memoryFile(named: "ps-output", holding: []) }
        let path = ["/bin", "/usr/bin", "/usr/local/bin"].map { "\($0)/\(program)" }.first(where: Files.isExecutable) ?? "/bin/\(program)"
        let environment = ["PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "COLUMNS=4096"]
        let child = try attempt { () throws(SystemError) in
            try Processes.clone(subject: program) {
                if (try? Processes.passOn(file, as: 1)) != nil { _ = Processes.execute(path, arguments: [program] + arguments, environment: environment) }
                Processes.leave(127)
            }
        }
        let status = try attempt { () throws(SystemError) in try Processes.wait(for: child.pid) }
        let text = String(decoding: try attempt { () throws(SystemError) in try Files.contents(of: file, name: "ps-output") }, as: UTF8.self)
        guard status == .exited(0) else { throw RuntimeError(.internalError, "\(program): exit status \(status.code): \(text)") }
        return text
    }
}
