/// The digest of some content: "sha256:" and 64 hexadecimal digits.
///
/// Spec: OCI image-spec, descriptor.md#digests. Only algorithms that the specification registers are accepted.
package struct Digest: Hashable, Sendable, CustomStringConvertible {
    package enum Algorithm: String, Sendable, CaseIterable {
        case sha256, sha384, sha512

        /// Length of the encoded part.
        package var encodedLength: Int {
            switch self {
            case .sha256: 64
            case .sha384: 96
            case .sha512: 128
            }
        }
    }

    /// What is wrong with a text that should have been a digest, in the words of the field.
    package enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        case invalidFormat, invalidLength, unsupportedAlgorithm

        package var description: String {
            switch self {
            case .invalidFormat: "invalid checksum digest format"
            case .invalidLength: "invalid checksum digest length"
            case .unsupportedAlgorithm: "unsupported digest algorithm"
            }
        }
    }

    package let algorithm: Algorithm
    /// Lower-case hexadecimal digits. Safe as a file name.
    package let encoded: String

    package var description: String { "\(algorithm.rawValue):\(encoded)" }

    /// Reads `algorithm:encoded`.
    package init(parsing text: some StringProtocol) throws(Failure) {
        let bytes = Array(text.utf8)
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")), colon > 0, colon + 1 < bytes.count else { throw .invalidFormat }
        let name = String(decoding: bytes[..<colon], as: UTF8.self), encoded = bytes[(colon + 1)...]
        guard let algorithm = Algorithm(rawValue: name) else {
            throw Self.isWellFormed(algorithm: bytes[..<colon], encoded: encoded) ? .unsupportedAlgorithm : .invalidFormat
        }
        guard encoded.count == algorithm.encodedLength else { throw .invalidLength }
        guard encoded.allSatisfy(\.isLowerHexadecimal) else { throw .invalidFormat }
        self.algorithm = algorithm
        self.encoded = String(decoding: encoded, as: UTF8.self)
    }

    /// The digest with these bytes, as a hash function returns them.
    /// - Precondition: there are as many as the algorithm yields.
    package init(_ algorithm: Algorithm = .sha256, bytes: some Sequence<UInt8>) {
        let digits = Array("0123456789abcdef".utf8)
        let text = bytes.reduce(into: [UInt8]()) { text, byte in text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
        precondition(text.count == algorithm.encodedLength)
        self.algorithm = algorithm
        self.encoded = String(decoding: text, as: UTF8.self)
    }

    /// The grammar for any algorithm: `[a-z0-9]+([.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+`.
    private static func isWellFormed(algorithm: ArraySlice<UInt8>, encoded: ArraySlice<UInt8>) -> Bool {
        var afterSeparator = true
        for byte in algorithm {
            if byte.isLowerAlphanumeric {
                afterSeparator = false
            } else if [UInt8(ascii: "."), UInt8(ascii: "+"), UInt8(ascii: "_"), UInt8(ascii: "-")].contains(byte), !afterSeparator {
                afterSeparator = true
            } else {
                return false
            }
        }
        return !afterSeparator
            && encoded.allSatisfy { $0.isAlphanumeric || $0 == UInt8(ascii: "=") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") }
    }
}

extension Digest: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        do {
            try self.init(parsing: text)
        } catch {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(error): \(text.debugDescription)")
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// Classes of ASCII characters that the grammars of this module speak of.
extension UInt8 {
    var isDigit: Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= self }
    var isLowerAlphanumeric: Bool { isDigit || UInt8(ascii: "a")...UInt8(ascii: "z") ~= self }
    var isUpper: Bool { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= self }
    var isAlphanumeric: Bool { isLowerAlphanumeric || isUpper }
    var isLowerHexadecimal: Bool { isDigit || UInt8(ascii: "a")...UInt8(ascii: "f") ~= self }
    var isHexadecimal: Bool { isLowerHexadecimal || UInt8(ascii: "A")...UInt8(ascii: "F") ~= self }
}
