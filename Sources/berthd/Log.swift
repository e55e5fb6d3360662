import Glibc
import Synchronization

/// The daemon's own messages, one line each on standard error: `time="…" level=info msg="…"` as dockerd writes them, or JSON with `--log-format json`.
enum Log {
    enum Level: Int, Sendable {
        case debug, info, warning, error
        var name: String {
            switch self {
            case .debug: "debug"
            case .info: "info"
            case .warning: "warning"
            case .error: "error"
            }
        }
        init?(name: String) {
            switch name {
            case "debug", "trace": self = .debug
            case "info": self = .info
            case "warn", "warning": self = .warning
            case "error", "fatal", "panic": self = .error
            default: return nil
            }
        }
    }

    private struct Settings {
        var level = Level.info
        var json = false
    }

    private static let settings = Mutex(Settings())

    static func configure(level: Level, json: Bool) { settings.withLock { $0 = Settings(level: level, json: json) } }

    static var isDebug: Bool { settings.withLock { $0.level == .debug } }

    static func debug(_ message: @autoclosure () -> String) { write(.debug, message) }
    static func info(_ message: @autoclosure () -> String) { write(.info, message) }
    static func warning(_ message: @autoclosure () -> String) { write(.warning, message) }
    static func error(_ message: @autoclosure () -> String) { write(.error, message) }

    private static func write(_ level: Level, _ message: () -> String) {
        let current = settings.withLock { $0 }
        guard level.rawValue >= current.level.rawValue else { return }
        let time = WallClock.now().fixedRFC3339
        let text = quoted(message())
        var line = current.json ? "{\"level\":\"\(level.name)\",\"msg\":\(text),\"time\":\"\(time)\"}\n" : "time=\"\(time)\" level=\(level.name) msg=\(text)\n"
        line.withUTF8 { bytes in
            // One write(2) a line, so that lines of two threads do not mix. A lost log line is not worth failing for.
            _ = Glibc.write(2, bytes.baseAddress, bytes.count)
        }
    }

    /// As a JSON string: control characters of a hostile name cannot forge a line.
    private static func quoted(_ text: String) -> String {
        var output = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": output += "\\\""
            case "\\": output += "\\\\"
            case "\n": output += "\\n"
            case _ where scalar.value < 0x20: output += " "
            default: output.unicodeScalars.append(scalar)
            }
        }
        return output + "\""
    }
}
