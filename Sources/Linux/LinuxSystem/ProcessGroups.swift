import CLinux
import Glibc

extension Processes {
    /// Makes the calling process the leader of a group of its own, and that group the terminal's foreground where standard input is one.
    ///
    /// SIGTTOU would stop a background process that asks for this, so it is ignored meanwhile.
    package static func leadForegroundGroup() {
        setpgid(0, 0)
        _ = Glibc.signal(SIGTTOU, SIG_IGN)
        tcsetpgrp(STDIN_FILENO, getpgrp())
        _ = Glibc.signal(SIGTTOU, SIG_DFL)
    }

    /// Becomes the program of that name from PATH, with this process's environment. Comes back only with an error.
    package static func executeFromPath(_ arguments: [String]) -> SystemError {
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        if let program = argv[0] { execvp(program, &argv) }
        return SystemError(call: "exec", subject: arguments.first ?? "", errno: Errno(rawValue: Glibc.errno))
    }
}
