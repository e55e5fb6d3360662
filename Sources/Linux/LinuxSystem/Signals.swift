package import CLinux
import Glibc

/// What signals are called.
package enum SignalName {
    /// "killed", "bad system call": strsignal(3) in lower case.
    package static func text(of number: CInt) -> String { strsignal(number).map { String(cString: $0).lowercased() } ?? "\(number)" }
}

/// Signals as events of a descriptor (signalfd(2)): no handler ever runs, so nothing has to be async-signal-safe.
package struct SignalDescriptor: ~Copyable {
    package let file: OwnedFD

    /// Blocks `signals` and delivers them through `file` from now on. Programs started later get them unblocked again (`SpawnRequest`).
    package init(_ signals: [CInt]) throws(SystemError) {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        try syscall("sigprocmask", on: "SIG_BLOCK") { sigprocmask(SIG_BLOCK, &set, nil) }
        file = OwnedFD(adopting: try syscall("signalfd", on: "") { signalfd(-1, &set, CInt(SFD_CLOEXEC | SFD_NONBLOCK)) })
    }

    /// The next queued signal, nil when there is none.
    package borrowing func next() -> CInt? {
        var info = signalfd_siginfo()
        return read(file.rawValue, &info, MemoryLayout<signalfd_siginfo>.size) == MemoryLayout<signalfd_siginfo>.size ? CInt(info.ssi_signo) : nil
    }
}

/// How a child ended, as a shell counts: its exit code, or 128 and the signal's number.
package struct ChildExit: Sendable, Equatable {
    package let pid: pid_t
    package let status: UInt32

    package init(pid: pid_t, status: UInt32) {
        self.pid = pid
        self.status = status
    }

    init(pid: pid_t, waitStatus: CInt) {
        self.pid = pid
        let signal = waitStatus & 0x7f
        status = signal == 0 ? UInt32((waitStatus >> 8) & 0xff) : 128 + UInt32(signal)
    }
}

package enum Children {
    /// Reaps one child that has ended; nil when there is none.
    package static func reap() -> ChildExit? {
        var status: CInt = 0
        while true {
            let pid = waitpid(-1, &status, WNOHANG)
            if pid > 0 { return ChildExit(pid: pid, waitStatus: status) }
            if pid == -1 && errno == EINTR { continue }
            return nil
        }
    }

    /// Waits for one child.
    package static func wait(for pid: pid_t) throws(SystemError) -> ChildExit {
        var status: CInt = 0
        try syscall("waitpid", on: "\(pid)") { waitpid(pid, &status, 0) }
        return ChildExit(pid: pid, waitStatus: status)
    }

    /// Orphaned descendants become children of this process (prctl(2), PR_SET_CHILD_SUBREAPER).
    package static func becomeSubreaper() throws(SystemError) { try syscall("prctl", on: "PR_SET_CHILD_SUBREAPER") { berth_prctl(CInt(PR_SET_CHILD_SUBREAPER), 1, 0, 0, 0) } }

    package static func send(_ signal: CInt, to pid: pid_t) throws(SystemError) { try syscall("kill", on: "\(pid) with signal \(signal)") { kill(pid, signal) } }
}
