/// The 8-byte header before every piece of output of a container without a terminal: kind, three zeros, length in big endian.
///
/// Spec: Engine API, "Attach to a container", stream format.
package struct StreamFrame: Sendable, Equatable {
    package enum Kind: UInt8, Sendable {
        case stdin = 0
        case stdout = 1
        case stderr = 2
        /// An error of the engine after the stream began, as text.
        case systemError = 3
    }

    package static let headerLength = 8

    package var kind: Kind
    /// Bytes of payload that follow.
    package var length: UInt32

    package init(kind: Kind, length: UInt32) {
        self.kind = kind
        self.length = length
    }

    /// Reads a header. nil when fewer than eight bytes are given or the kind is unknown.
    package init?(header: some Collection<UInt8>) {
        guard header.count >= Self.headerLength, let first = header.first, let kind = Kind(rawValue: first) else { return nil }
        self.kind = kind
        length = header.dropFirst(4).prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    package var header: [UInt8] {
        [kind.rawValue, 0, 0, 0, UInt8(truncatingIfNeeded: length >> 24), UInt8(truncatingIfNeeded: length >> 16), UInt8(truncatingIfNeeded: length >> 8), UInt8(truncatingIfNeeded: length)]
    }
}
