import BerthDefaults
import CISAL
import CZstd
import OCILayer

/// How a layer's bytes are packed. Told from the bytes themselves, as every engine does: media types of real images are not always true.
enum Compression: String, Sendable {
    case none = "", gzip, zstd

    /// - Parameter start: the first bytes, at least four unless there are fewer.
    init(detecting start: some Collection<UInt8>) {
        if start.starts(with: [0x1f, 0x8b, 0x08]) {
            self = .gzip
        } else if start.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) {
            self = .zstd
        } else if start.count >= 4, (0x50...0x5f).contains(start[start.startIndex]), start.dropFirst().starts(with: [0x2a, 0x4d, 0x18]) {
            // A skippable frame in front, as seekable zstd files have it.
            self = .zstd
        } else {
            self = .none
        }
    }
}

/// The uncompressed bytes of a stream in any of the packings a layer may have. Decoders run in this process with bounded memory; nothing from an
/// image and no helper program is started.
func decompressed(_ source: any ByteSource) throws -> any ByteSource {
    let peeking = PeekingSource(source)
    switch Compression(detecting: try peeking.peek(4)) {
    case .none: return peeking
    case .gzip: return GzipSource(peeking)
    case .zstd: return try ZstdSource(peeking)
    }
}

/// A source whose first bytes can be looked at before they are read.
final class PeekingSource: ByteSource {
    private let source: any ByteSource
    private var held: [UInt8] = []
    private var position = 0

    init(_ source: any ByteSource) { self.source = source }

    /// The first `count` bytes, fewer at the end of the stream. Before the first `read`.
    func peek(_ count: Int) throws -> [UInt8] {
        while held.count < count {
            var more = [UInt8](repeating: 0, count: count - held.count)
            let read = try more.withUnsafeMutableBytes { try source.read(into: $0) }
            if read == 0 { break }
            held += more[..<read]
        }
        return held
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard position < held.count else { return try source.read(into: buffer) }
        let count = min(buffer.count, held.count - position)
        buffer.copyBytes(from: held[position..<(position + count)])
        position += count
        return count
    }
}

/// gzip through ISA-L, several members one after the other included (RFC 1952, section 2.2). The checksum of each is verified.
final class GzipSource: ByteSource {
    private let source: any ByteSource
    private let input = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
    private let state = UnsafeMutablePointer<inflate_state>.allocate(capacity: 1)
    private var sourceIsAtEnd = false
    private var isBetweenMembers = false

    init(_ source: any ByteSource) {
        self.source = source
        isal_inflate_init(state)
        state.pointee.crc_flag = UInt32(ISAL_GZIP)
        state.pointee.avail_in = 0
    }

    deinit {
        input.deallocate()
        state.deallocate()
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let capacity = UInt32(min(buffer.count, 1 << 30))
        state.pointee.next_out = buffer.assumingMemoryBound(to: UInt8.self).baseAddress
        state.pointee.avail_out = capacity
        while state.pointee.avail_out == capacity {
            if state.pointee.avail_in == 0, !sourceIsAtEnd { try refill() }
            if isBetweenMembers {
                guard try beginMember() else { return 0 }
            }
            let availableBefore = state.pointee.avail_in
            let result = isal_inflate(state)
            guard result == ISAL_DECOMP_OK || result == ISAL_END_INPUT else {
                throw StorageError(.invalidArgument, result == ISAL_INCORRECT_CHECKSUM ? "gzip: invalid checksum" : "gzip: invalid data (\(result))")
            }
            if state.pointee.block_state == ISAL_BLOCK_FINISH {
                isBetweenMembers = true
            } else if sourceIsAtEnd, state.pointee.avail_in == 0, availableBefore == 0, state.pointee.avail_out == capacity {
                throw StorageError(.invalidArgument, "gzip: unexpected end of the data")
            }
        }
        return Int(capacity - state.pointee.avail_out)
    }

    private func refill() throws {
        let count = try source.read(into: input)
        if count == 0 { sourceIsAtEnd = true }
        state.pointee.next_in = input.assumingMemoryBound(to: UInt8.self).baseAddress
        state.pointee.avail_in = UInt32(count)
    }

    /// After a member: another one, or the end of the stream, with zeros in front of it as tapes and some registries pad.
    private func beginMember() throws -> Bool {
        while true {
            while state.pointee.avail_in > 0, state.pointee.next_in.pointee == 0 {
                state.pointee.next_in += 1
                state.pointee.avail_in -= 1
            }
            if state.pointee.avail_in > 0 { break }
            if sourceIsAtEnd { return false }
            try refill()
        }
        guard state.pointee.next_in.pointee == 0x1f else { throw StorageError(.invalidArgument, "gzip: invalid data after the end") }
        let (next, available) = (state.pointee.next_in, state.pointee.avail_in)
        isal_inflate_reset(state)
        state.pointee.crc_flag = UInt32(ISAL_GZIP)
        state.pointee.next_in = next
        state.pointee.avail_in = available
        isBetweenMembers = false
        return true
    }
}

/// Zstandard frames one after the other. A frame may ask for a window of 128 MiB at most, the format's recommended bound for decoders.
final class ZstdSource: ByteSource {
    private let source: any ByteSource
    private let stream: OpaquePointer
    private let input = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
    private var available = ZSTD_inBuffer()
    private var sourceIsAtEnd = false
    private var isInFrame = false

    init(_ source: any ByteSource) throws {
        guard let stream = ZSTD_createDStream() else { throw StorageError(.resourceExhausted, "zstd: no memory for a decoder") }
        self.source = source
        self.stream = stream
        _ = ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 27)
    }

    deinit {
        ZSTD_freeDStream(stream)
        input.deallocate()
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        var output = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
        while output.pos == 0 {
            if available.pos == available.size, !sourceIsAtEnd {
                let count = try source.read(into: input)
                if count == 0 { sourceIsAtEnd = true }
                available = ZSTD_inBuffer(src: UnsafeRawPointer(input.baseAddress), size: count, pos: 0)
            }
            let drained = available.pos == available.size
            if drained, sourceIsAtEnd, !isInFrame { return 0 }
            let result = ZSTD_decompressStream(stream, &output, &available)
            guard ZSTD_isError(result) == 0 else { throw StorageError(.invalidArgument, "zstd: \(String(cString: ZSTD_getErrorName(result)))") }
            isInFrame = result != 0
            if drained, sourceIsAtEnd, output.pos == 0, isInFrame { throw StorageError(.invalidArgument, "zstd: unexpected end of the data") }
        }
        return output.pos
    }
}
