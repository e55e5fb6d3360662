import NIOCore

// The frames of HTTP/2 as gRPC uses them. Spec: RFC 9113, sections 4, 6 and 7.

enum HTTP2FrameType: UInt8 {
    case data, headers, priority, rstStream, settings, pushPromise, ping, goAway, windowUpdate, continuation
}

enum HTTP2Flag {
    static let endStream: UInt8 = 0x1
    static let ack: UInt8 = 0x1
    static let endHeaders: UInt8 = 0x4
    static let padded: UInt8 = 0x8
    static let priority: UInt8 = 0x20
}

enum HTTP2ErrorCode: UInt32 {
    case noError, protocolError, internalError, flowControlError, settingsTimeout, streamClosed, frameSizeError, refusedStream, cancel
    case compressionError, connectError, enhanceYourCalm, inadequateSecurity, http11Required

    /// The status a call gets whose stream the peer reset. Spec: gRPC, PROTOCOL-HTTP2.md, section Errors.
    var statusCode: GRPCStatus.Code {
        switch self {
        case .refusedStream: .unavailable
        case .cancel: .cancelled
        case .enhanceYourCalm: .resourceExhausted
        case .inadequateSecurity: .permissionDenied
        default: .internalError
        }
    }
}

enum HTTP2Setting {
    static let headerTableSize: UInt16 = 1
    static let enablePush: UInt16 = 2
    static let maxConcurrentStreams: UInt16 = 3
    static let initialWindowSize: UInt16 = 4
    static let maxFrameSize: UInt16 = 5
    static let maxHeaderListSize: UInt16 = 6
}

/// What both of our sides advertise, in bytes. Windows are large because both ends share a machine: the limit on memory is the number of messages
/// a reader has not taken yet (`MessageInbox`), not the window.
enum HTTP2Limits {
    static let streamWindow = 1 << 20
    static let connectionWindow = 16 << 20
    static let maxFrameSize = 64 << 10
    static let maxHeaderBytes = 64 << 10
    /// Streams a client may have open at once on one connection: waits, event streams and transfers of some thousand containers.
    static let maxConcurrentStreams = 16_384
    /// Answers to PING and SETTINGS frames queued for a peer that does not read them.
    static let maxQueuedControlFrames = 10_000
    /// Bytes of one stream that may wait for the peer's window before its writer is held.
    static let writeHighWatermark = 256 << 10
    /// containerd's limit for one message in either direction.
    static let maxMessageBytes = 16 << 20
}

/// A violation that ends the whole connection.
struct HTTP2ConnectionError: Error {
    let code: HTTP2ErrorCode
    let message: String
}

let http2ClientPreface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

extension ByteBuffer {
    /// Appends the nine bytes before every frame's payload.
    mutating func writeFrameHeader(length: Int, type: HTTP2FrameType, flags: UInt8, stream: UInt32) {
        writeMultipleIntegers(UInt8(truncatingIfNeeded: length >> 16), UInt16(truncatingIfNeeded: length), type.rawValue, flags, stream)
    }

    mutating func writeSettings(_ settings: [(UInt16, Int)]) {
        writeFrameHeader(length: settings.count * 6, type: .settings, flags: 0, stream: 0)
        for (id, value) in settings { writeMultipleIntegers(id, UInt32(value)) }
    }

    mutating func writeWindowUpdate(stream: UInt32, increment: Int) {
        writeFrameHeader(length: 4, type: .windowUpdate, flags: 0, stream: stream)
        writeInteger(UInt32(increment))
    }

    mutating func writeReset(stream: UInt32, code: HTTP2ErrorCode) {
        writeFrameHeader(length: 4, type: .rstStream, flags: 0, stream: stream)
        writeInteger(code.rawValue)
    }

    mutating func writeGoAway(lastStream: UInt32, code: HTTP2ErrorCode, message: String) {
        writeFrameHeader(length: 8 + message.utf8.count, type: .goAway, flags: 0, stream: 0)
        writeMultipleIntegers(lastStream, code.rawValue)
        writeString(message)
    }
}

// Headers go out as literals that enter no table (RFC 7541, section 6.2.2): the encoder has no state to keep per connection or to get wrong, and
// the bytes of the constant headers are written once. Incoming headers use tables and Huffman coding as the peer likes: NIOHPACK decodes them.
extension ByteBuffer {
    private mutating func writeHPACKInteger(_ value: Int, prefixBits: Int, first: UInt8) {
        let limit = (1 << prefixBits) - 1
        if value < limit { return _ = writeInteger(first | UInt8(value)) }
        writeInteger(first | UInt8(limit))
        var rest = value - limit
        while rest >= 128 {
            writeInteger(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        writeInteger(UInt8(rest))
    }

    private mutating func writeHPACKString(_ text: String) {
        writeHPACKInteger(text.utf8.count, prefixBits: 7, first: 0)
        writeString(text)
    }

    /// A header whose name and value stand in the static table (RFC 7541, appendix A).
    mutating func writeStaticHeader(_ index: UInt8) { writeInteger(0x80 | index) }

    /// A header whose name stands in the static table.
    mutating func writeHeader(nameIndex: Int, _ value: String) {
        writeHPACKInteger(nameIndex, prefixBits: 4, first: 0)
        writeHPACKString(value)
    }

    /// - Parameter name: in lower case.
    mutating func writeHeader(_ name: String, _ value: String) {
        writeInteger(UInt8(0))
        writeHPACKString(name)
        writeHPACKString(value)
    }
}

/// Indices into HPACK's static table.
enum HPACKStatic {
    static let authority = 1
    static let methodPOST: UInt8 = 3
    static let path = 4
    static let schemeHTTP: UInt8 = 6
    static let status200: UInt8 = 8
    static let contentType = 31
    static let userAgent = 58
}
