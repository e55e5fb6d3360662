import Glibc
import LinuxSystem

/// Where messages go: one line on standard error, and with `--log` one line in that file, as text or JSON.
///
/// containerd's shim and conmon read the JSON file: `level`, `msg`, `time`, as logrus writes them.
struct Diagnostics {
    enum Format: String { case text, json }

    var logPath: String?
    var format = Format.text
    /// Where debug lines go, -1 for nowhere. Open from the start: the init writes them too, which can reach neither the log nor the runtime's standard error
    /// by then. Close-on-exec, and open for as long as the process is this program.
    private(set) var debugDescriptor: CInt = -1

    /// Turns debug lines on: into the log, or to standard error without one.
    mutating func enableDebug() {
        if let logPath {
            debugDescriptor = (try? Files.open(logPath, Self.appending, mode: 0o644))?.release() ?? -1
        } else {
            debugDescriptor = fcntl(2, F_DUPFD_CLOEXEC, 3)
        }
    }

    /// Reports the failure of a command, once.
    func fail(_ message: String) {
        record("error", message)
        // A failed create or run begins with the program's name already, as runc's does.
        print(message.hasPrefix("\(ProgramName.own) ") ? message : "\(ProgramName.own): \(message)")
    }

    /// Reports that the program of a container could not be executed: its own line and nothing else, as a shell does.
    func failProgram(_ message: String) {
        record("error", message)
        print(message)
    }

    func warn(_ message: String) {
        record("warning", message)
        if logPath == nil { print("\(ProgramName.own): warning: \(message)") }
    }

    func note(_ message: @autoclosure () -> String) {
        if debugDescriptor >= 0 { try? Files.writeAll(line("debug", message()), toRaw: debugDescriptor, name: "log") }
    }

    private func print(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    }

    private func record(_ level: String, _ message: String) {
        guard let logPath, let file = try? Files.open(logPath, Self.appending, mode: 0o644) else { return }
        try? Files.writeAll(line(level, message), to: file, name: logPath)
    }

    private static let appending = O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY

    private func line(_ level: String, _ message: String) -> [UInt8] {
        let text =
            switch format {
            case .json: "{\"level\":\"\(level)\",\"msg\":\"\(Self.escaped(message))\",\"time\":\"\(Self.now())\"}\n"
            case .text: "time=\"\(Self.now())\" level=\(level) msg=\"\(Self.escaped(message))\"\n"
            }
        return Array(text.utf8)
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
    static func now() -> String { Clock.rfc3339(Clock.now()) }
}
