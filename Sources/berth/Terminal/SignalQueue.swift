import Glibc
import LinuxSystem

/// Signals as readable events: blocked, and read from a signalfd(2), so that one poll loop sees them beside the sockets.
final class SignalQueue {
    private let signals: SignalDescriptor
    private var previous = sigset_t()

    /// Blocks `signals` for the program until this object goes.
    init(_ signals: [CInt]) throws(SystemError) {
        sigprocmask(SIG_BLOCK, nil, &previous)
        self.signals = try SignalDescriptor(signals)
    }

    /// For poll(2).
    var descriptor: CInt { signals.file.rawValue }

    /// The next signal that has arrived; nil when there is none.
    func next() -> CInt? { signals.next() }

    deinit { sigprocmask(SIG_SETMASK, &previous, nil) }

    /// Those Docker passes on to a container: everything that can be caught, except what the client needs itself.
    static var forwardable: [CInt] {
        let own: Set<CInt> = [SIGCHLD, SIGPIPE, SIGURG, SIGWINCH, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTTIN, SIGTTOU]
        return (1..<CInt(32)).filter { !own.contains($0) }
    }

    /// By number to name, as the engine's `kill` takes it.
    static func name(_ signal: CInt) -> String {
        let names: [CInt: String] = [
            SIGHUP: "HUP", SIGINT: "INT", SIGQUIT: "QUIT", SIGTRAP: "TRAP", SIGUSR1: "USR1", SIGUSR2: "USR2", SIGALRM: "ALRM", SIGTERM: "TERM",
            SIGCONT: "CONT", SIGTSTP: "TSTP", SIGXCPU: "XCPU", SIGXFSZ: "XFSZ", SIGVTALRM: "VTALRM", SIGPROF: "PROF", SIGIO: "IO", SIGPWR: "PWR",
            SIGSYS: "SYS", SIGSTKFLT: "STKFLT",
        ]
        return names[signal] ?? String(signal)
    }
}
