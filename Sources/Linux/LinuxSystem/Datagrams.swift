import CLinux
import Glibc

/// Unix datagram sockets: messages without a connection.
package enum UnixDatagram {
    /// A socket at `path`, not blocking, that everybody may send to. The directory decides who can reach it.
    /// - Throws: ENAMETOOLONG beyond 107 bytes; a path through /proc/self/fd keeps it short.
    package static func bind(at path: String) throws(SystemError) -> OwnedFD {
        let file = try make()
        let raw = file.rawValue
        let mask = umask(0o111)
        defer { _ = umask(mask) }
        try withAddress(path) { (address, length) in Glibc.bind(raw, address, length) }
        return file
    }

    /// Sends one message to the socket at `path`; "@" at its start stands for the NUL of an abstract name.
    package static func send(_ bytes: [UInt8], to path: String) throws(SystemError) {
        let file = try make()
        let raw = file.rawValue
        try withAddress(path) { (address, length) in
            sendto(raw, bytes, bytes.count, CInt(MSG_NOSIGNAL), address, length) == bytes.count ? 0 : -1
        }
    }

    /// The next message, nil when there is none now.
    package static func receive(_ socket: borrowing OwnedFD, room: Int = 4096) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: room)
        let count = recv(socket.rawValue, &buffer, room, CInt(MSG_DONTWAIT))
        return count >= 0 ? Array(buffer[..<count]) : nil
    }

    private static func make() throws(SystemError) -> OwnedFD {
        let kind = CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue)
        return OwnedFD(adopting: try syscall("socket", on: "AF_UNIX") { socket(AF_UNIX, kind, 0) })
    }

    private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) throws(SystemError) {
        var name = Array(path.utf8)
        let isAbstract = name.first == UInt8(ascii: "@")
        if isAbstract { name[0] = 0 }
        guard name.count <= 107 else { throw SystemError(call: "connect", subject: path, errno: Errno(rawValue: ENAMETOOLONG)) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count + (isAbstract ? 0 : 1))
        try syscall("sendto", on: path) {
            withUnsafePointer(to: &address) { pointer in pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) } }
        }
    }
}
