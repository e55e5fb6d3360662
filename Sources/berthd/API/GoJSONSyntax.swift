/// Finds the first syntax error of a JSON text and words it as Go's encoding/json does: clients and their users know these sentences.
///
/// Runs on requests that did not parse only. Depth is bounded, so that brackets cannot exhaust the stack.
///
/// Grammar: RFC 8259.
struct GoJSONSyntax {
    enum Outcome: Equatable {
        /// A value, and whether something other than white space follows it.
        case valid(hasMore: Bool)
        case empty
        case invalid(String)
    }

    private struct Failure: Error { let text: String }
    /// As FoundationEssentials' parser, which gives up first; Go's 10 000 would not fit on a thread's stack of half a megabyte.
    private static let depthLimit = 512

    private let bytes: [UInt8]
    private var position = 0
    private var depth = 0

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    static func check(_ bytes: [UInt8]) -> Outcome {
        var scanner = GoJSONSyntax(bytes)
        scanner.skipSpace()
        guard scanner.position < bytes.count else { return .empty }
        do throws(Failure) { try scanner.value() } catch { return .invalid(error.text) }
        scanner.skipSpace()
        return .valid(hasMore: scanner.position < bytes.count)
    }

    // MARK: Pieces

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { position += 1 }
    }

    /// The failure at the byte that stands here, or at the end of the text.
    private func unexpected(_ context: String) -> Failure {
        guard let byte = next else { return Failure(text: "unexpected EOF") }
        return Failure(text: "invalid character \(Self.quoted(byte)) \(context)")
    }

    /// As Go's quoteChar: the byte as a character of Latin-1.
    private static func quoted(_ byte: UInt8) -> String {
        switch byte {
        case 0x27: "'\\''"
        case 0x22: "'\"'"
        case 0x5C: "'\\\\'"
        case 0x07: "'\\a'"
        case 0x08: "'\\b'"
        case 0x0C: "'\\f'"
        case 0x0A: "'\\n'"
        case 0x0D: "'\\r'"
        case 0x09: "'\\t'"
        case 0x0B: "'\\v'"
        case 0x00..<0x20, 0x7F: "'\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16) + "'"
        case 0x80..<0xA0, 0xAD: "'\\u00" + String(byte, radix: 16) + "'"
        default: "'\(Character(Unicode.Scalar(byte)))'"
        }
    }

    private mutating func value() throws(Failure) {
        skipSpace()
        guard let byte = next else { throw Failure(text: "unexpected EOF") }
        switch byte {
        case 0x7B, 0x5B:
            depth += 1
            guard depth <= Self.depthLimit else { throw Failure(text: "exceeded max depth") }
            if byte == 0x7B { try object() } else { try array() }
            depth -= 1
        case 0x22: try string()
        case 0x2D, 0x30...0x39: try number()
        case 0x74: try literal("true")
        case 0x66: try literal("false")
        case 0x6E: try literal("null")
        default: throw unexpected("looking for beginning of value")
        }
    }

    private mutating func object() throws(Failure) {
        position += 1
        skipSpace()
        if next == 0x7D { return position += 1 }
        while true {
            skipSpace()
            guard next == 0x22 else { throw unexpected("looking for beginning of object key string") }
            try string()
            skipSpace()
            guard next == 0x3A else { throw unexpected("after object key") }
            position += 1
            try value()
            skipSpace()
            switch next {
            case 0x2C: position += 1
            case 0x7D: return position += 1
            default: throw unexpected("after object key:value pair")
            }
        }
    }

    private mutating func array() throws(Failure) {
        position += 1
        skipSpace()
        if next == 0x5D { return position += 1 }
        while true {
            try value()
            skipSpace()
            switch next {
            case 0x2C: position += 1
            case 0x5D: return position += 1
            default: throw unexpected("after array element")
            }
        }
    }

    private mutating func string() throws(Failure) {
        position += 1
        while let byte = next {
            switch byte {
            case 0x22: return position += 1
            case 0x5C:
                position += 1
                guard let escaped = next else { throw Failure(text: "unexpected EOF") }
                guard "\"\\/bfnrtu".utf8.contains(escaped) else { throw unexpected("in string escape code") }
                position += 1
                guard escaped == 0x75 else { continue }
                for _ in 0..<4 {
                    guard let digit = next, Character(Unicode.Scalar(digit)).isHexDigit else { throw unexpected("in \\u hexadecimal character escape") }
                    position += 1
                }
            case 0..<0x20: throw unexpected("in string literal")
            default: position += 1
            }
        }
        throw Failure(text: "unexpected EOF")
    }

    private mutating func digits(_ context: String) throws(Failure) {
        guard let byte = next, (0x30...0x39).contains(byte) else { throw unexpected(context) }
        while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
    }

    private mutating func number() throws(Failure) {
        if next == 0x2D { position += 1 }
        if next == 0x30 { position += 1 } else { try digits("in numeric literal") }
        if next == 0x2E {
            position += 1
            try digits("after decimal point in numeric literal")
        }
        if next == 0x65 || next == 0x45 {
            position += 1
            if next == 0x2B || next == 0x2D { position += 1 }
            try digits("in exponent of numeric literal")
        }
    }

    private mutating func literal(_ word: String) throws(Failure) {
        for expected in word.utf8 {
            guard next == expected else { throw unexpected("in literal \(word) (expecting '\(Character(Unicode.Scalar(expected)))')") }
            position += 1
        }
    }
}
