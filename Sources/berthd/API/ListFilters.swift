import DockerAPI
import FoundationEssentials

/// The query parameter `filters`: for each name the values, of which one has to match.
struct ListFilters: Sendable, Equatable {
    private(set) var values: [String: Set<String>] = [:]

    init() {}

    /// Reads both forms: `{"label": ["a=b"]}` and, of old clients, `{"label": {"a=b": true}}`.
    ///
    /// - Parameter accepted: the names that this list knows.
    /// - Throws: `.invalidArgument` for malformed JSON and for other names.
    init(_ text: String?, accepted: Set<String>) throws {
        guard let text, !text.isEmpty else { return }
        let data = Data(text.utf8)
        if let lists = try? JSONDecoder().decode([String: [String]].self, from: data) {
            values = lists.mapValues { Set($0) }
        } else if let maps = try? JSONDecoder().decode([String: [String: Bool]].self, from: data) {
            values = maps.mapValues { Set($0.filter(\.value).keys) }
        } else {
            throw DaemonError.invalid("invalid filter")
        }
        if let unknown = values.keys.sorted().first(where: { !accepted.contains($0) }) { throw DaemonError.invalid("invalid filter '\(unknown)'") }
    }

    var isEmpty: Bool { values.isEmpty }

    subscript(name: String) -> Set<String> { values[name] ?? [] }

    mutating func insert(_ name: String, _ value: String) { values[name, default: []].insert(value) }

    /// True when the filter is missing or one of its values satisfies `test`.
    func matches(_ name: String, _ test: (String) -> Bool) -> Bool {
        guard let wanted = values[name], !wanted.isEmpty else { return true }
        return wanted.contains(where: test)
    }

    /// One of the values is one of the texts or, as a regular expression, found in one of them.
    func matchesPattern(_ name: String, _ texts: String...) -> Bool {
        matches(name) { wanted in texts.contains(wanted) || texts.contains(where: GoPattern(wanted).matches) }
    }

    func matchesExactly(_ name: String, _ value: String) -> Bool { matches(name) { $0 == value } }

    /// Every `label` (`key` or `key=value`) is there and none of `label!` is.
    func matchesLabels(_ labels: [String: String]) -> Bool {
        func has(_ wanted: String) -> Bool {
            let parts = wanted.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let value = labels[String(parts[0])] else { return false }
            return parts.count == 1 || value == parts[1]
        }
        return self["label"].allSatisfy(has) && !self["label!"].contains(where: has)
    }

    /// A filter that is true or false; nil when missing.
    ///
    /// - Throws: `.invalidArgument` for another value or for both at once.
    func boolean(_ name: String) throws -> Bool? {
        guard let wanted = values[name], !wanted.isEmpty else { return nil }
        let truth: Set<String> = ["1", "true"]
        let falsehood: Set<String> = ["0", "false"]
        if wanted.isSubset(of: truth) { return true }
        if wanted.isSubset(of: falsehood) { return false }
        throw DaemonError.invalid("invalid filter '\(name)=[\(wanted.sorted().joined(separator: " "))]'")
    }

    /// `until`: a moment (RFC 3339 or seconds since 1970) or a duration before now (`24h`, `1h30m`).
    ///
    /// - Parameter severally: images may be given several, and are wanted from before all of them; others are refused more than one.
    func until(now: WallClock = .now(), severally: Bool = false) throws -> WallClock? {
        guard let wanted = values["until"], !wanted.isEmpty else { return nil }
        guard severally || wanted.count == 1 else { throw DaemonError.invalid("more than one until filter specified") }
        return try wanted.map { try Self.until($0, now: now) }.min()
    }

    private static func until(_ text: String, now: WallClock) throws -> WallClock {
        if let duration = GoDuration.nanoseconds(text) { return WallClock(nanosecondsSinceEpoch: now.nanosecondsSinceEpoch - duration) }
        if let moment = try? Timestamp.nanoseconds(text, name: "until") { return WallClock(nanosecondsSinceEpoch: moment) }
        throw DaemonError.invalid("invalid value for \"until\" filter: \"\(text)\"")
    }
}

/// Durations as Go writes them: `300ms`, `1h30m`, `1.5s`.
enum GoDuration {
    /// As Go prints a duration: "300ms", "1m30s", "1.5s".
    static func text(_ duration: Duration) -> String {
        let nanoseconds = duration.components.seconds * 1_000_000_000 + duration.components.attoseconds / 1_000_000_000
        func decimal(_ value: Int64, per unit: Int64) -> String {
            var fraction = String(String(value % unit + unit).dropFirst())
            while fraction.last == "0" { fraction.removeLast() }
            return fraction.isEmpty ? "\(value / unit)" : "\(value / unit).\(fraction)"
        }
        switch nanoseconds {
        case 0: return "0s"
        case ..<1000: return "\(nanoseconds)ns"
        case ..<1_000_000: return decimal(nanoseconds, per: 1000) + "µs"
        case ..<1_000_000_000: return decimal(nanoseconds, per: 1_000_000) + "ms"
        default:
            let (hours, minutes) = (nanoseconds / 3_600_000_000_000, nanoseconds / 60_000_000_000 % 60)
            return (hours > 0 ? "\(hours)h" : "") + (hours > 0 || minutes > 0 ? "\(minutes)m" : "") + decimal(nanoseconds % 60_000_000_000, per: 1_000_000_000) + "s"
        }
    }

    static func nanoseconds(_ text: String) -> Int64? {
        let units: [(String, Double)] = [("ns", 1), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)]
        var rest = Substring(text)
        var total = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(unit.count)
            guard let number = Double(digits), let factor = units.first(where: { $0.0 == unit })?.1 else { return nil }
            total += number * factor
        }
        return total < 9e18 ? Int64(total) : nil
    }
}
