import Glibc
import LinuxSystem

/// The first process of a container that was made with `--init`: starts the command, passes signals on, reaps every orphan, and ends as the command ended.
///
///     berth-init -- COMMAND [ARGUMENT...]
///
/// It is mounted into the container as /sbin/docker-init, so it is static and needs nothing from the image. The command leads a process group of
/// its own, as with tini, so that a shell's job control works on a terminal.
@main
struct BerthInit {
    /// Faults of this process itself and what the kernel makes of the terminal are not for the command.
    private static let own: Set<CInt> = [SIGCHLD, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGTTIN, SIGTTOU, SIGKILL, SIGSTOP]

    static func main() {
        var command = Array(ProgramArguments.all.dropFirst())
        if command.first == "--" { command.removeFirst() }
        guard !command.isEmpty else { fail("usage: berth-init -- COMMAND [ARGUMENT...]", code: 1) }
        do throws(SystemError) { try run(command) } catch { fail("berth-init: \(error)", code: 1) }
    }

    private static func run(_ command: [String]) throws(SystemError) {
        // Blocked before the fork, so that no signal is lost between the two.
        var wanted: [CInt] = [SIGCHLD]
        for signal in 1...CInt(31) where !own.contains(signal) { wanted.append(signal) }
        let signals = try SignalDescriptor(wanted)
        let child = try Fork.split()
        if child == 0 { become(command) }
        while true {
            _ = try Processes.poll([signals.file.rawValue])
            while let signal = signals.next() {
                if signal != SIGCHLD { try? Children.send(signal, to: child) }
            }
            while let ended = Children.reap() {
                if ended.pid == child { Processes.leave(CInt(ended.status)) }
            }
        }
    }

    private static func become(_ command: [String]) -> Never {
        Processes.leadForegroundGroup()
        Processes.resetSignals()
        let error = Processes.executeFromPath(command)
        // 127 and 126 as a shell has them.
        fail("berth-init: \(error)", code: error.errno == .noSuchFile ? 127 : 126)
    }

    private static func fail(_ text: String, code: CInt) -> Never {
        var line = text + "\n"
        _ = line.withUTF8 { write(2, $0.baseAddress, $0.count) }
        Processes.leave(code)
    }
}
