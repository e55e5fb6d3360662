import NIOCore
import SwiftProtobuf

// gRPC puts five bytes before each message: compressed or not, and the length. Spec: gRPC, PROTOCOL-HTTP2.md, Length-Prefixed-Message.

/// Lets swift-protobuf read from and write into a `ByteBuffer` without a copy between.
struct MessageBytes: SwiftProtobufContiguousBytes {
    var buffer: ByteBuffer

    init(_ buffer: ByteBuffer) { self.buffer = buffer }

    init(repeating value: UInt8, count: Int) {
        buffer = ByteBufferAllocator().buffer(capacity: count + 5)
        buffer.writeRepeatingByte(value, count: count)
    }

    init<S: Sequence>(_ sequence: S) where S.Element == UInt8 { buffer = ByteBuffer(bytes: sequence) }

    var count: Int { buffer.readableBytes }

    func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R { try buffer.withUnsafeReadableBytes(body) }

    mutating func withUnsafeMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) rethrows -> R {
        try buffer.withUnsafeMutableReadableBytes(body)
    }
}

/// Serializes a message behind its five-byte prefix.
func frameMessage<M: Message>(_ message: M) throws(GRPCStatus) -> ByteBuffer {
    let body: [UInt8]
    do { body = try message.serializedBytes() } catch { throw GRPCStatus(.internalError, "encode \(M.protoMessageName): \(error)") }
    guard body.count <= HTTP2Limits.maxMessageBytes else {
        throw GRPCStatus(.resourceExhausted, "message of \(body.count) bytes is larger than the limit of \(HTTP2Limits.maxMessageBytes)")
    }
    var buffer = ByteBufferAllocator().buffer(capacity: body.count + 5)
    buffer.writeMultipleIntegers(UInt8(0), UInt32(body.count))
    buffer.writeBytes(body)
    return buffer
}

func parseMessage<M: Message>(_ bytes: ByteBuffer, as type: M.Type = M.self) throws(GRPCStatus) -> M {
    do { return try M(serializedBytes: MessageBytes(bytes)) } catch {
        throw GRPCStatus(.internalError, "decode \(M.protoMessageName): \(error)")
    }
}

/// Cuts a stream's bytes into messages.
struct MessageDeframer {
    private var buffer = ByteBuffer()

    mutating func append(_ data: ByteBuffer) {
        var data = data
        if buffer.readableBytes == 0 { buffer = data } else { buffer.writeBuffer(&data) }
    }

    /// The next complete message, nil when more bytes are needed.
    mutating func next() throws(GRPCStatus) -> ByteBuffer? {
        guard let (compressed, length) = buffer.getMultipleIntegers(at: buffer.readerIndex, as: (UInt8, UInt32).self) else {
            if buffer.readableBytes == 0 { buffer = ByteBuffer() }
            return nil
        }
        guard compressed == 0 else { throw GRPCStatus(.unimplemented, "message compression is not supported") }
        guard length <= HTTP2Limits.maxMessageBytes else {
            throw GRPCStatus(.resourceExhausted, "message of \(length) bytes is larger than the limit of \(HTTP2Limits.maxMessageBytes)")
        }
        guard buffer.readableBytes >= 5 + Int(length) else {
            // Grown once to what the message needs, not doubled again and again.
            buffer.reserveCapacity(minimumWritableBytes: 5 + Int(length) - buffer.readableBytes)
            return nil
        }
        buffer.moveReaderIndex(forwardBy: 5)
        return buffer.readSlice(length: Int(length))
    }

    var isEmpty: Bool { buffer.readableBytes == 0 }
}

extension GRPCStatus {
    /// The message as a header value: printable ASCII but `%`, the rest as `%XX` of its UTF-8 bytes.
    static func percentEncoded(_ text: String) -> String {
        if text.utf8.allSatisfy({ (0x20...0x7e).contains($0) && $0 != 0x25 }) { return text }
        let digits = Array("0123456789ABCDEF".utf8)
        var out: [UInt8] = []
        for byte in text.utf8 {
            if (0x20...0x7e).contains(byte), byte != 0x25 {
                out.append(byte)
            } else {
                out += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// The reverse. What is not a valid escape stays as it is.
    static func percentDecoded(_ text: String) -> String {
        guard text.utf8.contains(0x25) else { return text }
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == 0x25, index + 2 < bytes.count, let value = UInt8(String(decoding: bytes[(index + 1)...(index + 2)], as: UTF8.self), radix: 16) {
                out.append(value)
                index += 3
            } else {
                out.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// `grpc-timeout`: at most eight digits and a unit. Spec: gRPC, PROTOCOL-HTTP2.md, Timeout.
    static func encodeTimeout(_ timeout: Duration) -> String {
        let (seconds, attoseconds) = timeout.components
        let nanoseconds = max(0, seconds.multipliedReportingOverflow(by: 1_000_000_000).overflow ? .max : seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
        for (divisor, unit) in [(Int64(1), "n"), (1_000, "u"), (1_000_000, "m"), (1_000_000_000, "S"), (60_000_000_000, "M")] {
            let value = nanoseconds / divisor
            if value < 100_000_000 { return "\(value)\(unit)" }
        }
        return "99999999M"
    }

    static func decodeTimeout(_ text: String) -> Duration? {
        guard let unit = text.last, let value = Int64(text.dropLast()), (0..<100_000_000).contains(value) else { return nil }
        switch unit {
        case "n": return .nanoseconds(value)
        case "u": return .microseconds(value)
        case "m": return .milliseconds(value)
        case "S": return .seconds(value)
        case "M": return .seconds(value * 60)
        case "H": return .seconds(value * 3600)
        default: return nil
        }
    }
}

/// Base64 of binary headers (`-bin`), with or without padding, as gRPC sends and accepts it.
enum HeaderBase64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var out: [UInt8] = []
        var index = 0
        while index < bytes.count {
            let group = bytes[index..<min(index + 3, bytes.count)]
            let value = group.reduce(0) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
            for position in 0...group.count { out.append(alphabet[Int(value >> UInt32(18 - 6 * position)) & 63]) }
            index += 3
        }
        return String(decoding: out, as: UTF8.self)
    }

    static func decode(_ text: String) -> [UInt8]? {
        var out: [UInt8] = []
        var value: UInt32 = 0
        var bits = 0
        for byte in text.utf8 where byte != UInt8(ascii: "=") {
            guard let digit = alphabet.firstIndex(of: byte) else { return nil }
            value = value << 6 | UInt32(digit)
            bits += 6
            if bits >= 8 {
                bits -= 8
                out.append(UInt8(truncatingIfNeeded: value >> UInt32(bits)))
            }
        }
        return out
    }
}
