import Glibc

/// `stats`: one stream per container, all read by one poll loop, shown twice a second.
enum StatsCommand {
    static let command = Command(
        name: "stats", synopsis: "[OPTIONS] [CONTAINER...]", summary: "Display a live stream of container(s) resource usage statistics",
        flags: [
            .bool("all", "a", "Show all containers (default shows just running)"), .format,
            .bool("no-stream", "Disable streaming stats and only pull the first result"), .bool("no-trunc", "Do not truncate output"),
        ], aliases: ["container stats", "stats"], run: run)

    private static func run(_ call: Invocation) throws {
        var format = call.string("format")
        if format.isEmpty { format = call.client.config.format("statsFormat") }
        let listing = Listing.choose(given: format, table: StatsRow.table, quiet: nil, headers: StatsRow.headers)
        let board = StatsBoard(engine: try call.engine, names: call.arguments, all: call.bool("all"), streaming: !call.bool("no-stream"))
        try board.refresh()
        try board.awaitFirst()
        let failures = board.failures
        if !call.arguments.isEmpty, !failures.isEmpty { throw CommandFailure(failures.joined(separator: "\n")) }
        while true {
            let text = try listing.render(board.rows(truncating: !call.bool("no-trunc")))
            if call.bool("no-stream") {
                call.client.out.write(text)
                return
            }
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { "\($0) \u{1B}[K\n" }.joined()
            call.client.out.write("\u{1B}[H" + lines + "\u{1B}[J")
            call.client.out.flush()
            if call.arguments.isEmpty { try board.refresh() } else if board.isEmpty { return }
            board.read(milliseconds: 500)
        }
    }
}

/// The containers that are watched and the last thing each stream said.
private final class StatsBoard {
    private final class Entry {
        let name: String
        var response: HTTPResponse?
        var stream = JSONStream()
        var last: JSONValue?
        var failure: String?
        init(name: String) { self.name = name }
    }

    private let engine: EngineClient
    private let names: [String]
    private let all: Bool
    private let streaming: Bool
    private var entries: [Entry] = []

    init(engine: EngineClient, names: [String], all: Bool, streaming: Bool) {
        (self.engine, self.names, self.all, self.streaming) = (engine, names, all, streaming)
    }

    var isEmpty: Bool { entries.allSatisfy { $0.response == nil } }
    var failures: [String] { entries.compactMap(\.failure) }

    func rows(truncating: Bool) -> [TemplateRow] { entries.map { StatsRow.make($0.last, name: $0.name, truncating: truncating) } }

    /// Takes in containers that have come and drops those that have gone; named ones stay.
    func refresh() throws {
        let wanted = names.isEmpty
            ? (try engine.json("GET", "/containers/json", query: all ? [("all", "1")] : []).arrayValue ?? []).map { Shortening.id($0.string("Id")) } : names
        if names.isEmpty { entries.removeAll { !wanted.contains($0.name) } }
        for name in wanted where !entries.contains(where: { $0.name == name }) {
            let entry = Entry(name: name)
            do {
                entry.response = try engine.open("GET", "/containers/\(percentEncoded(name))/stats", query: [("stream", streaming ? "1" : "0")])
            } catch let failure as EngineFailure { entry.failure = failure.message }
            entries.append(entry)
        }
    }

    func awaitFirst() throws {
        while entries.contains(where: { $0.last == nil && $0.response != nil }) { read(milliseconds: -1) }
    }

    /// Reads what arrives within the time; with -1, once.
    func read(milliseconds: Int32) {
        var left = milliseconds
        repeat {
            let open = entries.filter { $0.response != nil }
            var polled = open.map { pollfd(fd: $0.response?.connection.descriptor ?? -1, events: Int16(POLLIN), revents: 0) }
            let before = Timestamp.now()
            let buffered = open.contains { $0.response?.connection.hasBufferedBytes ?? false }
            poll(&polled, nfds_t(polled.count), buffered ? 0 : left)
            for (entry, poll) in zip(open, polled) where poll.revents != 0 || entry.response?.connection.hasBufferedBytes ?? false { take(entry) }
            if left > 0 { left = max(0, left - Int32(Timestamp.now().nanoseconds(since: before) / 1_000_000)) }
        } while left > 0
    }

    private func take(_ entry: Entry) {
        guard let bytes = try? entry.response?.read(), !bytes.isEmpty else {
            entry.response = nil
            return
        }
        if let latest = try? entry.stream.append(bytes).last { entry.last = latest }
    }
}

/// One line of `stats`.
enum StatsRow {
    static let table = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"
    static let headers: [(field: String, title: String)] = [
        ("Container", "CONTAINER"), ("Name", "NAME"), ("ID", "CONTAINER ID"), ("CPUPerc", "CPU %"), ("MemUsage", "MEM USAGE / LIMIT"), ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"), ("BlockIO", "BLOCK I/O"), ("PIDs", "PIDS"),
    ]

    static func make(_ stats: JSONValue?, name: String, truncating: Bool) -> TemplateRow {
        let stats = stats ?? .null
        let memory = stats["memory_stats"] ?? .null
        let (used, limit) = (memoryUsed(memory), memory.double("limit"))
        let networks = stats.object("networks").members.map(\.value)
        func sum(_ key: String) -> Double { networks.reduce(0) { $0 + $1.double(key) } }
        func blocks(_ operation: String) -> Double {
            (stats["blkio_stats"]?.array("io_service_bytes_recursive") ?? []).filter { $0.string("op").lowercased() == operation }.reduce(0) { $0 + $1.double("value") }
        }
        let id = stats.string("id")
        let fullName = stats.string("name")
        func pair(_ first: Double, _ second: Double) -> JSONValue {
            .string("\(Sizes.human(first, precision: 3)) / \(Sizes.human(second, precision: 3))")
        }
        return TemplateRow(
            typeName: "*container.statsContext",
            fields: [
                ("Container", { .string(name) }), ("Name", { .string(fullName.count > 1 ? String(fullName.dropFirst()) : "--") }),
                ("ID", { .string(truncating ? Shortening.id(id) : id) }), ("CPUPerc", { .string(GoFormat.fixed(cpu(stats), 2) + "%") }),
                ("MemUsage", { .string("\(Sizes.binary(used)) / \(Sizes.binary(limit))") }),
                ("MemPerc", { .string(GoFormat.fixed(limit == 0 ? 0 : used / limit * 100, 2) + "%") }),
                ("NetIO", { pair(sum("rx_bytes"), sum("tx_bytes")) }), ("BlockIO", { pair(blocks("read"), blocks("write")) }),
                ("PIDs", { .string(String(stats["pids_stats"]?.int("current") ?? 0)) }),
            ])
    }

    /// Without the page cache that can be given back: `total_inactive_file` on cgroup v1, `inactive_file` on v2.
    private static func memoryUsed(_ memory: JSONValue) -> Double {
        let usage = memory.double("usage")
        let details = memory["stats"] ?? .null
        for key in ["total_inactive_file", "inactive_file"] {
            if let inactive = details[key]?.doubleValue, inactive < usage { return usage - inactive }
        }
        return usage
    }

    /// The share of the container's time in the system's, times the number of CPUs.
    private static func cpu(_ stats: JSONValue) -> Double {
        let (now, before) = (stats["cpu_stats"] ?? .null, stats["precpu_stats"] ?? .null)
        let used = (now["cpu_usage"]?.double("total_usage") ?? 0) - (before["cpu_usage"]?.double("total_usage") ?? 0)
        let total = now.double("system_cpu_usage") - before.double("system_cpu_usage")
        var cpus = now.double("online_cpus")
        if cpus == 0 { cpus = Double(now["cpu_usage"]?.array("percpu_usage").count ?? 0) }
        return total > 0 && used > 0 ? used / total * cpus * 100 : 0
    }
}
