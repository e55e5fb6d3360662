package import CLinux
import Glibc

/// Unix stream sockets. Everything is close-on-exec and, where it says so, non-blocking.
package enum UnixSocket {
    /// The longest path that fits into `sun_path` with its terminator.
    package static let longestPath = 107
    /// The longest path that a client on SwiftNIO connects to, our daemons among them: it keeps to the smallest `sun_path` of any system.
    package static let longestPortablePath = 103

    /// Who is at the other end, as of its connect(2) or listen(2).
    package struct Peer: Sendable {
        package let pid: pid_t
        package let uid: uid_t
        package let gid: gid_t
    }

    /// Binds `path` and listens. The file has mode 0600 from its first instant: the umask is set around bind(2).
    /// - Throws: `SystemError`; EADDRINUSE when the path exists, ENAMETOOLONG beyond `longestPath`.
    package static func listen(at path: String, backlog: CInt = 128) throws(SystemError) -> OwnedFD {
        let file = try make()
        let raw = file.rawValue
        let mask = umask(0o177)
        defer { _ = umask(mask) }
        try withAddress(path) { (address, length) throws(SystemError) in try syscall("bind", on: path) { bind(raw, address, length) } }
        try syscall("listen", on: path) { Glibc.listen(raw, backlog) }
        return file
    }

    /// Connects without waiting; EAGAIN means that the listener's queue is full.
    package static func connect(to path: String) throws(SystemError) -> OwnedFD {
        let file = try make()
        let raw = file.rawValue
        try withAddress(path) { (address, length) throws(SystemError) in try syscall("connect", on: path) { Glibc.connect(raw, address, length) } }
        return file
    }

    /// Takes one waiting connection, non-blocking; nil when there is none (any more).
    package static func accept(_ listener: borrowing OwnedFD) throws(SystemError) -> OwnedFD? {
        while true {
            let raw = berth_accept4(listener.rawValue, CInt(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
            if raw >= 0 { return OwnedFD(adopting: raw) }
            switch errno {
            case EINTR, ECONNABORTED: continue
            case EAGAIN: return nil
            default: throw SystemError(call: "accept4", subject: "", errno: Errno(rawValue: errno))
            }
        }
    }

    package static func peer(of socket: borrowing OwnedFD) throws(SystemError) -> Peer {
        var who = berth_ucred()
        let raw = socket.rawValue
        try syscall("getsockopt", on: "SO_PEERCRED") { berth_peer_credentials(raw, &who) }
        return Peer(pid: who.pid, uid: who.uid, gid: who.gid)
    }

    /// The descriptor that one message carries, close-on-exec; nil when the message has none.
    package static func receiveDescriptor(_ socket: borrowing OwnedFD) throws(SystemError) -> OwnedFD? {
        let raw = socket.rawValue
        let received = try syscall("recvmsg", on: "descriptor") { berth_receive_fd(raw) }
        return received < 0 ? nil : OwnedFD(adopting: received)
    }

    package static func shutDownWriting(_ socket: borrowing OwnedFD) { _ = shutdown(socket.rawValue, CInt(SHUT_WR)) }

    private static func make() throws(SystemError) -> OwnedFD {
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        return OwnedFD(adopting: try syscall("socket", on: "AF_UNIX") { socket(AF_UNIX, kind, 0) })
    }

    private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> Void) throws(SystemError) {
        var address = sockaddr_un()
        let length = berth_unix_address(&address, path)
        guard length > 0 else { throw SystemError(call: "bind", subject: path, errno: Errno(rawValue: ENAMETOOLONG)) }
        // One pass through a Result, since withUnsafePointer does not carry a typed throw.
        let result: Result<Void, SystemError> = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { rebound in
                do throws(SystemError) { return .success(try body(rebound, length)) } catch { return .failure(error) }
            }
        }
        try result.get()
    }
}
