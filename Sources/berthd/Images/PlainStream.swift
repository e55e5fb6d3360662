import FoundationEssentials

/// A stream whose first bytes were looked at.
struct StreamStart<Piece: Sendable>: Sendable {
    /// nil where the stream is not packed.
    let packing: ArchivePacking?
    /// The whole stream, from its start.
    let next: @Sendable () async throws -> Piece?

    static func read(
        _ next: @escaping @Sendable () async throws -> Piece?, bytes: (Piece) -> some Collection<UInt8>
    ) async throws -> StreamStart {
        var pieces: [Piece] = [], head: [UInt8] = []
        while head.count < ArchivePacking.headLength, let piece = try await next() {
            head += bytes(piece).prefix(ArchivePacking.headLength - head.count)
            pieces.append(piece)
        }
        let held = Exclusive(pieces)
        return StreamStart(packing: ArchivePacking(head)) {
            if let piece = held.with({ $0.isEmpty ? nil : $0.removeFirst() }) { return piece }
            return try await next()
        }
    }
}

/// A packed stream without its packing, in pieces. The program is started with the first one.
///
/// Safety: one call after the other.
final class PlainStream: @unchecked Sendable {
    private let source: BodySource
    private let packing: ArchivePacking
    private var unpacked: UnpackedSource?

    init(_ source: BodySource, _ packing: ArchivePacking) {
        (self.source, self.packing) = (source, packing)
    }

    /// Blocks.
    func next() throws -> Data? {
        let stream = try unpacked ?? UnpackedSource(source, packing)
        unpacked = stream
        var bytes = [UInt8](repeating: 0, count: 1 << 18)
        let count = try bytes.withUnsafeMutableBytes { try stream.read(into: $0) }
        return count == 0 ? nil : Data(bytes[..<count])
    }
}
