import Glibc
import LinuxSystem
import Netlink

/// Holds a port of the host with a socket, so that no other program can take it while it is published.
///
/// The packet filter carries the traffic past this socket. Should packets reach it all the same, as in the moment after somebody flushed the rules, a filter on the
/// socket discards them: the peer tries again and finds the container, instead of being refused. When the daemon dies the port is unguarded until it is back; traffic is not affected.
final class HostPortReservation: Sendable {
    let proto: PortProtocol
    let address: IPAddress
    let port: UInt16
    private let file: OwnedFD

    /// - Parameter isRelayed: packets for this socket are wanted: a `PortRelay` takes connections from it.
    /// - Throws: EADDRINUSE when a program on the host has the port; EADDRNOTAVAIL when the address is not the host's.
    init(_ proto: PortProtocol, _ address: IPAddress, port: UInt16, isRelayed: Bool = false) throws(SystemError) {
        self.proto = proto
        self.address = address
        self.port = port
        let subject = "\(address):\(port)/\(proto.rawValue)"
        let domain = address.family == .v4 ? AF_INET : AF_INET6
        let (kind, number) =
            switch proto {
            case .tcp: (CInt(SOCK_STREAM.rawValue), CInt(IPPROTO_TCP))
            case .udp: (CInt(SOCK_DGRAM.rawValue), CInt(IPPROTO_UDP))
            case .sctp: (CInt(SOCK_STREAM.rawValue), CInt(132))
            }
        let raw: CInt
        do throws(SystemError) {
            raw = try syscall("socket", on: subject) { socket(domain, kind | CInt(SOCK_CLOEXEC.rawValue), number) }
        } catch where proto == .sctp && error.errno.rawValue == EPROTONOSUPPORT {
            // Without the sctp module no program of the host can have the port either.
            file = OwnedFD(adopting: try syscall("socket", on: subject) { socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0) })
            return
        }
        file = OwnedFD(adopting: raw)
        if !isRelayed { try Self.discardEverything(raw, subject) }
        func set(_ level: CInt, _ option: CInt, _ name: StaticString) throws(SystemError) {
            var one: CInt = 1
            try syscall("setsockopt", on: "\(name) of \(subject)") { setsockopt(raw, level, option, &one, socklen_t(MemoryLayout<CInt>.size)) }
        }
        if domain == AF_INET6 { try set(CInt(IPPROTO_IPV6), IPV6_V6ONLY, "IPV6_V6ONLY") }
        // Connections of a former owner that linger in TIME_WAIT do not matter; whether somebody else has the port, listen tells.
        if proto != .udp { try set(SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR") }
        _ = try SocketAddress.withBytes(of: address, port: port) { (pointer, length) throws(SystemError) in
            try syscall("bind", on: subject) { bind(raw, pointer, length) }
        }
        if proto != .udp { try syscall("listen", on: subject) { listen(raw, isRelayed ? 512 : 1) } }
    }

    /// A second descriptor of the socket, for the relay.
    func duplicate() throws(SystemError) -> OwnedFD { try file.duplicate() }

    /// Attaches a classic BPF program of one instruction, "return 0": nothing is received.
    private static func discardEverything(_ raw: CInt, _ subject: String) throws(SystemError) {
        // struct sock_filter { u16 code; u8 jt, jf; u32 k } and struct sock_fprog { u16 len; sock_filter *filter }, BPF_RET | BPF_K = 6.
        var instruction: (UInt16, UInt8, UInt8, UInt32) = (6, 0, 0, 0)
        try withUnsafeMutablePointer(to: &instruction) { (pointer) throws(SystemError) in
            var program: (UInt16, UnsafeMutableRawPointer) = (1, UnsafeMutableRawPointer(pointer))
            try syscall("setsockopt", on: "SO_ATTACH_FILTER of \(subject)") {
                setsockopt(raw, SOL_SOCKET, SO_ATTACH_FILTER, &program, socklen_t(MemoryLayout.size(ofValue: program)))
            }
        }
    }
}

/// `sockaddr_in` and `sockaddr_in6` from our addresses.
enum SocketAddress {
    static func withBytes<Result>(of address: IPAddress, port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> Result) throws(SystemError) -> Result {
        var storage = sockaddr_storage()
        let length: Int
        switch address {
        case .v4(let value):
            var inet = sockaddr_in()
            inet.sin_family = sa_family_t(AF_INET)
            inet.sin_port = port.bigEndian
            inet.sin_addr.s_addr = value.bigEndian
            length = MemoryLayout<sockaddr_in>.size
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: inet, as: sockaddr_in.self) }
        case .v6(let value):
            var inet = sockaddr_in6()
            inet.sin6_family = sa_family_t(AF_INET6)
            inet.sin6_port = port.bigEndian
            length = MemoryLayout<sockaddr_in6>.size
            withUnsafeMutableBytes(of: &storage) {
                $0.storeBytes(of: inet, as: sockaddr_in6.self)
                $0.storeBytes(of: value.bigEndian, toByteOffset: 8, as: UInt128.self)
            }
        }
        let pointer = UnsafeMutablePointer<sockaddr_storage>.allocate(capacity: 1)
        defer { pointer.deallocate() }
        pointer.initialize(to: storage)
        return try body(UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), socklen_t(length))
    }
}
