import DockerAPI

/// Lengths of time in nanoseconds, written as Go writes them.
enum Durations {
    /// Roughly, in the words of `docker ps`: `About a minute`, `3 weeks`.
    static func human(nanoseconds: Int64) -> String {
        let seconds = nanoseconds / 1_000_000_000
        let minutes = seconds / 60
        // rounded to the nearest hour, as go-units does
        let hours = (nanoseconds + 1_800_000_000_000) / 3_600_000_000_000
        switch true {
        case seconds < 1: return "Less than a second"
        case seconds == 1: return "1 second"
        case seconds < 60: return "\(seconds) seconds"
        case minutes == 1: return "About a minute"
        case minutes < 60: return "\(minutes) minutes"
        case hours == 1: return "About an hour"
        case hours < 48: return "\(hours) hours"
        case hours < 24 * 7 * 2: return "\(hours / 24) days"
        case hours < 24 * 30 * 2: return "\(hours / 24 / 7) weeks"
        case hours < 24 * 365 * 2: return "\(hours / 24 / 30) months"
        default: return "\(nanoseconds / 3_600_000_000_000 / 24 / 365) years"
        }
    }

    /// `1h30m`, `1.5s`, `300ms` and so on.
    /// - Throws: `InvalidValue` in the words of time.ParseDuration.
    static func parse(_ text: String) throws -> Int64 {
        var rest = Substring(text)
        var negative = false
        if rest.first == "-" || rest.first == "+" { negative = rest.removeFirst() == "-" }
        if rest == "0" { return 0 }
        guard !rest.isEmpty else { throw InvalidValue("time: invalid duration \(GoText.quoted(text))") }
        var total = 0.0
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            guard let value = Double(digits) else { throw InvalidValue("time: invalid duration \(GoText.quoted(text))") }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { !($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(unit.count)
            guard !unit.isEmpty else { throw InvalidValue("time: missing unit in duration \(GoText.quoted(text))") }
            guard let scale = units[String(unit)] else { throw InvalidValue("time: unknown unit \(GoText.quoted(String(unit))) in duration \(GoText.quoted(text))") }
            total += value * scale
        }
        guard total < 9.2e18 else { throw InvalidValue("time: invalid duration \(GoText.quoted(text))") }
        return negative ? -Int64(total) : Int64(total)
    }

    private static let units: [String: Double] = [
        "ns": 1, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9,
    ]
}
