import Glibc
import LinuxSystem

/// A connected stream socket with a read buffer. Blocking; every read and write repeats on EINTR.
///
/// A class, because a response body and the client that keeps the connection for the next request hold the same one.
final class SocketConnection {
    private let socket: OwnedFD
    private var buffer: [UInt8]
    private var start = 0
    private var end = 0
    /// The peer sent its last byte.
    private(set) var reachedEnd = false

    private init(_ socket: consuming OwnedFD) {
        self.socket = socket
        buffer = [UInt8](repeating: 0, count: 65536)
    }

    /// For poll(2).
    var descriptor: CInt { socket.rawValue }
    /// Bytes were read that nobody has taken, so poll(2) would wait in vain.
    var hasBufferedBytes: Bool { start < end }

    /// - Throws: `SystemError`; its errno tells a missing socket from a refused one.
    static func connect(unixPath path: String) throws(SystemError) -> SocketConnection {
        let raw = try syscall("socket", on: "unix:\(path)") { Glibc.socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | O_CLOEXEC, 0) }
        let socket = OwnedFD(adopting: raw)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw SystemError(call: "connect", subject: "unix:\(path)", errno: Errno(rawValue: ENAMETOOLONG))
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        try syscall("connect", on: path) {
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
            }
        }
        return SocketConnection(socket)
    }

    /// Resolves and tries every address in turn.
    static func connect(host: String, port: String) throws(SystemError) -> SocketConnection {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, port, &hints, &list) == 0, let first = list else {
            throw SystemError(call: "getaddrinfo", subject: "\(host):\(port)", errno: .noSuchFile)
        }
        defer { freeaddrinfo(first) }
        var failure = SystemError(call: "connect", subject: "\(host):\(port)", errno: .connectionRefused)
        var entry: UnsafeMutablePointer<addrinfo>? = first
        while let info = entry?.pointee {
            do throws(SystemError) {
                let raw = try syscall("socket", on: "\(host):\(port)") { Glibc.socket(info.ai_family, info.ai_socktype | O_CLOEXEC, info.ai_protocol) }
                let socket = OwnedFD(adopting: raw)
                try syscall("connect", on: "\(host):\(port)") { Glibc.connect(raw, info.ai_addr, info.ai_addrlen) }
                var on: CInt = 1
                setsockopt(raw, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
                return SocketConnection(socket)
            } catch { failure = error }
            entry = info.ai_next
        }
        throw failure
    }

    func write(_ bytes: [UInt8]) throws(SystemError) {
        try bytes.withUnsafeBytesThrowing { (raw) throws(SystemError) in try writeAll(socket.rawValue, raw) }
    }

    /// Writes what fits now and returns how many bytes that were; 0 means that the peer does not read.
    func writeSome(_ bytes: ArraySlice<UInt8>) throws(SystemError) -> Int {
        let fd = socket.rawValue
        let count = bytes.withUnsafeBytes { send(fd, $0.baseAddress, $0.count, CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL)) }
        if count >= 0 { return count }
        let errno = Errno(rawValue: Glibc.errno)
        if errno == .again || errno == .interrupted { return 0 }
        throw SystemError(call: "send", subject: "engine", errno: errno)
    }

    /// Tells the peer that nothing more comes from this side, and leaves the other direction open.
    func shutdownWriting() { _ = shutdown(socket.rawValue, CInt(SHUT_WR)) }

    /// One read(2) into the buffer. Returns false at the end of the stream.
    @discardableResult
    func fill() throws(SystemError) -> Bool {
        if reachedEnd { return false }
        if start == end { (start, end) = (0, 0) }
        if end == buffer.count {
            buffer.removeSubrange(0..<start)
            end -= start
            start = 0
            buffer.append(contentsOf: repeatElement(0, count: max(65536, buffer.count) - buffer.count % 65536))
        }
        let fd = socket.rawValue
        let offset = end
        let count = try syscall("read", on: "engine") {
            buffer.withUnsafeMutableBytes { Glibc.read(fd, $0.baseAddress! + offset, $0.count - offset) }
        }
        end += count
        if count == 0 { reachedEnd = true }
        return count > 0
    }

    /// Up to `limit` bytes that are here or come with the next read; empty at the end of the stream.
    func read(limit: Int = .max) throws(SystemError) -> ArraySlice<UInt8> {
        if start == end { try fill() }
        let count = min(limit, end - start)
        defer { start += count }
        return buffer[start..<start + count]
    }

    /// A line without its CR LF; nil when the stream ends before one.
    func readLine() throws(SystemError) -> String? {
        var searched = start
        while true {
            if let newline = buffer[searched..<end].firstIndex(of: 10) {
                let stop = newline > start && buffer[newline - 1] == 13 ? newline - 1 : newline
                defer { start = newline + 1 }
                return String(decoding: buffer[start..<stop], as: UTF8.self)
            }
            let scanned = end - start
            // A header line of a megabyte is not one
            guard scanned < 1 << 20, try fill() else { return nil }
            searched = start + scanned
        }
    }
}

/// Writes everything; a broken pipe is an error like any other, since SIGPIPE is ignored.
func writeAll(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) throws(SystemError) {
    var offset = 0
    while offset < bytes.count {
        let count = Glibc.write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
        if count >= 0 {
            offset += count
            continue
        }
        let errno = Errno(rawValue: Glibc.errno)
        if errno == .again {
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            poll(&entry, 1, -1)
        } else if errno != .interrupted {
            throw SystemError(call: "write", subject: "descriptor \(descriptor)", errno: errno)
        }
    }
}

extension Collection where Element == UInt8, Self: RandomAccessCollection {
    /// The bytes in one piece, with typed errors kept.
    func withUnsafeBytesThrowing(_ body: (UnsafeRawBufferPointer) throws(SystemError) -> Void) throws(SystemError) {
        var failure: SystemError?
        let run: (UnsafeBufferPointer<UInt8>) -> Void = { buffer in
            do throws(SystemError) { try body(UnsafeRawBufferPointer(buffer)) } catch { failure = error }
        }
        if withContiguousStorageIfAvailable(run) == nil { Array(self).withUnsafeBufferPointer(run) }
        if let failure { throw failure }
    }
}
