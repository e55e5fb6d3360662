import DockerAPI

/// `--log-driver` and `--log-opt`: which are known, and how they become the URI of a task's output.
enum LogDriver {
    /// What the shim writes itself.
    private static let builtIn: Set<String> = ["json-file", "local", "none"]
    /// Docker's other drivers: known names that Berth cannot serve yet.
    private static let later: Set<String> = ["syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "gcplogs", "etwlogs", "logentries"]
    private static let options: [String: Set<String>] = [
        "json-file": ["max-file", "max-size", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode", "max-buffer-size"],
        "local": ["max-file", "max-size", "compress", "mode", "max-buffer-size"],
        "none": [],
    ]

    /// - Throws: `.notFound` for an unknown driver, `.invalidArgument` for an option or a value it does not take.
    static func validate(_ log: LogConfig) throws(DaemonError) {
        let driver = log.Type ?? ""
        if later.contains(driver) { throw .unimplemented("failed to initialize logging driver: \(driver)") }
        guard builtIn.contains(driver) else { throw .notFound("error looking up logging plugin \(driver): plugin \"\(driver)\" not found") }
        for (key, value) in log.Config ?? [:] {
            guard options[driver]?.contains(key) == true else { throw .invalid("unknown log opt '\(key)' for \(driver) log driver") }
            switch key {
            case "max-size", "max-buffer-size":
                if key == "max-size", value == "-1" { break }
                guard let bytes = ByteSize.parse(value), bytes > 0 else { throw .invalid("invalid value for \(key): \"\(value)\"") }
            case "max-file":
                guard let count = Int(value), count > 0 else { throw .invalid("max-file cannot be less than 1: \"\(value)\"") }
            case "mode": guard value == "blocking" || value == "non-blocking" else { throw .invalid("logger: invalid mode: \(value)") }
            case "compress":
                guard value == "true" || value == "false" else { throw .invalid("invalid value for compress: \"\(value)\"") }
                if value == "true", driver == "json-file" { throw .unimplemented("compressing rotated logs (--log-opt compress=true)") }
            default: break
            }
        }
        if log.Config?["max-buffer-size"] != nil, log.Config?["mode"] != "non-blocking" {
            throw .invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        }
    }

    /// The URI of one process's output.
    ///
    /// - Parameters:
    ///   - path: the log file; empty for execs and driver none.
    ///   - attachSocket: where the shim listens for attachers.
    static func uri(path: String, log: LogConfig, attachSocket: String, closesStdinOnce: Bool, attributes: [String: String]) -> String {
        var query: [(String, String)] = [("driver", path.isEmpty ? "none" : log.Type ?? "none")]
        if !path.isEmpty {
            let options = log.Config ?? [:]
            if let size = options["max-size"], let bytes = ByteSize.parse(size), bytes > 0 { query.append(("max-size", String(bytes))) }
            if let count = options["max-file"] { query.append(("max-file", count)) }
            if let mode = options["mode"] { query.append(("mode", mode)) }
            if let size = options["max-buffer-size"], let bytes = ByteSize.parse(size) { query.append(("max-buffer-size", String(bytes))) }
            if !attributes.isEmpty, let json = try? JSONBody.encodeToString(attributes) { query.append(("tag-attrs", json)) }
        }
        query.append(("attach", attachSocket))
        if closesStdinOnce { query.append(("stdin-once", "1")) }
        let text = query.map { "\($0.0)=\(encode($0.1))" }.joined(separator: "&")
        return path.isEmpty ? "berth-log:?\(text)" : "berth-log://\(PercentCoding.encode(path))?\(text)"
    }

    private static func encode(_ value: String) -> String { PercentCoding.encode(value) }

    /// `attrs` of every line: the labels and variables that `--log-opt labels=` and `env=` name, and the tag.
    static func attributes(of record: ContainerRecord) -> [String: String] {
        let options = record.hostConfig.LogConfig?.Config ?? [:]
        var result: [String: String] = [:]
        for name in options["labels"]?.split(separator: ",") ?? [] {
            if let value = record.config.Labels?[String(name)] { result[String(name)] = value }
        }
        if let wanted = options["env"] {
            let names = Set(wanted.split(separator: ","))
            for entry in record.config.Env ?? [] {
                let name = Environment.name(entry)
                if names.contains(name), entry.utf8.count > name.utf8.count { result[String(name)] = String(entry.dropFirst(name.count + 1)) }
            }
        }
        if let tag = options["tag"], !tag.isEmpty { result["tag"] = tag }
        return result
    }
}

enum ByteSize {
    /// `10m`, `1.5g`, `512`: powers of 1024. nil for anything else.
    static func parse(_ text: String) -> Int64? {
        var digits = text.lowercased()[...]
        if digits.hasSuffix("b") { digits = digits.dropLast() }
        var factor: Double = 1
        if let unit = digits.last, let power = ["k": 1, "m": 2, "g": 3, "t": 4, "p": 5][unit] {
            digits = digits.dropLast()
            for _ in 0..<power { factor *= 1024 }
            if digits.hasSuffix("i") { digits = digits.dropLast() }
        }
        guard let value = Double(digits), value >= 0, value * factor < 9e18 else { return nil }
        return Int64(value * factor)
    }
}
