import Glibc
import LinuxSystem

/// The shim's own messages, for the supervisor's log. Standard error is the bundle's `log` FIFO while a supervisor reads it.
enum ShimLog {
    /// One line in the form containerd's shims use. Lost when nobody reads: the shim never waits for its log.
    static func warn(_ message: String) { write("warning", message) }
    static func error(_ message: String) { write("error", message) }

    private static func write(_ level: String, _ message: String) {
        var line = "time=\"\(Clock.rfc3339(Clock.now(), shortened: true))\" level=\(level) msg=\""
        for scalar in message.unicodeScalars {
            switch scalar {
            case "\"": line += "\\\""
            case "\\": line += "\\\\"
            case "\n": line += "\\n"
            default: line.unicodeScalars.append(scalar)
            }
        }
        line += "\"\n"
        line.withUTF8 { _ = Glibc.write(2, $0.baseAddress, $0.count) }
    }

    /// Makes the FIFO `log` of the bundle standard error, if it exists and somebody reads it.
    static func attachToBundle() {
        let fifo = open("log", O_WRONLY | O_NONBLOCK | O_CLOEXEC)
        guard fifo >= 0 else { return }
        dup2(fifo, 2)
        close(fifo)
    }
}
