package import CLinux
import Glibc

/// How a process ended.
package enum ExitStatus: Sendable, Equatable {
    case exited(CInt)
    case signalled(CInt)

    /// The number a shell would show: 128 + n for signal n.
    package var code: CInt {
        switch self {
        case .exited(let code): code
        case .signalled(let signal): 128 + signal
        }
    }
}

/// A child made by `Processes.clone`, with the descriptor that names it for good.
package struct ChildProcess: ~Copyable {
    package let pid: pid_t
    package let pidfd: OwnedFD

    package init(pid: pid_t, pidfd: consuming OwnedFD) {
        self.pid = pid
        self.pidfd = pidfd
    }
}

/// Starting, signalling and waiting for processes. Only for programs with one thread: the child goes on in a copy of the whole program.
package enum Processes {
    /// clone3(2) as fork. The child starts with default signal handlers and an empty signal mask and runs `body`, which ends in `execute` or `leave`.
    ///
    /// - Parameters:
    ///   - namespaces: created for the child.
    ///   - cgroup: directory descriptor of the cgroup v2 the child is born in, Linux 5.7.
    ///   - asSibling: the child's parent is the caller's parent (CLONE_PARENT), and nobody here can wait for it.
    package static func clone(
        namespaces: [NamespaceKind] = [], cgroup: CInt? = nil, asSibling: Bool = false, subject: String, _ body: () -> Never
    ) throws(SystemError) -> ChildProcess {
        var pidfd: CInt = -1
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        sigprocmask(SIG_BLOCK, &all, &before)
        let pid: pid_t
        do throws(SystemError) {
            pid = try withUnsafeMutablePointer(to: &pidfd) { (slot) throws(SystemError) in
                var args = clone_args()
                args.flags = namespaces.reduce(UInt64(0x1000)) { $0 | $1.cloneFlag } | (asSibling ? 0x8000 : 0)  // CLONE_PIDFD, CLONE_PARENT
                args.pidfd = UInt64(UInt(bitPattern: slot))
                args.exit_signal = asSibling ? 0 : UInt64(SIGCHLD)
                if let cgroup {
                    args.flags |= 0x2_0000_0000  // CLONE_INTO_CGROUP
                    args.cgroup = UInt64(cgroup)
                }
                return try syscall("clone3", on: subject) { berth_clone3(&args) }
            }
        } catch {
            sigprocmask(SIG_SETMASK, &before, nil)
            throw error
        }
        if pid == 0 {
            resetSignals()
            body()
        }
        sigprocmask(SIG_SETMASK, &before, nil)
        return ChildProcess(pid: pid, pidfd: OwnedFD(adopting: pidfd))
    }

    /// Writing to a socket whose other side is gone is an error, not the end of the program. Children start with the default again.
    package static func ignorePipeSignal() { _ = Glibc.signal(SIGPIPE, SIG_IGN) }

    /// For a program that is over in milliseconds: malloc takes memory in larger pieces and returns none, instead of moving the end of the heap to and fro (mallopt(3)).
    package static func keepFreedMemory() {
        mallopt(M_TRIM_THRESHOLD, 64 << 20)
        mallopt(M_TOP_PAD, 512 << 10)
    }

    /// Default handlers for every signal and nothing blocked, as a freshly started program expects it.
    package static func resetSignals() {
        for number in 1..<CInt(65) where number != SIGKILL && number != SIGSTOP { _ = Glibc.signal(number, SIG_DFL) }
        var none = sigset_t()
        sigemptyset(&none)
        sigprocmask(SIG_SETMASK, &none, nil)
    }

    /// Has these signals end the process, as they do for all but the first of a pid namespace.
    package static func leave(on signals: [CInt]) { for number in signals { _ = Glibc.signal(number) { _exit(128 + $0) } } }

    /// Ends the process at once, without handlers of the program it was copied from.
    package static func leave(_ code: CInt) -> Never { _exit(code) }

    /// Becomes another program. Comes back only with an error.
    package static func execute(_ path: String, arguments: [String], environment: [String]) -> SystemError {
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
        execve(path, &argv, &envp)
        return SystemError(call: "exec", subject: path, errno: Errno(rawValue: Glibc.errno))
    }

    /// Becomes the program behind a descriptor.
    package static func execute(_ file: borrowing OwnedFD, name: String, arguments: [String], environment: [String]) -> SystemError {
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
        _ = berth_execveat(file.rawValue, "", &argv, &envp, AT_EMPTY_PATH)
        return SystemError(call: "exec", subject: name, errno: Errno(rawValue: Glibc.errno))
    }

    /// Becomes the program behind a descriptor with the caller's own arguments and environment.
    ///
    /// A program without a path of its own has Swift's start-up look for a backtrace helper in the working directory: not with this variable set.
    package static func executeAgain(_ file: borrowing OwnedFD, name: String) -> SystemError {
        setenv("SWIFT_BACKTRACE", "enable=no", 1)
        _ = berth_execveat(file.rawValue, "", ProgramArguments.vector, environ, AT_EMPTY_PATH)
        return SystemError(call: "exec", subject: name, errno: Errno(rawValue: Glibc.errno))
    }

    /// Waits until the child `pid` has ended and reaps it.
    package static func wait(for pid: pid_t) throws(SystemError) -> ExitStatus {
        var status: CInt = 0
        try syscall("waitpid", on: String(decimal: Int(pid))) { waitpid(pid, &status, 0) }
        return exitStatus(status)
    }

    /// How a child has ended, leaving it for whoever waits for it; nil while it runs.
    package static func peek(at pid: pid_t) -> ExitStatus? {
        var info = siginfo_t()
        guard waitid(P_PID, id_t(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0, info.si_signo == SIGCHLD else { return nil }
        let status = info._sifields._sigchld.si_status
        return info.si_code == CInt(CLD_EXITED) ? .exited(status) : .signalled(status)
    }

    /// Reaps one child that has ended, if there is one. Nil when there is none now, also when there are no children at all.
    package static func reap() -> (pid: pid_t, status: ExitStatus)? {
        var status: CInt = 0
        let pid = waitpid(-1, &status, WNOHANG)
        return pid > 0 ? (pid, exitStatus(status)) : nil
    }

    private static func exitStatus(_ status: CInt) -> ExitStatus {
        berth_exited(status) != 0 ? .exited(berth_exit_status(status)) : .signalled(berth_term_signal(status))
    }

    /// A descriptor for an existing process. - Throws: ESRCH when there is none.
    package static func open(_ pid: pid_t) throws(SystemError) -> OwnedFD {
        OwnedFD(adopting: try syscall("pidfd_open", on: String(decimal: Int(pid))) { berth_pidfd_open(pid, 0) })
    }

    /// Signals exactly the process behind the descriptor, however its number may have been reused.
    package static func signal(_ number: CInt, to process: borrowing OwnedFD, name: String) throws(SystemError) {
        let fd = process.rawValue
        try syscall("kill", on: name) { berth_pidfd_send_signal(fd, number) }
    }

    package static func kill(_ pid: pid_t, _ number: CInt) throws(SystemError) { try syscall("kill", on: String(decimal: Int(pid))) { Glibc.kill(pid, number) } }

    /// Marks every descriptor from `first` on close-on-exec.
    package static func closeOnExec(from first: CInt) throws(SystemError) {
        try syscall("close_range", on: "\(first)-") { berth_close_range(UInt32(first), UInt32.max, 4) }
    }

    /// Closes every descriptor from `first` on but those; who owns one of the others must not use it any more.
    package static func close(from first: CInt, except kept: [CInt]) throws(SystemError) {
        var next = UInt32(first)
        for number in kept.sorted() where number >= first {
            if UInt32(number) > next { try syscall("close_range", on: "\(next)-\(number)") { berth_close_range(next, UInt32(number) - 1, 0) } }
            next = max(next, UInt32(number) + 1)
        }
        try syscall("close_range", on: "\(next)-") { berth_close_range(next, UInt32.max, 0) }
    }

    /// Makes `number` refer to the same open file, without close-on-exec: what the next program shall have.
    package static func passOn(_ file: borrowing OwnedFD, as number: CInt) throws(SystemError) {
        let fd = file.rawValue
        if fd == number {
            try syscall("fcntl", on: "descriptor \(number)") { fcntl(fd, F_SETFD, 0) }
        } else {
            try syscall("dup2", on: "descriptor \(number)") { dup2(fd, number) }
        }
    }

    /// Waits until one of `descriptors` is readable or hung up. Returns the positions of those, none after `timeoutMilliseconds` (-1: for ever).
    package static func poll(_ descriptors: [CInt], timeoutMilliseconds: CInt = -1) throws(SystemError) -> [Int] {
        var entries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        try syscall("poll", on: "") { Glibc.poll(&entries, nfds_t(entries.count), timeoutMilliseconds) }
        return entries.indices.filter { entries[$0].revents != 0 }
    }
}

extension Processes {
    /// The number of the process behind a pidfd, in the caller's pid namespace. - Throws: ESRCH when it has none there or is gone.
    package static func pid(of pidfd: borrowing OwnedFD) throws(SystemError) -> pid_t {
        let path = "/proc/self/fdinfo/\(pidfd.rawValue)"
        for line in try Files.readText(path).fields(by: "\n") where line.hasPrefix("Pid:") {
            if let pid = pid_t(line.dropFirst(4).drop { $0 == " " || $0 == "\t" }), pid > 0 { return pid }
        }
        throw SystemError(call: "read", subject: path, errno: .noSuchProcess)
    }

    /// Sleeps until a signal ends the process.
    package static func pause() { _ = Glibc.pause() }
}
