import BerthDefaults
import LinuxSystem

/// `list`: every container below the root.
enum ListCommand {
    static var specs: [OptionSpec] { [OptionSpec("format", "f", .value, "table (default) or json"), OptionSpec("quiet", "q", .flag, "only the ids")] }

    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        guard options.arguments.isEmpty else { throw RuntimeError(.invalidArgument, "\"list\" requires exactly 0 argument(s)") }
        let containers = try summaries(global)
        if options.has("quiet") {
            try Output.write(containers.map { "\($0.id)\n" }.joined())
            return 0
        }
        switch options["format"] ?? "table" {
        case "table": try Output.write(table(containers))
        case "json": try Output.write(try ConfigLoader.encode(containers))
        default: throw RuntimeError(.invalidArgument, "invalid format option")
        }
        return 0
    }

    private static func summaries(_ global: GlobalOptions) throws(RuntimeError) -> [ContainerSummary] {
        guard Files.exists(global.root) else { return [] }
        let names = try attempt { () throws(SystemError) in try Files.entries(of: global.root) }
        var found: [ContainerSummary] = []
        for name in names.sorted() {
            do throws(RuntimeError) { found.append(try ContainerSummary(try ContainerDirectory.open(root: global.root, id: name))) } catch {
                if error.code != .notFound && error.code != .invalidArgument { global.diagnostics.warn("load container \(name): \(error)") }
            }
        }
        return found
    }

    /// Columns as Go's tabwriter lays them out: at least 12 wide, one space between, three of padding.
    private static func table(_ containers: [ContainerSummary]) -> String {
        let rows = [["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]]
            + containers.map { [$0.id, "\($0.pid)", $0.status, $0.bundle, $0.created, $0.owner] }
        let widths = (0..<5).map { column in max(12, (rows.map { $0[column].count }.max() ?? 0) + 3) }
        return rows.map { row in
            (0..<5).map { row[$0] + String(repeating: " ", count: widths[$0] - row[$0].count) }.joined() + row[5] + "\n"
        }.joined()
    }
}
