import CLinux
import Glibc

/// One message on a SEQPACKET or STREAM unix socket, with the descriptors that came along.
package struct ReceivedMessage: ~Copyable {
    package let bytes: [UInt8]
    /// Owned by the receiver; `takeDescriptors` hands them over.
    private var descriptors: [CInt]

    fileprivate init(bytes: [UInt8], descriptors: [CInt]) {
        self.bytes = bytes
        self.descriptors = descriptors
    }

    /// The raw descriptors; the caller owns them from here on and closes each.
    package mutating func takeDescriptors() -> [CInt] {
        let taken = descriptors
        descriptors = []
        return taken
    }

    deinit { for fd in descriptors { close(fd) } }
}

/// Two connected sockets, one for each side of a fork. Either can be taken out once; what is not taken is closed with the pair.
package final class SocketPair {
    private var ends: (CInt, CInt)

    fileprivate init(_ first: CInt, _ second: CInt) { ends = (first, second) }

    package var childDescriptor: CInt { ends.1 }

    package func takeParent() -> OwnedFD {
        defer { ends.0 = -1 }
        return OwnedFD(adopting: ends.0)
    }

    package func takeChild() -> OwnedFD {
        defer { ends.1 = -1 }
        return OwnedFD(adopting: ends.1)
    }

    deinit { for fd in [ends.0, ends.1] where fd >= 0 { close(fd) } }
}

/// Messages with descriptors (SCM_RIGHTS, unix(7)).
package enum DescriptorPassing {
    /// A connected pair of SEQPACKET sockets: message boundaries are kept, and the end of the other side is an empty message.
    package static func pair() throws(SystemError) -> SocketPair {
        var fds: [CInt] = [-1, -1]
        try syscall("socketpair", on: "") { socketpair(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0, &fds) }
        return SocketPair(fds[0], fds[1])
    }

    /// Connects to a stream socket in the filesystem.
    package static func connect(_ path: String) throws(SystemError) -> OwnedFD {
        let file = OwnedFD(adopting: try syscall("socket", on: path) { socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0) })
        let fd = file.rawValue
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        // A path longer than the address holds is reached through its directory's descriptor.
        guard path.utf8.count < room else { throw SystemError(call: "connect", subject: path, errno: Errno(rawValue: ENAMETOOLONG)) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        try withUnsafePointer(to: &address) { (pointer) throws(SystemError) in
            let raw = UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self)
            try syscall("connect", on: path) { Glibc.connect(fd, raw, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        return file
    }

    /// Sends one message. The descriptors stay the caller's.
    package static func send(_ bytes: [UInt8], descriptors: [CInt] = [], over socket: borrowing OwnedFD, name: String) throws(SystemError) {
        try send(bytes, descriptors: descriptors, overRaw: socket.rawValue, name: name)
    }

    /// The same for a socket that somebody else owns.
    package static func send(_ bytes: [UInt8], descriptors: [CInt] = [], overRaw fd: CInt, name: String) throws(SystemError) {
        var payload = bytes
        var control = [UInt8](repeating: 0, count: berth_rights_space(max(descriptors.count, 1)))
        let sent = payload.withUnsafeMutableBytes { data in
            control.withUnsafeMutableBytes { room in
                var vector = iovec(iov_base: data.baseAddress, iov_len: data.count)
                return withUnsafeMutablePointer(to: &vector) { vectors in
                    var message = msghdr()
                    message.msg_iov = vectors
                    message.msg_iovlen = 1
                    if !descriptors.isEmpty {
                        message.msg_control = room.baseAddress
                        message.msg_controllen = room.count
                        berth_rights_put(&message, descriptors, descriptors.count)
                    }
                    while true {
                        let count = sendmsg(fd, &message, CInt(MSG_NOSIGNAL))
                        if count != -1 || errno != EINTR { return count == -1 ? Errno(rawValue: errno) : nil }
                    }
                }
            }
        }
        if let sent { throw SystemError(call: "sendmsg", subject: name, errno: sent) }
    }

    /// Receives one message of at most `room` bytes; an empty one means that the other side is closed.
    package static func receive(from socket: borrowing OwnedFD, room: Int = 65536, name: String) throws(SystemError) -> ReceivedMessage {
        let fd = socket.rawValue
        var payload = [UInt8](repeating: 0, count: room)
        var control = [UInt8](repeating: 0, count: berth_rights_space(64))
        var fds = [CInt](repeating: -1, count: 64)
        var failure: Errno?
        var fdCount = 0
        let count = payload.withUnsafeMutableBytes { data in
            control.withUnsafeMutableBytes { space in
                var vector = iovec(iov_base: data.baseAddress, iov_len: data.count)
                return withUnsafeMutablePointer(to: &vector) { vectors in
                    var message = msghdr()
                    message.msg_iov = vectors
                    message.msg_iovlen = 1
                    message.msg_control = space.baseAddress
                    message.msg_controllen = space.count
                    var count = 0
                    repeat { count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC) } while count == -1 && errno == EINTR
                    if count == -1 { failure = Errno(rawValue: errno) } else { fdCount = berth_rights_get(&message, &fds, fds.count) }
                    return count
                }
            }
        }
        if let failure { throw SystemError(call: "recvmsg", subject: name, errno: failure) }
        return ReceivedMessage(bytes: Array(payload[..<count]), descriptors: Array(fds[..<fdCount]))
    }
}
