import DockerAPI

/// What many commands do alike.
extension Invocation {
    /// Does the same to every argument, one after the other: prints those that worked, and ends with the errors of those that did not.
    func forEach(_ names: [String], _ body: (EngineClient, String) throws -> Void) throws {
        let engine = try self.engine
        var failures: [String] = []
        for name in names {
            do {
                try body(engine, name)
                print(name)
            } catch { failures.append(Main.describe(error).message) }
        }
        if !failures.isEmpty { throw CommandFailure(failures.joined(separator: "\n")) }
    }

    /// The same, with the requests on their way at the same time; the results are shown in the order of the arguments.
    func inParallel(_ names: [String], onFailure: (EngineFailure) -> Bool = { _ in false }, _ request: (String) -> (method: String, path: String, query: [(String, String)])) throws {
        let engine = try self.engine
        var failures: [String] = []
        // As many as Docker's client sends at a time
        for start in stride(from: 0, to: names.count, by: 50) {
            let batch = names[start..<min(start + 50, names.count)]
            let pending = batch.map { name -> Result<PendingReply, any Error> in
                let wanted = request(name)
                return Result { try engine.send(wanted.method, wanted.path, query: wanted.query) }
            }
            for (name, reply) in zip(batch, pending) {
                do {
                    _ = try engine.check(reply.get().response()).readAll()
                    print(name)
                } catch {
                    if let failure = error as? EngineFailure, onFailure(failure) { continue }
                    failures.append(Main.describe(error).message)
                }
            }
        }
        if !failures.isEmpty { throw CommandFailure(failures.joined(separator: "\n")) }
    }

    /// `--filter` as the API takes it.
    func filters(_ extra: [(String, String)] = []) -> [(String, String)] {
        var sets = JSONObject()
        let given = list("filter").filter { !$0.isEmpty }.map { text -> (String, String) in
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            return (parts[0], parts.count == 2 ? parts[1] : "")
        }
        for (key, value) in given + extra {
            var set = sets[key]?.objectValue ?? JSONObject()
            set[value] = true
            sets[key] = .object(set)
        }
        return sets.isEmpty ? [] : [("filters", JSONValue.object(sets).text)]
    }

    /// The filters of a prune, to which the configuration file may add.
    func pruneFilters(_ extra: [(String, String)] = []) -> [(String, String)] {
        let given = list("filter")
        let configured = client.config.root.strings("pruneFilters").compactMap { text -> (String, String)? in
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else { return nil }
            if parts[0] == "label", given.contains("label!=\(parts[1])") { return nil }
            if parts[0] == "label!", given.contains("label=\(parts[1])") { return nil }
            return (parts[0], parts[1])
        }
        return filters(configured + extra)
    }

    func containerPath(_ name: String, _ rest: String = "") -> String { "/containers/\(percentEncoded(name))\(rest)" }
}

extension Flag {
    static let formatUsage =
        "Format output using a custom template:\n'table':            Print output in table format with column headers (default)\n'table TEMPLATE':   Print output in table format using the given Go template\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template.\nRefer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"
    static let inspectUsage =
        "Format output using a custom template:\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template.\nRefer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"

    static let format = Flag.string("format", formatUsage)
    static let inspectFormat = Flag.string("format", "f", inspectUsage)
    static let noTrunc = Flag.bool("no-trunc", "Don't truncate output")
    static let force = Flag.bool("force", "f", "Do not prompt for confirmation")

    static func filter(_ usage: String = "Filter output based on conditions provided") -> Flag {
        .list("filter", "f", type: "filter", usage, check: ValueChecks.filter)
    }

    /// That of the prune commands, where `-f` is `--force`.
    static func pruneFilter(_ usage: String) -> Flag { .list("filter", type: "filter", usage, check: ValueChecks.filter) }
}

/// Points in time on the command line: RFC 3339 in any precision, seconds since 1970, or a duration before now.
enum TimeArgument {
    /// As the API takes it, in seconds with a fraction.
    /// - Throws: `InvalidValue`.
    static func parse(_ text: String) throws -> String {
        if text.isEmpty { return "" }
        let now = Timestamp.now()
        if let duration = try? Durations.parse(text), text != "0" {
            let total = now.seconds * 1_000_000_000 + now.nanoseconds - duration
            return String(total / 1_000_000_000)
        }
        if let time = parseDate(text) { return format(time) }
        guard Double(text) != nil else { throw InvalidValue("failed to parse value as time or duration: \(GoText.quoted(text))") }
        return text
    }

    private static func format(_ time: Timestamp) -> String {
        let digits = String(time.nanoseconds)
        return "\(time.seconds)." + String(repeating: "0", count: 9 - digits.count) + digits
    }

    /// `2026-01-02`, `2026-01-02T15`, `2026-01-02T15:04`, `2026-01-02T15:04:05.5`, each with or without a zone; without one it is local time.
    private static func parseDate(_ text: String) -> Timestamp? {
        if let time = Timestamp(rfc3339: text) { return time }
        var parts = text.split(separator: "T", maxSplits: 1).map(String.init)
        guard let date = parts.first, date.split(separator: "-").count == 3 else { return nil }
        if parts.count == 1, date.hasSuffix("Z") { parts = [String(date.dropLast()), "Z"] }
        var clock = parts.count == 2 ? parts[1] : ""
        var zone = ""
        if let cut = clock.firstIndex(where: { $0 == "Z" || $0 == "+" || $0 == "-" }) {
            zone = String(clock[cut...])
            clock = String(clock[..<cut])
        }
        let fields = clock.split(separator: ":").count
        clock += [0: "00:00:00", 1: ":00:00", 2: ":00"][fields] ?? ""
        guard let time = Timestamp(rfc3339: "\(parts[0])T\(clock)\(zone.isEmpty ? "Z" : zone)") else { return nil }
        return zone.isEmpty ? time.interpretedAsLocal : time
    }
}
