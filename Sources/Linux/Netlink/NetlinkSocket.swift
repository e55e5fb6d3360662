import CLinux
import Glibc
package import LinuxSystem

/// Carries datagrams to and from the kernel; a protocol, so that tests replay recorded bytes.
package protocol NetlinkTransport: AnyObject {
    func send(_ bytes: [UInt8]) throws(SystemError)
    /// The next datagram, whole.
    func receive() throws(SystemError) -> [UInt8]
}

/// A netlink socket, bound to a port of the kernel's choice in the network namespace that the opening thread was in.
///
/// It stays in that namespace whatever its users do afterwards. One thread at a time.
package final class NetlinkSocket: NetlinkTransport {
    private let file: OwnedFD
    private var buffer = [UInt8](repeating: 0, count: 32 * 1024)
    /// What fits into the kernel's buffers for certain: half of net.core.wmem_default and rmem_default as they come, for the kernel doubles what it is asked for.
    private var sendCapacity = 96 * 1024
    private var receiveCapacity = 96 * 1024

    /// - Parameters:
    ///   - family: NETLINK_ROUTE (0) or another of netlink(7).
    ///   - groups: multicast groups to join, by number.
    package init(family: CInt = 0, groups: [CInt] = []) throws(SystemError) {
        let raw = try syscall("socket", on: "AF_NETLINK family \(family)") { socket(AF_NETLINK, CInt(SOCK_RAW.rawValue) | CInt(SOCK_CLOEXEC.rawValue), family) }
        file = OwnedFD(adopting: raw)
        // Texts and offsets with errors (4.12); the request itself is not sent back. Neither is vital.
        setOption(NETLINK_EXT_ACK, 1)
        setOption(NETLINK_CAP_ACK, 1)
        var address = sockaddr_nl()
        address.nl_family = sa_family_t(AF_NETLINK)
        try syscall("bind", on: "netlink socket") {
            withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(raw, $0, socklen_t(MemoryLayout<sockaddr_nl>.size)) }
            }
        }
        for group in groups {
            var value = group
            try syscall("setsockopt", on: "NETLINK_ADD_MEMBERSHIP \(group)") {
                setsockopt(raw, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &value, socklen_t(MemoryLayout<CInt>.size))
            }
        }
    }

    private func setOption(_ option: CInt, _ value: CInt) {
        var value = value
        _ = setsockopt(file.rawValue, SOL_NETLINK, option, &value, socklen_t(MemoryLayout<CInt>.size))
    }

    package func send(_ bytes: [UInt8]) throws(SystemError) {
        let raw = file.rawValue
        try syscall("send", on: "\(bytes.count) bytes to netlink") { bytes.withUnsafeBytes { Glibc.send(raw, $0.baseAddress, $0.count, 0) } }
    }

    package func receive() throws(SystemError) -> [UInt8] { try receive(flags: 0) }

    /// The next datagram that is there already, nil when none is.
    package func receiveQueued() throws(SystemError) -> [UInt8]? {
        do {
            return try receive(flags: CInt(MSG_DONTWAIT))
        } catch where error.errno == .again {
            return nil
        }
    }

    private func receive(flags: CInt) throws(SystemError) -> [UInt8] {
        let raw = file.rawValue
        while true {
            // With MSG_TRUNC the result is the datagram's true length: when it does not fit, only its head was looked at, and the buffer grows.
            let length = try syscall("recv", on: "netlink socket") {
                buffer.withUnsafeMutableBytes { recv(raw, $0.baseAddress, $0.count, CInt(MSG_PEEK | MSG_TRUNC) | flags) }
            }
            if length > buffer.count {
                buffer = [UInt8](repeating: 0, count: length)
                continue
            }
            _ = try syscall("recv", on: "netlink socket") { buffer.withUnsafeMutableBytes { recv(raw, $0.baseAddress, $0.count, 0) } }
            return Array(buffer[..<length])
        }
    }

    /// Makes room for a datagram of `bytes` and for `answers` messages that wait to be read. The buffers only grow, and hold memory only while something is in them.
    ///
    /// Beyond net.core.wmem_max and rmem_max this takes CAP_NET_ADMIN; without it the kernel's limit applies, and what does not fit fails with EMSGSIZE or ENOBUFS.
    package func reserve(bytes: Int, answers: Int) {
        // The kernel counts what it allocates, not what it fills: about a kilobyte for a short answer.
        sendCapacity = grow(SO_SNDBUFFORCE, sendCapacity, to: bytes + 1024)
        receiveCapacity = grow(SO_RCVBUFFORCE, receiveCapacity, to: answers * 1024)
    }

    private func grow(_ option: CInt, _ capacity: Int, to size: Int) -> Int {
        guard size > capacity else { return capacity }
        var value = CInt(clamping: size)
        _ = setsockopt(file.rawValue, SOL_SOCKET, option, &value, socklen_t(MemoryLayout<CInt>.size))
        return size
    }

    /// A second descriptor for the same socket, for an event loop that reads announcements.
    package func duplicateDescriptor() throws(SystemError) -> OwnedFD { try file.duplicate() }
}
