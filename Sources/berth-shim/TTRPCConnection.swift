import Glibc
import LinuxSystem
import TaskAPI

/// One client's connection: requests in, responses out in whatever order they are ready.
final class TTRPCConnection {
    /// A caller that reads no answers is cut off here.
    private static let largestBacklog = 8 << 20

    private let loop: EventLoop
    private let socket: CInt
    private var decoder = TTRPCFrameDecoder()
    private var outgoing: [UInt8] = []
    private(set) var isClosed = false
    private let handle: (TTRPCRequest, Reply) -> Void
    private let onClose: (TTRPCConnection) -> Void

    /// The way back to the caller of one request. To be used once.
    struct Reply {
        let connection: TTRPCConnection
        let streamID: UInt32

        func callAsFunction(_ payload: [UInt8] = []) { connection.send(TTRPCResponse(payload: payload), on: streamID) }
        func callAsFunction(failure status: TTRPCStatus) { connection.send(TTRPCResponse(status: status), on: streamID) }
        /// Nobody waits for the answer any more.
        var isAbandoned: Bool { connection.isClosed }
    }

    init(
        loop: EventLoop, socket: consuming OwnedFD, handle: @escaping (TTRPCRequest, Reply) -> Void, onClose: @escaping (TTRPCConnection) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.socket = socket.release()
        self.handle = handle
        self.onClose = onClose
        let descriptor = self.socket
        try loop.watch(descriptor, .read) { [self] in ready($0) }
    }

    private func ready(_ interest: Epoll.Interest) {
        if interest.contains(.write) { flush() }
        if !isClosed && !interest.isDisjoint(with: [.read, .hangUp, .error]) { receive() }
    }

    private func receive() {
        let count = withUnsafeTemporaryAllocation(byteCount: 16384, alignment: 8) { buffer -> Int in
            let count = read(socket, buffer.baseAddress, buffer.count)
            if count > 0 { decoder.append(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])) }
            return count
        }
        if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { return close() }
        do {
            while !isClosed, let frame = try decoder.next() { dispatch(frame) }
        } catch {
            ShimLog.warn("a client broke the protocol: \(error)")
            close()
        }
    }

    private func dispatch(_ frame: TTRPCFrame) {
        // Data frames belong to streaming calls, of which this service has none; their stream has been answered with "unimplemented".
        guard frame.kind == .request else { return }
        let reply = Reply(connection: self, streamID: frame.streamID)
        do { handle(try TTRPCRequest(decoding: frame.payload), reply) } catch { reply(failure: TTRPCStatus(.invalidArgument, error.description)) }
    }

    private func send(_ response: TTRPCResponse, on stream: UInt32) {
        guard !isClosed else { return }
        TTRPCFrame(streamID: stream, kind: .response, payload: response.encoded()).append(to: &outgoing)
        if outgoing.count > TTRPCConnection.largestBacklog {
            ShimLog.warn("a client reads no answers and is cut off")
            return close()
        }
        flush()
    }

    private func flush() {
        while !outgoing.isEmpty {
            let count = outgoing.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            if count >= 0 {
                if count == outgoing.count { outgoing = [] } else { outgoing.removeFirst(count) }
            } else if errno == EAGAIN {
                return loop.change(socket, [.read, .write])
            } else if errno != EINTR {
                return close()
            }
        }
        loop.change(socket, .read)
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        loop.unwatch(socket)
        _ = Glibc.close(socket)
        onClose(self)
    }
}
