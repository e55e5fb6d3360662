import NIOCore

/// Looks for the detach sequence in what is typed. Keys that began a sequence and did not finish it are passed on late, none is lost.
struct DetachScanner {
    private let keys: [UInt8]
    private var matched = 0

    init(keys: [UInt8]) { self.keys = keys }

    mutating func scan(_ piece: ByteBuffer) -> (forwarded: ByteBuffer, detach: Bool) {
        guard !keys.isEmpty else { return (piece, false) }
        var output = ByteBuffer()
        output.reserveCapacity(piece.readableBytes + matched)
        for byte in piece.readableBytesView {
            if byte == keys[matched] {
                matched += 1
                if matched == keys.count { return detached(output) }
                continue
            }
            output.writeBytes(keys[..<matched])
            matched = 0
            if byte == keys[0] {
                matched = 1
                if keys.count == 1 { return detached(output) }
            } else {
                output.writeInteger(byte)
            }
        }
        return (output, false)
    }

    /// The next piece starts from the beginning again: one may still arrive after the sequence.
    private mutating func detached(_ output: ByteBuffer) -> (forwarded: ByteBuffer, detach: Bool) {
        matched = 0
        return (output, true)
    }

    /// Reads `ctrl-p,ctrl-q`, `a`, `ctrl-@`: Docker's notation.
    ///
    /// - Throws: `.invalidArgument` in dockerd's words.
    static func parse(_ text: String) throws -> [UInt8] {
        try text.split(separator: ",", omittingEmptySubsequences: false).map { key in
            if key.utf8.count == 1, let byte = key.utf8.first { return byte }
            if key.hasPrefix("ctrl-"), key.utf8.count == 6, let byte = key.utf8.last {
                switch byte {
                case 0x61...0x7A: return byte - 0x60
                case 0x40: return 0
                case 0x5B: return 27
                case 0x5C: return 28
                case 0x5D: return 29
                case 0x5E: return 30
                case 0x5F: return 31
                default: break
                }
            }
            throw DaemonError.invalid("Invalid detach keys (\(text)) provided")
        }
    }

    /// ctrl-p, ctrl-q
    static let defaultKeys: [UInt8] = [16, 17]
}
