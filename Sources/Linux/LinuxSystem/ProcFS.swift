package import CLinux
import Glibc

/// One line of /proc/PID/stat. Kernel: proc_pid_stat(5).
package struct ProcessStat: Sendable {
    /// "R", "S", "Z" ….
    package let state: Character
    package let parent: pid_t
    /// Ticks since boot. Together with the pid it names a process for good: a reused pid has another start time.
    package let startTime: UInt64

    /// - Throws: ENOENT or ESRCH when there is no such process.
    package static func of(_ pid: pid_t) throws(SystemError) -> ProcessStat {
        let path = "/proc/" + String(decimal: Int(pid)) + "/stat"
        let fields = try fields(of: path)
        guard fields.count > 19, let state = fields[0].first, let parent = number(fields[1]), let start = number(fields[19]) else {
            throw SystemError(call: "parse", subject: path, errno: .invalid)
        }
        return ProcessStat(state: Character(Unicode.Scalar(state)), parent: pid_t(truncatingIfNeeded: parent), startTime: start)
    }

    /// The fields from the third one on: `[0]` is the state.
    static func fields(of path: String) throws(SystemError) -> [ArraySlice<UInt8>] {
        let text = try Files.readAll(path)
        // The name, in parentheses, may itself contain parentheses and spaces: count from the last one.
        guard let close = text.lastIndex(of: UInt8(ascii: ")")) else { throw SystemError(call: "parse", subject: path, errno: .invalid) }
        return text[(close + 1)...].split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
    }

    static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for digit in digits {
            guard digit &- UInt8(ascii: "0") <= 9 else { return nil }
            value = value &* 10 &+ UInt64(digit &- UInt8(ascii: "0"))
        }
        return digits.isEmpty ? nil : value
    }

    /// Neither dead nor a zombie.
    package var isAlive: Bool { state != "Z" && state != "X" }
}

/// Handles on a procfs that stay good after the root has changed, so that no write to /proc can be redirected by what a container put there.
package struct ProcHandle: ~Copyable {
    private let directory: OwnedFD

    /// Of the caller's own /proc, checked to be the real thing.
    package init(_ path: String = "/proc") throws(SystemError) {
        let opened = try Files.open(path, O_PATH | O_DIRECTORY)
        guard try Self.isProc(opened, name: path) else {
            throw SystemError(call: "open", subject: "\(path) (not procfs)", errno: .noDevice)
        }
        directory = opened
    }

    /// Whether a file lies in a procfs, whoever mounted it where.
    package static func isProc(_ file: borrowing OwnedFD, name: String) throws(SystemError) -> Bool {
        try Mounts.filesystem(of: file, name: name).f_type == 0x9fa0  // PROC_SUPER_MAGIC
    }

    package var rawValue: CInt { directory.rawValue }

    /// Opens a path below it, such as "self/fd/5"; magic links work.
    package borrowing func open(_ path: String, _ flags: CInt) throws(SystemError) -> OwnedFD { try Files.open(path, flags, at: directory) }

    package borrowing func write(_ text: String, to path: String) throws(SystemError) {
        let file = try open(path, O_WRONLY)
        try Files.writeAll(Array(text.utf8), to: file, name: "/proc/\(path)")
    }

    package borrowing func read(_ path: String) throws(SystemError) -> String {
        let file = try open(path, O_RDONLY)
        return String(decoding: try Files.readAll(file, name: "/proc/\(path)"), as: UTF8.self)
    }
}
