import Glibc
import LinuxSystem
import Synchronization

/// What the supervisor tells its operator: one line on stderr for each event, `key=value` as containerd writes them, or JSON.
enum Log {
    enum Level: Int, Sendable, CaseIterable {
        case trace, debug, info, warn, error, fatal

        init?(_ name: String) {
            let name = name == "warning" ? "warn" : name == "panic" ? "fatal" : name
            guard let level = Self.allCases.first(where: { "\($0)" == name }) else { return nil }
            self = level
        }
    }

    enum Format: String, Sendable { case text, json }

    private static let threshold = Atomic<Int>(Level.info.rawValue)
    private static let asJSON = Atomic<Bool>(false)

    static func configure(level: Level, format: Format) {
        threshold.store(level.rawValue, ordering: .relaxed)
        asJSON.store(format == .json, ordering: .relaxed)
    }

    static func debug(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
        write(.debug, message, fields)
    }

    static func info(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
        write(.info, message, fields)
    }

    static func warn(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
        write(.warn, message, fields)
    }

    static func error(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
        write(.error, message, fields)
    }

    private static func write(_ level: Level, _ message: () -> String, _ fields: () -> KeyValuePairs<String, String>) {
        guard level.rawValue >= threshold.load(ordering: .relaxed) else { return }
        let pairs = [("time", Timestamps.rfc3339(Clock.now)), ("level", "\(level)"), ("msg", message())] + fields().map { ($0.key, $0.value) }
        let line =
            asJSON.load(ordering: .relaxed)
            ? "{" + pairs.map { "\(quoted($0.0)):\(quoted($0.1))" }.joined(separator: ",") + "}\n"
            : pairs.map { "\($0.0)=\(isPlain($0.1) ? $0.1 : quoted($0.1))" }.joined(separator: " ") + "\n"
        // One write, so that lines of several threads do not mix. What stderr does not take is lost: a log never holds the supervisor up.
        _ = line.withCString { Glibc.write(STDERR_FILENO, $0, strlen($0)) }
    }

    private static func isPlain(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "=") }
    }

    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\t": out += "\\t"
            case "\r": out += "\\r"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let digits = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
