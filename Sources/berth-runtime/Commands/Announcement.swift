import BerthDefaults
import Glibc
import LinuxSystem

/// Tells the runtime's caller which process was started.
enum Announcement {
    /// Writes the pid file, atomically and without a line feed, as conmon and containerd read it; sends a pidfd where one was asked for.
    static func make(child: borrowing ChildProcess, pidFile: String?, pidfdSocket: String?, kind: String) throws(RuntimeError) {
        if let pidfdSocket {
            try during("pidfd socket") { () throws(SystemError) in
                let socket = try DescriptorPassing.connect(pidfdSocket)
                try DescriptorPassing.send(Array(kind.utf8), descriptors: [child.pidfd.rawValue], over: socket, name: pidfdSocket)
            }
        }
        if let pidFile {
            try during("pid file") { () throws(SystemError) in try Files.replace(pidFile, with: Array("\(child.pid)".utf8), mode: 0o644) }
        }
    }
}

/// Descriptors of the runtime's caller that the container gets.
enum Descriptors {
    /// Sockets of socket activation, sd_listen_fds(3): they come before those of `--preserve-fds`.
    static var listening: Int { getenv("LISTEN_FDS").flatMap { Int(String(cString: $0)) }.map { min(max($0, 0), 1024) } ?? 0 }

    /// What tells the program about them; it is process 1 of the container.
    static var listeningEnvironment: [String] { listening > 0 ? ["LISTEN_FDS=\(listening)", "LISTEN_PID=1"] : [] }

    /// `--preserve-fds N` and $LISTEN_FDS: descriptors 3 up to that many. Numbers in between that are not open stay free, as in crun; runc refuses them.
    ///
    /// What the runtime itself opens may take such a number. It is close-on-exec like everything from `Files`, and does not reach the program.
    static func preserved(_ options: ParsedOptions) throws(RuntimeError) -> Int {
        let count = (try options.integer("preserve-fds") ?? 0) + listening
        guard (0...4096).contains(count) else { throw RuntimeError(.invalidArgument, "--preserve-fds \(count): out of range") }
        return count
    }
}
