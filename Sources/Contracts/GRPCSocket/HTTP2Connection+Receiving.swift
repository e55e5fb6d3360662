import NIOCore
import NIOHPACK

/// What the peer sends: frames out of the bytes, each checked and acted upon. Runs on the connection's event loop.
extension HTTP2Connection {
    func parse() throws {
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
