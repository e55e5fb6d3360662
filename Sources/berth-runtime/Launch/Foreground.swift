import BerthDefaults
import Glibc
import LinuxSystem

/// What the runtime does while a container or an exec'd process runs in the foreground: passes signals on, reaps, relays a terminal.
struct Foreground: ~Copyable {
    /// Signals are blocked from its creation on, so that none is lost between the launch and `wait`.
    private let signals: SignalDescriptor

    /// Those that mean the runtime itself, or nothing to a container.
    private static let own = [SIGKILL, SIGSTOP, SIGCHLD, SIGURG, SIGPIPE, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGTTOU, SIGTTIN, SIGTSTP]

    init() throws(RuntimeError) {
        let passed = (1..<CInt(65)).filter { !Self.own.contains($0) && $0 != 32 && $0 != 33 }
        signals = try attempt { () throws(SystemError) in try SignalDescriptor([SIGCHLD] + passed) }
    }

    /// Waits until the process has ended; its exit code as a shell would show it. `terminal` is the master of its terminal, `notify` where
    /// it says that it is ready.
    borrowing func wait(for child: borrowing ChildProcess, terminal: TerminalRelay?, notify: NotifySocket? = nil) throws(RuntimeError) -> CInt {
        var notify = notify
        while true {
            let streams = terminal?.descriptors ?? []
            let descriptors = [signals.file.rawValue] + streams + (notify.map { [$0.descriptor] } ?? [])
            let ready = try attempt { () throws(SystemError) in try Processes.poll(descriptors) }
            for position in ready where position > 0 && position <= streams.count { terminal?.relay(position - 1) }
            if notify?.relay(pid: child.pid) == true { notify = nil }
            guard ready.contains(0) else { continue }
            while let number = signals.next() {
                if number == SIGCHLD {
                    while let (pid, status) = Processes.reap() {
                        guard pid == child.pid else { continue }
                        terminal?.drain()
                        return status.code
                    }
                } else if number == SIGWINCH, terminal != nil {
                    terminal?.copySize()
                } else {
                    try? Processes.signal(number, to: child.pidfd, name: "container")
                }
            }
        }
    }
}
