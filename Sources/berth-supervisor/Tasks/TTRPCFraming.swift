import BerthDefaults
import NIOCore

/// One ttrpc frame: `length be32, stream be32, type, flags`, then `length` bytes.
///
/// Spec: containerd/ttrpc, PROTOCOL.md.
struct TTRPCFrame {
    enum Kind: UInt8 { case request = 1, response = 2, data = 3 }

    static let headerLength = 10
    /// The protocol's limit for one frame's payload.
    static let maximumLength = 4 << 20

    var stream: UInt32
    /// nil for a kind this version does not know.
    var kind: Kind?
    var payload: ByteBuffer

    static func write(_ kind: Kind, stream: UInt32, payload: [UInt8], to buffer: inout ByteBuffer) {
        buffer.writeMultipleIntegers(UInt32(payload.count), stream, kind.rawValue, UInt8(0))
        buffer.writeBytes(payload)
    }

    /// Takes the next complete frame off the buffer; nil when more bytes are needed.
    static func read(from buffer: inout ByteBuffer) throws(SupervisorError) -> TTRPCFrame? {
        guard let (length, stream, kind, _) = buffer.getMultipleIntegers(at: buffer.readerIndex, as: (UInt32, UInt32, UInt8, UInt8).self) else {
            return nil
        }
        guard length <= maximumLength else { throw SupervisorError(.invalidArgument, "ttrpc frame of \(length) bytes") }
        guard buffer.readableBytes >= headerLength + Int(length) else { return nil }
        buffer.moveReaderIndex(forwardBy: headerLength)
        guard let payload = buffer.readSlice(length: Int(length)) else { return nil }
        return TTRPCFrame(stream: stream, kind: Kind(rawValue: kind), payload: payload)
    }
}
