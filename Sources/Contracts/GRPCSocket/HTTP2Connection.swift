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
    private(set) var isDraining = false
    private var context: ChannelHandlerContext?
    private var inbound = ByteBuffer()
    private var outbound = ByteBuffer()
    private var isReading = false
    private var needsPreface: Bool
    private var decoder: HPACKDecoder
    private(set) var streams: [UInt32: HTTP2Stream] = [:]
    private var nextStreamID: UInt32 = 1
    private var highestPeerStream: UInt32 = 0
    /// HEADERS that CONTINUATION frames have to complete.
    private var headerBlock: (stream: UInt32, endStream: Bool, bytes: ByteBuffer)?

    private var sendWindow = 65_535
    private var uncredited = 0
    private var peerInitialWindow = 65_535
    private var peerMaxFrameSize = 16_384
    private var peerMaxStreams = Int.max
    /// Streams with something to send and no window, in the order they ran dry.
    private var blocked = CircularBuffer<HTTP2Stream>(initialCapacity: 1)
    /// Client: calls that wait until the peer's limit of streams allows them.
    private var waitingForStream = CircularBuffer<() -> Void>(initialCapacity: 1)
    private var queuedControlFrames = 0

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

    private func abort(_ stream: HTTP2Stream, _ status: GRPCStatus) {
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

    private func streamFreed() {
        if streams.count < peerMaxStreams, let start = waitingForStream.popFirst() { start() }
    }

    /// Forgets the stream when both halves are through.
    private func closeIfDone(_ stream: HTTP2Stream) {
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

    private func flushBlocked() {
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

    // MARK: Receiving

    private func parse() throws {
        if needsPreface {
            guard inbound.readableBytes >= http2ClientPreface.utf8CodeUnitCount else { return }
            guard let preface = inbound.readString(length: http2ClientPreface.utf8CodeUnitCount), preface == "\(http2ClientPreface)" else {
                throw HTTP2ConnectionError(code: .protocolError, message: "not an HTTP/2 connection preface")
            }
            needsPreface = false
        }
        while isOpen, let first = inbound.getInteger(at: inbound.readerIndex, as: UInt32.self), inbound.readableBytes >= 9 {
            let length = Int(first >> 8)
            guard length <= HTTP2Limits.maxFrameSize else {
                throw HTTP2ConnectionError(code: .frameSizeError, message: "frame of \(length) bytes")
            }
            guard inbound.readableBytes >= 9 + length else { return }
            let type = HTTP2FrameType(rawValue: UInt8(truncatingIfNeeded: first))
            inbound.moveReaderIndex(forwardBy: 4)
            guard let flags = inbound.readInteger(as: UInt8.self), let id = inbound.readInteger(as: UInt32.self),
                let payload = inbound.readSlice(length: length)
            else { return }
            if headerBlock != nil, type != .continuation {
                throw HTTP2ConnectionError(code: .protocolError, message: "header block interrupted")
            }
            // Unknown kinds are skipped (RFC 9113, section 4.1).
            if let type { try received(type, flags: flags, stream: id & 0x7fff_ffff, payload: payload) }
        }
    }

    private func received(_ type: HTTP2FrameType, flags: UInt8, stream id: UInt32, payload: ByteBuffer) throws {
        var payload = payload
        switch type {
        case .data: try receivedData(flags: flags, stream: id, payload: payload)
        case .headers:
            payload = try unpadded(payload, flags: flags)
            if flags & HTTP2Flag.priority != 0 {
                guard payload.readSlice(length: 5) != nil else {
                    throw HTTP2ConnectionError(code: .frameSizeError, message: "HEADERS too short")
                }
            }
            guard id != 0 else { throw HTTP2ConnectionError(code: .protocolError, message: "HEADERS on stream 0") }
            let end = flags & HTTP2Flag.endStream != 0
            if flags & HTTP2Flag.endHeaders != 0 {
                try receivedHeaders(payload, stream: id, endStream: end)
            } else {
                headerBlock = (id, end, payload)
            }
        case .continuation:
            guard var block = headerBlock, block.stream == id else {
                throw HTTP2ConnectionError(code: .protocolError, message: "CONTINUATION without HEADERS")
            }
            // An empty one brings nothing and could come for ever.
            guard payload.readableBytes > 0 || flags & HTTP2Flag.endHeaders != 0,
                block.bytes.readableBytes + payload.readableBytes <= HTTP2Limits.maxHeaderBytes
            else { throw HTTP2ConnectionError(code: .enhanceYourCalm, message: "header block too long") }
            headerBlock = nil
            block.bytes.writeBuffer(&payload)
            if flags & HTTP2Flag.endHeaders != 0 {
                try receivedHeaders(block.bytes, stream: id, endStream: block.endStream)
            } else {
                headerBlock = block
            }
        case .priority: break
        case .rstStream:
            guard let raw = payload.readInteger(as: UInt32.self) else {
                throw HTTP2ConnectionError(code: .frameSizeError, message: "RST_STREAM too short")
            }
            guard let stream = streams.removeValue(forKey: id) else { return }
            let code = HTTP2ErrorCode(rawValue: raw) ?? .internalError
            abort(stream, GRPCStatus(code.statusCode, "stream reset by the peer: \(code)"))
            streamFreed()
        case .settings: try receivedSettings(flags: flags, payload: payload)
        case .pushPromise: throw HTTP2ConnectionError(code: .protocolError, message: "PUSH_PROMISE is not allowed")
        case .ping:
            guard payload.readableBytes == 8 else { throw HTTP2ConnectionError(code: .frameSizeError, message: "PING is eight bytes") }
            guard flags & HTTP2Flag.ack == 0 else { return }
            try countControlFrame()
            outbound.writeFrameHeader(length: 8, type: .ping, flags: HTTP2Flag.ack, stream: 0)
            outbound.writeBuffer(&payload)
        case .goAway: receivedGoAway(payload)
        case .windowUpdate: try receivedWindowUpdate(stream: id, payload: payload)
        }
    }

    /// Answers pile up only while the peer does not read; that is when they are counted.
    private func countControlFrame() throws {
        guard let context, !context.channel.isWritable else { return }
        queuedControlFrames += 1
        if queuedControlFrames > HTTP2Limits.maxQueuedControlFrames {
            throw HTTP2ConnectionError(code: .enhanceYourCalm, message: "control frames are not being read")
        }
    }

    private func unpadded(_ payload: ByteBuffer, flags: UInt8) throws -> ByteBuffer {
        guard flags & HTTP2Flag.padded != 0 else { return payload }
        var payload = payload
        guard let padding = payload.readInteger(as: UInt8.self), let body = payload.readSlice(length: payload.readableBytes - Int(padding)) else {
            throw HTTP2ConnectionError(code: .protocolError, message: "more padding than frame")
        }
        return body
    }

    private func receivedData(flags: UInt8, stream id: UInt32, payload: ByteBuffer) throws {
        guard id != 0 else { throw HTTP2ConnectionError(code: .protocolError, message: "DATA on stream 0") }
        // The connection's window is given back at once: what limits a stream is its own.
        uncredited += payload.readableBytes
        if uncredited >= HTTP2Limits.connectionWindow / 2 {
            outbound.writeWindowUpdate(stream: 0, increment: uncredited)
            uncredited = 0
        }
        guard let stream = streams[id] else { return try checkNotIdle(id, "DATA") }
        guard !stream.remoteEnded else { return abortAndReset(stream, .streamClosed, "DATA after the end of the stream") }
        stream.receiveWindow -= payload.readableBytes
        guard stream.receiveWindow >= 0 else { return abortAndReset(stream, .flowControlError, "more DATA than the window allows") }
        let body = try unpadded(payload, flags: flags)
        if payload.readableBytes > body.readableBytes { stream.credit(payload.readableBytes - body.readableBytes) }
        let end = flags & HTTP2Flag.endStream != 0
        if end { stream.remoteEnded = true }
        stream.delegate?.received(data: body, endStream: end)
        if end { closeIfDone(stream) }
    }

    private func checkNotIdle(_ id: UInt32, _ frame: String) throws {
        let idle = role == .server ? id > highestPeerStream : id >= nextStreamID
        if idle { throw HTTP2ConnectionError(code: .protocolError, message: "\(frame) on idle stream \(id)") }
    }

    private func abortAndReset(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode, _ message: String) {
        let delegate = stream.delegate
        stream.reset(code)
        delegate?.aborted(GRPCStatus(.internalError, message))
    }

    private func receivedHeaders(_ block: ByteBuffer, stream id: UInt32, endStream: Bool) throws {
        var block = block
        let headers: HPACKHeaders
        do { headers = try decoder.decodeHeaders(from: &block) } catch {
            throw HTTP2ConnectionError(code: .compressionError, message: "header block: \(error)")
        }
        if let stream = streams[id] {
            guard !stream.remoteEnded else { return abortAndReset(stream, .streamClosed, "HEADERS after the end of the stream") }
            if endStream { stream.remoteEnded = true }
            stream.delegate?.received(headers: headers, endStream: endStream)
            // A client whose call is answered has nothing more to say.
            if endStream, role == .client, !stream.localEnded || stream.pendingEnd || !stream.pending.isEmpty {
                stream.reset(.cancel)
            } else if endStream {
                closeIfDone(stream)
            }
            return
        }
        guard role == .server, id > highestPeerStream else { return try checkNotIdle(id, "HEADERS") }
        guard id & 1 == 1 else { throw HTTP2ConnectionError(code: .protocolError, message: "stream \(id) is not a client's") }
        highestPeerStream = id
        let stream = HTTP2Stream(id: id, connection: self, sendWindow: peerInitialWindow)
        stream.remoteEnded = endStream
        guard streams.count < HTTP2Limits.maxConcurrentStreams, !isDraining, let onStream else {
            outbound.writeReset(stream: id, code: .refusedStream)
            return
        }
        streams[id] = stream
        guard let delegate = onStream(stream, headers) else {
            stream.reset(.refusedStream)
            return
        }
        if !stream.isClosed {
            stream.delegate = delegate
            delegate.received(headers: headers, endStream: endStream)
        }
    }

    private func receivedSettings(flags: UInt8, payload: ByteBuffer) throws {
        guard flags & HTTP2Flag.ack == 0 else { return }
        var payload = payload
        guard payload.readableBytes % 6 == 0 else { throw HTTP2ConnectionError(code: .frameSizeError, message: "SETTINGS") }
        while let (id, value) = payload.readMultipleIntegers(as: (UInt16, UInt32).self) {
            switch id {
            case HTTP2Setting.maxConcurrentStreams: peerMaxStreams = Int(value)
            case HTTP2Setting.initialWindowSize:
                guard value <= 0x7fff_ffff else { throw HTTP2ConnectionError(code: .flowControlError, message: "initial window \(value)") }
                let change = Int(value) - peerInitialWindow
                peerInitialWindow = Int(value)
                for stream in streams.values { stream.sendWindow += change }
            case HTTP2Setting.maxFrameSize:
                guard (16_384...16_777_215).contains(value) else {
                    throw HTTP2ConnectionError(code: .protocolError, message: "maximum frame size \(value)")
                }
                peerMaxFrameSize = min(Int(value), HTTP2Limits.maxFrameSize)
            default: break  // The header table's size does not matter to an encoder that uses no table.
            }
        }
        try countControlFrame()
        outbound.writeFrameHeader(length: 0, type: .settings, flags: HTTP2Flag.ack, stream: 0)
        flushBlocked()
        while streams.count < peerMaxStreams, let start = waitingForStream.popFirst() { start() }
    }

    private func receivedWindowUpdate(stream id: UInt32, payload: ByteBuffer) throws {
        guard let raw = payload.getInteger(at: payload.readerIndex, as: UInt32.self) else {
            throw HTTP2ConnectionError(code: .frameSizeError, message: "WINDOW_UPDATE too short")
        }
        let increment = Int(raw & 0x7fff_ffff)
        if id == 0 {
            sendWindow += increment
            guard increment > 0, sendWindow <= 0x7fff_ffff else {
                throw HTTP2ConnectionError(code: .flowControlError, message: "connection window")
            }
            flushBlocked()
        } else if let stream = streams[id] {
            stream.sendWindow += increment
            guard increment > 0, stream.sendWindow <= 0x7fff_ffff else {
                return abortAndReset(stream, .flowControlError, "stream window")
            }
            if stream.isBlocked { flushPending(of: stream) }
        } else {
            try checkNotIdle(id, "WINDOW_UPDATE")
        }
    }

    private func receivedGoAway(_ payload: ByteBuffer) {
        var payload = payload
        guard let (last, raw) = payload.readMultipleIntegers(as: (UInt32, UInt32).self) else { return }
        let text = payload.readString(length: min(payload.readableBytes, 256)) ?? ""
        isDraining = true
        onDraining?()
        onDraining = nil
        guard role == .client else { return }
        let refused = streams.values.filter { $0.id > last & 0x7fff_ffff }.sorted { $0.id < $1.id }
        let code = HTTP2ErrorCode(rawValue: raw).map { "\($0)" } ?? "\(raw)"
        for stream in refused {
            streams[stream.id] = nil
            abort(stream, GRPCStatus(.unavailable, "the server is going away: \(code) \(text)"))
        }
    }
}
