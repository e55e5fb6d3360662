import Glibc
import LinuxSystem

/// Where messages go: one line on standard error, and with `--log` one line in that file, as text or JSON.
///
/// containerd's shim and conmon read the JSON file: `level`, `msg`, `time`, as logrus writes them.
struct Diagnostics {
    enum Format: String { case text, json }

    var logPath: String?
    var format = Format.text
    var debug = false

    /// Reports the failure of a command, once.
    func fail(_ message: String) {
        record("error", message)
        // A failed create or run begins with the program's name already, as runc's does.
        print(message.hasPrefix("berth-runtime ") ? message : "berth-runtime: \(message)")
    }

    func warn(_ message: String) {
        record("warning", message)
        if logPath == nil { print("berth-runtime: warning: \(message)") }
    }

    func note(_ message: @autoclosure () -> String) {
        if debug { record("debug", message()) }
    }

    private func print(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    }

    private func record(_ level: String, _ message: String) {
        guard let logPath, let file = try? Files.open(logPath, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY, mode: 0o644) else { return }
        let line =
            switch format {
            case .json: "{\"level\":\"\(level)\",\"msg\":\"\(Self.escaped(message))\",\"time\":\"\(Self.now())\"}\n"
            case .text: "time=\"\(Self.now())\" level=\(level) msg=\"\(Self.escaped(message))\"\n"
            }
        try? Files.writeAll(Array(line.utf8), to: file, name: logPath)
    }

    /// Escaped as a JSON string, which is also what logrus does to text.
    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// RFC 3339 in UTC with nanoseconds.
    static func now() -> String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        var parts = tm()
        var seconds = time.tv_sec
        gmtime_r(&seconds, &parts)
        return "\(padded(Int(parts.tm_year) + 1900, 4))-\(padded(Int(parts.tm_mon) + 1, 2))-\(padded(Int(parts.tm_mday), 2))T"
            + "\(padded(Int(parts.tm_hour), 2)):\(padded(Int(parts.tm_min), 2)):\(padded(Int(parts.tm_sec), 2)).\(padded(time.tv_nsec, 9))Z"
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
