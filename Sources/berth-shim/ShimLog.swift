import Glibc
import LinuxSystem

/// The shim's own messages, for the supervisor's log. Standard error is the bundle's `log` FIFO while a supervisor reads it.
enum ShimLog {
    /// One line in the form containerd's shims use. Lost when nobody reads: the shim never waits for its log.
    static func warn(_ message: String) { write("warning", message) }
    static func error(_ message: String) { write("error", message) }

    private static func write(_ level: String, _ message: String) {
        var line = "time=\"\(LogTime.format(Clock.now()))\" level=\(level) msg=\""
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

/// RFC 3339 in UTC with as many fractional digits as are needed, the way Go's JSON encoder writes a time.
enum LogTime {
    static func format(_ time: (seconds: Int, nanoseconds: Int)) -> String {
        var broken = tm()
        var seconds = time.seconds
        gmtime_r(&seconds, &broken)
        var text = ""
        append(Int(broken.tm_year) + 1900, digits: 4, to: &text)
        text += "-"
        append(Int(broken.tm_mon) + 1, digits: 2, to: &text)
        text += "-"
        append(Int(broken.tm_mday), digits: 2, to: &text)
        text += "T"
        append(Int(broken.tm_hour), digits: 2, to: &text)
        text += ":"
        append(Int(broken.tm_min), digits: 2, to: &text)
        text += ":"
        append(Int(broken.tm_sec), digits: 2, to: &text)
        if time.nanoseconds > 0 {
            var fraction = time.nanoseconds
            var digits = 9
            while fraction % 10 == 0 {
                fraction /= 10
                digits -= 1
            }
            text += "."
            append(fraction, digits: digits, to: &text)
        }
        return text + "Z"
    }

    private static func append(_ number: Int, digits: Int, to text: inout String) {
        let plain = String(number)
        for _ in 0..<max(0, digits - plain.utf8.count) { text += "0" }
        text += plain
    }
}
