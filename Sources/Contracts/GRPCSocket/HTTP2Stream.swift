import NIOCore
import NIOHPACK

/// What a call sees of its stream. All methods run on the connection's event loop.
protocol HTTP2StreamDelegate: AnyObject {
    func received(headers: HPACKHeaders, endStream: Bool)
    func received(data: ByteBuffer, endStream: Bool)
    /// The stream ended before both sides finished: the peer reset it or the connection is gone. Nothing else follows.
    func aborted(_ status: GRPCStatus)
    /// Less than the watermark waits for the peer's window again.
    func drained()
}

/// One stream of a connection: its windows and what waits for them. Belongs to the connection's event loop.
final class HTTP2Stream {
    let id: UInt32
    weak var connection: HTTP2Connection?
    var delegate: (any HTTP2StreamDelegate)?

    /// Bytes the peer lets us send; negative after it shrank its initial window.
    var sendWindow: Int
    /// Bytes the peer may still send.
    var receiveWindow = HTTP2Limits.streamWindow
    /// Bytes that the reader took and the peer does not know about yet.
    var uncredited = 0

    var pending = CircularBuffer<ByteBuffer>(initialCapacity: 1)
    var pendingBytes = 0
    /// Goes out after `pending`: an encoded header block that ends the stream.
    var pendingTrailers: ByteBuffer?
    /// The stream ends with the last of `pending`.
    var pendingEnd = false
    var isBlocked = false
    var wasAboveWatermark = false

    /// We have sent, or queued, END_STREAM.
    var localEnded = false
    /// The peer has sent END_STREAM.
    var remoteEnded = false
    var isClosed = false

    init(id: UInt32, connection: HTTP2Connection, sendWindow: Int) {
        self.id = id
        self.connection = connection
        self.sendWindow = sendWindow
    }

    var canTakeMore: Bool { pendingBytes < HTTP2Limits.writeHighWatermark }

    /// Queues message bytes, already with gRPC's five-byte prefix.
    func send(_ data: ByteBuffer, end: Bool = false) {
        guard !isClosed, !localEnded else { return }
        pending.append(data)
        pendingBytes += data.readableBytes
        if end { (localEnded, pendingEnd) = (true, true) }
        connection?.flushPending(of: self)
        if !canTakeMore { wasAboveWatermark = true }
    }

    /// Ends our half without a message: an empty DATA frame.
    func end() {
        guard !isClosed, !localEnded else { return }
        (localEnded, pendingEnd) = (true, true)
        connection?.flushPending(of: self)
    }

    func send(headers block: ByteBuffer) {
        guard !isClosed, !localEnded else { return }
        connection?.writeHeaders(block, of: self, endStream: false)
    }

    /// Ends the stream with a header block, after everything that is queued.
    func end(trailers block: ByteBuffer) {
        guard !isClosed, !localEnded else { return }
        localEnded = true
        pendingTrailers = block
        connection?.flushPending(of: self)
    }

    /// The reader has taken `bytes`: the peer may send as many more.
    func credit(_ bytes: Int) {
        uncredited += bytes
        guard uncredited >= HTTP2Limits.streamWindow / 2, !remoteEnded, !isClosed else { return }
        connection?.credit(self, uncredited)
        receiveWindow += uncredited
        uncredited = 0
    }

    /// Gives the stream up. The delegate hears nothing more.
    func reset(_ code: HTTP2ErrorCode) {
        guard !isClosed else { return }
        delegate = nil
        connection?.reset(self, code)
    }
}
