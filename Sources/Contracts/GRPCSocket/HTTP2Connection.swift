import NIOCore
import NIOHPACK

/// One HTTP/2 connection over a unix socket, either side: frames in, frames out, windows, streams.
///
/// Why not NIOHTTP2: it holds a client to 100 streams when the server announces no limit, as every server in Go does, so that a hundred open waits
/// would stop all other calls; it ends a connection after a number of PING frames that grpc-go exceeds in ordinary use; and it costs a channel or an
/// event dispatch for each frame. What is here is what gRPC uses: no push, no priorities, no upgrade.
///
/// A peer can cost us bounded memory: one header block (64 KiB), one frame (64 KiB), the open streams' windows as far as nobody has taken the
/// messages, and `maxQueuedControlFrames` answers.
///
/// All members belong to the channel's event loop.
final class HTTP2Connection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Role { case client, server }

    let role: Role
    /// Server: makes the delegate of a new stream from its request headers; nil refuses it.
    var onStream: ((HTTP2Stream, HPACKHeaders) -> (any HTTP2StreamDelegate)?)?
    /// The connection takes no new streams any more: GOAWAY or closed.
    var onDraining: (() -> Void)?
    /// Server: the other end, from SO_PEERCRED.
    var peer: GRPCPeer?

    private(set) var isOpen = false
    var isDraining = false
    var context: ChannelHandlerContext?
    var inbound = ByteBuffer()
    var outbound = ByteBuffer()
    private var isReading = false
    var needsPreface: Bool
    var decoder: HPACKDecoder
    var streams: [UInt32: HTTP2Stream] = [:]
    var nextStreamID: UInt32 = 1
    var highestPeerStream: UInt32 = 0
    /// HEADERS that CONTINUATION frames have to complete.
    var headerBlock: (stream: UInt32, endStream: Bool, bytes: ByteBuffer)?

    var sendWindow = 65_535
    var uncredited = 0
    var peerInitialWindow = 65_535
    var peerMaxFrameSize = 16_384
    var peerMaxStreams = Int.max
    /// Streams with something to send and no window, in the order they ran dry.
    var blocked = CircularBuffer<HTTP2Stream>(initialCapacity: 1)
    /// Client: calls that wait until the peer's limit of streams allows them.
    var waitingForStream = CircularBuffer<() -> Void>(initialCapacity: 1)
    var queuedControlFrames = 0

    init(role: Role, allocator: ByteBufferAllocator = ByteBufferAllocator()) {
        self.role = role
        needsPreface = role == .server
        decoder = HPACKDecoder(allocator: allocator, maxDynamicTableSize: 4096, maxHeaderListSize: HTTP2Limits.maxHeaderBytes)
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin() }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        lost("connection closed")
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) { begin() }

    func channelInactive(context: ChannelHandlerContext) {
        lost("connection closed by the peer")
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        lost("connection lost: \(error)")
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var data = unwrapInboundIn(data)
        isReading = true
        if inbound.readableBytes == 0 { inbound = data } else { inbound.writeBuffer(&data) }
        do {
            try parse()
        } catch let error as HTTP2ConnectionError {
            fail(error.code, error.message)
        } catch {
            fail(.internalError, "\(error)")
        }
        if inbound.readableBytes == 0 { inbound = ByteBuffer() }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        flush()
        if !blocked.isEmpty { flushBlocked() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            queuedControlFrames = 0
            flushBlocked()
        }
        context.fireChannelWritabilityChanged()
    }

    private func begin() {
        guard !isOpen else { return }
        isOpen = true
        if role == .client { outbound.writeStaticString(http2ClientPreface) }
        outbound.writeSettings(
            [
                role == .client ? (HTTP2Setting.enablePush, 0) : (HTTP2Setting.maxConcurrentStreams, HTTP2Limits.maxConcurrentStreams),
                (HTTP2Setting.initialWindowSize, HTTP2Limits.streamWindow),
                (HTTP2Setting.maxFrameSize, HTTP2Limits.maxFrameSize),
                (HTTP2Setting.maxHeaderListSize, HTTP2Limits.maxHeaderBytes),
            ])
        outbound.writeWindowUpdate(stream: 0, increment: HTTP2Limits.connectionWindow - 65_535)
        flush()
    }

    /// Hands the frames gathered so far to the socket, unless a read is being worked off: then its end does, in one write.
    func flush() {
        guard !isReading, outbound.readableBytes > 0, let context else { return }
        let bytes = outbound
        outbound = ByteBuffer()
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    /// Everything ends: each call hears why.
    private func lost(_ why: String) {
        isDraining = true
        onDraining?()
        onDraining = nil
        guard isOpen else { return }
        isOpen = false
        let open = streams.values.sorted { $0.id < $1.id }
        streams = [:]
        blocked.removeAll()
        for stream in open { abort(stream, GRPCStatus(.unavailable, why)) }
        let waiting = waitingForStream
        waitingForStream.removeAll()
        for start in waiting { start() }
        onStream = nil
    }

    /// Ends the connection because the peer broke the protocol.
    private func fail(_ code: HTTP2ErrorCode, _ message: String) {
        guard isOpen, let context else { return }
        outbound.writeGoAway(lastStream: highestPeerStream, code: code, message: message)
        isReading = false
        flush()
        inbound.clear()
        lost("connection ended, \(code): \(message)")
        context.close(promise: nil)
    }

    /// Server: says goodbye. Calls that still run end as unavailable.
    func shutdown() {
        guard isOpen, let context else { return }
        outbound.writeGoAway(lastStream: highestPeerStream, code: .noError, message: "")
        flush()
        lost("server is shutting down")
        context.close(promise: nil)
    }

    // MARK: Streams

    /// Client: opens a stream and sends its request headers. `start` gets nil when the connection is lost before the peer's limit allowed one more.
    func open(headers: ByteBuffer, delegate: any HTTP2StreamDelegate, start: @escaping (HTTP2Stream?) -> Void) {
        guard isOpen, !isDraining else { return start(nil) }
        guard streams.count < peerMaxStreams else {
            waitingForStream.append { [weak self] in
                guard let self else { return start(nil) }
                self.open(headers: headers, delegate: delegate, start: start)
            }
            return
        }
        let stream = HTTP2Stream(id: nextStreamID, connection: self, sendWindow: peerInitialWindow)
        nextStreamID += 2
        // Half of the numbers are left; a fresh connection takes over before they run out.
        if nextStreamID > 0x4000_0000 {
            isDraining = true
            onDraining?()
        }
        stream.delegate = delegate
        streams[stream.id] = stream
        writeHeaders(headers, of: stream, endStream: false)
        start(stream)
    }

    func abort(_ stream: HTTP2Stream, _ status: GRPCStatus) {
        stream.isClosed = true
        stream.pending.removeAll()
        let delegate = stream.delegate
        stream.delegate = nil
        delegate?.aborted(status)
    }

    func reset(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
        guard streams.removeValue(forKey: stream.id) != nil else { return }
        stream.isClosed = true
        stream.pending.removeAll()
        outbound.writeReset(stream: stream.id, code: code)
        flush()
        streamFreed()
    }

    func streamFreed() {
        if streams.count < peerMaxStreams, let start = waitingForStream.popFirst() { start() }
    }

    /// Forgets the stream when both halves are through.
    func closeIfDone(_ stream: HTTP2Stream) {
        guard stream.localEnded, stream.pending.isEmpty, stream.pendingTrailers == nil, !stream.pendingEnd, !stream.isClosed else { return }
        if !stream.remoteEnded {
            // A server that has answered needs no more of the request (RFC 9113, section 8.1).
            guard role == .server else { return }
            outbound.writeReset(stream: stream.id, code: .noError)
        }
        stream.isClosed = true
        stream.delegate = nil
        streams[stream.id] = nil
        streamFreed()
    }

    // MARK: Sending

    func writeHeaders(_ block: ByteBuffer, of stream: HTTP2Stream, endStream: Bool) {
        var block = block
        var type = HTTP2FrameType.headers
        let end = endStream ? HTTP2Flag.endStream : 0
        repeat {
            let length = min(block.readableBytes, peerMaxFrameSize)
            let last = length == block.readableBytes
            outbound.writeFrameHeader(
                length: length, type: type, flags: (last ? HTTP2Flag.endHeaders : 0) | (type == .headers ? end : 0), stream: stream.id)
            if var part = block.readSlice(length: length) { outbound.writeBuffer(&part) }
            type = .continuation
        } while block.readableBytes > 0
    }

    /// Sends what the windows allow of a stream's queue, then its trailers.
    func flushPending(of stream: HTTP2Stream) {
        let writable = context?.channel.isWritable ?? false
        while let head = stream.pending.first {
            var rest = head
            while rest.readableBytes > 0 {
                let length = min(rest.readableBytes, peerMaxFrameSize, sendWindow, stream.sendWindow)
                guard length > 0, writable, outbound.readableBytes < 4 << 20 else {
                    stream.pending[stream.pending.startIndex] = rest
                    block(stream)
                    return flush()
                }
                let end = length == rest.readableBytes && stream.pendingEnd && stream.pending.count == 1
                outbound.writeFrameHeader(length: length, type: .data, flags: end ? HTTP2Flag.endStream : 0, stream: stream.id)
                if var part = rest.readSlice(length: length) { outbound.writeBuffer(&part) }
                sendWindow -= length
                stream.sendWindow -= length
                stream.pendingBytes -= length
                if end { stream.pendingEnd = false }
            }
            stream.pending.removeFirst()
        }
        if stream.pendingEnd {
            outbound.writeFrameHeader(length: 0, type: .data, flags: HTTP2Flag.endStream, stream: stream.id)
            stream.pendingEnd = false
        }
        if let trailers = stream.pendingTrailers {
            stream.pendingTrailers = nil
            writeHeaders(trailers, of: stream, endStream: true)
        }
        closeIfDone(stream)
        if stream.wasAboveWatermark {
            stream.wasAboveWatermark = false
            stream.delegate?.drained()
        }
        flush()
    }

    private func block(_ stream: HTTP2Stream) {
        if stream.wasAboveWatermark, stream.canTakeMore {
            stream.wasAboveWatermark = false
            stream.delegate?.drained()
        }
        guard !stream.isBlocked else { return }
        stream.isBlocked = true
        blocked.append(stream)
    }

    func flushBlocked() {
        for _ in 0..<blocked.count {
            guard let stream = blocked.popFirst() else { return }
            stream.isBlocked = false
            if !stream.isClosed { flushPending(of: stream) }
        }
    }

    func credit(_ stream: HTTP2Stream, _ bytes: Int) {
        outbound.writeWindowUpdate(stream: stream.id, increment: bytes)
        flush()
    }
}
