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
        let path = "/proc/\(pid)/stat"
        let text = try Files.readAll(path)
        // The name, in parentheses, may itself contain parentheses and spaces: count from the last one.
        guard let close = text.lastIndex(of: UInt8(ascii: ")")) else { throw SystemError(call: "parse", subject: path, errno: .invalid) }
        let fields = text[(close + 1)...].split(separator: UInt8(ascii: " "), maxSplits: 20)
        guard fields.count > 19, let state = fields[0].first, let parent = number(fields[1]), let start = number(fields[19]) else {
            throw SystemError(call: "parse", subject: path, errno: .invalid)
        }
        return ProcessStat(state: Character(Unicode.Scalar(state)), parent: pid_t(truncatingIfNeeded: parent), startTime: start)
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
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
        guard try Mounts.filesystem(of: opened, name: path).f_type == 0x9fa0 else {
            throw SystemError(call: "open", subject: "\(path) (not procfs)", errno: .noDevice)
        }
        directory = opened
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
