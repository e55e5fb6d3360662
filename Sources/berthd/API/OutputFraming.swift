import DockerAPI
import NIOCore

/// Puts Docker's frames around output or takes them off: whether a client gets frames depends on what it said when it started the exec, and not on
/// whether the process has a terminal.
struct OutputFraming {
    enum Change: Sendable, Equatable {
        case none
        /// The output of a terminal, for a client that reads frames: all of it is standard output.
        case add
        /// Frames of two streams, for a client that reads bytes.
        case remove
    }

    private let change: Change
    /// Bytes of a frame's content that are still to come, and the part of a header that has come.
    private var remaining = 0
    private var header = ByteBuffer()

    init(_ change: Change) { self.change = change }

    mutating func apply(to piece: ByteBuffer) -> ByteBuffer {
        switch change {
        case .none: return piece
        case .add:
            guard piece.readableBytes > 0 else { return piece }
            var framed = ByteBuffer()
            framed.writeBytes(StreamFrame(kind: .stdout, length: UInt32(piece.readableBytes)).header)
            framed.writeImmutableBuffer(piece)
            return framed
        case .remove: return withoutHeaders(piece)
        }
    }

    private mutating func withoutHeaders(_ piece: ByteBuffer) -> ByteBuffer {
        var rest = piece, content = ByteBuffer()
        while rest.readableBytes > 0 {
            if remaining > 0, var part = rest.readSlice(length: min(remaining, rest.readableBytes)) {
                remaining -= part.readableBytes
                content.writeBuffer(&part)
                continue
            }
            if var part = rest.readSlice(length: min(8 - header.readableBytes, rest.readableBytes)) { header.writeBuffer(&part) }
            guard header.readableBytes == 8 else { break }
            remaining = Int(header.getInteger(at: header.readerIndex + 4, as: UInt32.self) ?? 0)
            header.clear()
        }
        return content
    }
}
