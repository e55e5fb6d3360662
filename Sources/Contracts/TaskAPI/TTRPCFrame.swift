import CProtobufC

/// ttrpc's frame: ten bytes of header, then the payload. All numbers are big endian.
///
///     0       4           8      9       10
///     +-------+-----------+------+-------+---------
///     | length| stream id | type | flags | payload
///     +-------+-----------+------+-------+---------
///
/// Spec: PROTOCOL.md of github.com/containerd/ttrpc.
package struct TTRPCFrame: Equatable, Sendable {
    package enum Kind: UInt8, Sendable { case request = 1, response = 2, data = 3 }

    package static let headerSize = 10
    /// Of a payload. The peer of a larger one has lost its way, or means harm.
    package static let largestPayload = 4 << 20

    package var streamID: UInt32
    package var kind: Kind
    package var flags: UInt8
    package var payload: [UInt8]

    package init(streamID: UInt32, kind: Kind, flags: UInt8 = 0, payload: [UInt8]) {
        self.streamID = streamID
        self.kind = kind
        self.flags = flags
        self.payload = payload
    }

    package func append(to bytes: inout [UInt8]) {
        bytes.reserveCapacity(bytes.count + TTRPCFrame.headerSize + payload.count)
        TTRPCFrame.appendNumber(UInt32(payload.count), to: &bytes)
        TTRPCFrame.appendNumber(streamID, to: &bytes)
        bytes.append(kind.rawValue)
        bytes.append(flags)
        bytes.append(contentsOf: payload)
    }

    private static func appendNumber(_ number: UInt32, to bytes: inout [UInt8]) {
        for shift in stride(from: UInt32(24), through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
    }
}

/// Cuts a stream of bytes into frames. Holds at most one incomplete frame and gives its memory back between frames.
package struct TTRPCFrameDecoder {
    package enum Failure: Error, Equatable { case tooLarge(UInt32), unknownKind(UInt8) }

    private var buffer: [UInt8] = []
    private var consumed = 0

    package init() {}

    package mutating func append(_ bytes: UnsafeRawBufferPointer) { buffer.append(contentsOf: bytes) }

    /// The next complete frame; nil when more bytes are needed. After a throw the connection cannot be used any more.
    package mutating func next() throws(Failure) -> TTRPCFrame? {
        let available = buffer.count - consumed
        guard available >= TTRPCFrame.headerSize else {
            compact()
            return nil
        }
        let length = number(at: consumed)
        guard length <= UInt32(TTRPCFrame.largestPayload) else { throw .tooLarge(length) }
        guard let kind = TTRPCFrame.Kind(rawValue: buffer[consumed + 8]) else { throw .unknownKind(buffer[consumed + 8]) }
        guard available >= TTRPCFrame.headerSize + Int(length) else {
            compact()
            return nil
        }
        let start = consumed + TTRPCFrame.headerSize
        let frame = TTRPCFrame(
            streamID: number(at: consumed + 4), kind: kind, flags: buffer[consumed + 9], payload: Array(buffer[start..<start + Int(length)]))
        consumed = start + Int(length)
        return frame
    }

    private mutating func compact() {
        guard consumed > 0 else { return }
        if consumed == buffer.count { buffer = [] } else { buffer.removeSubrange(..<consumed) }
        consumed = 0
    }

    private func number(at index: Int) -> UInt32 {
        UInt32(buffer[index]) << 24 | UInt32(buffer[index + 1]) << 16 | UInt32(buffer[index + 2]) << 8 | UInt32(buffer[index + 3])
    }
}

/// The payload of a request frame.
package struct TTRPCRequest: Sendable {
    package var service: String
    package var method: String
    package var payload: [UInt8]
    /// 0: none.
    package var timeoutNanoseconds: Int64
    package var metadata: [(key: String, value: String)]

    package init(service: String, method: String, payload: [UInt8], timeoutNanoseconds: Int64 = 0, metadata: [(key: String, value: String)] = []) {
        self.service = service
        self.method = method
        self.payload = payload
        self.timeoutNanoseconds = timeoutNanoseconds
        self.metadata = metadata
    }

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("ttrpc.Request", bytes, ttrpc__request__unpack)
        let message = unpacked.pointer.pointee
        self.init(
            service: String(cString: message.service), method: String(cString: message.method), payload: [UInt8](message.payload),
            timeoutNanoseconds: message.timeout_nano,
            metadata: (0..<message.n_metadata).map { (String(cString: message.metadata[$0]!.pointee.key), String(cString: message.metadata[$0]!.pointee.value)) })
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(ttrpc__request__init)
        message.pointee.service = arena.string(service)
        message.pointee.method = arena.string(method)
        message.pointee.payload = arena.bytes(payload)
        message.pointee.timeout_nano = timeoutNanoseconds
        let pairs = metadata.map { pair in
            let entry = arena.make(ttrpc__key_value__init)
            entry.pointee.key = arena.string(pair.key)
            entry.pointee.value = arena.string(pair.value)
            return entry
        }
        message.pointee.n_metadata = pairs.count
        message.pointee.metadata = arena.list(pairs)
        return arena.pack(message)
    }
}

/// How a call ended when it failed: a code of google.rpc and a text.
package struct TTRPCStatus: Error, Sendable, Equatable, CustomStringConvertible {
    /// google.rpc.Code, with containerd's meaning of each.
    package enum Code: Int32, Sendable {
        case ok = 0, cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied, resourceExhausted
        case failedPrecondition, aborted, outOfRange, unimplemented, internalError, unavailable, dataLoss, unauthenticated
    }

    package var code: Code
    package var message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}

/// The payload of a response frame.
package struct TTRPCResponse: Sendable {
    package var status: TTRPCStatus?
    package var payload: [UInt8]

    package init(payload: [UInt8]) { (status, self.payload) = (nil, payload) }
    package init(status: TTRPCStatus) { (self.status, payload) = (status, []) }

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("ttrpc.Response", bytes, ttrpc__response__unpack)
        let message = unpacked.pointer.pointee
        payload = [UInt8](message.payload)
        if let status = message.status?.pointee, status.code != 0 {
            self.status = TTRPCStatus(TTRPCStatus.Code(rawValue: status.code) ?? .unknown, String(cString: status.message))
        }
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(ttrpc__response__init)
        if let status {
            let inner = arena.make(ttrpc__status__init)
            inner.pointee.code = status.code.rawValue
            inner.pointee.message = arena.string(status.message)
            message.pointee.status = inner
        }
        message.pointee.payload = arena.bytes(payload)
        return arena.pack(message)
    }
}
