/// Reads JSON (RFC 8259) from bytes. One value, or several behind each other as the engine's streams send them.
struct JSONParser {
    struct SyntaxError: Error {
        let offset: Int
        let reason: String
    }

    private let bytes: [UInt8]
    private(set) var offset: Int
    /// Nesting that is refused, so that a hostile reply cannot exhaust the stack.
    private static let deepest = 512

    init(_ bytes: [UInt8], offset: Int = 0) {
        self.bytes = bytes
        self.offset = offset
    }

    /// The one value that `bytes` holds.
    static func parse(_ bytes: [UInt8]) throws -> JSONValue {
        var parser = JSONParser(bytes)
        let value = try parser.next(depth: 0)
        parser.skipBlanks()
        guard parser.offset == bytes.count else { throw parser.error("unexpected data after the value") }
        return value
    }

    static func parse(_ text: String) throws -> JSONValue { try parse(Array(text.utf8)) }

    /// The next of several values; nil at the end.
    mutating func nextOrEnd() throws -> JSONValue? {
        skipBlanks()
        return offset == bytes.count ? nil : try next(depth: 0)
    }

    private mutating func next(depth: Int) throws -> JSONValue {
        guard depth < JSONParser.deepest else { throw error("nested too deeply") }
        skipBlanks()
        guard let byte = peek() else { throw error("unexpected end") }
        switch byte {
        case UInt8(ascii: "{"): return .object(try object(depth: depth))
        case UInt8(ascii: "["): return .array(try array(depth: depth))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return number()
        default: throw error("unexpected character")
        }
    }

    private mutating func object(depth: Int) throws -> JSONObject {
        var result = JSONObject()
        offset += 1
        skipBlanks()
        if take(UInt8(ascii: "}")) { return result }
        while true {
            skipBlanks()
            guard peek() == UInt8(ascii: "\"") else { throw error("a member's name is missing") }
            let key = try string()
            skipBlanks()
            guard take(UInt8(ascii: ":")) else { throw error("a colon is missing") }
            result.append(key, try next(depth: depth + 1))
            skipBlanks()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "}")) else { throw error("an object is not closed") }
            return result
        }
    }

    private mutating func array(depth: Int) throws -> [JSONValue] {
        var result: [JSONValue] = []
        offset += 1
        skipBlanks()
        if take(UInt8(ascii: "]")) { return result }
        while true {
            result.append(try next(depth: depth + 1))
            skipBlanks()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "]")) else { throw error("an array is not closed") }
            return result
        }
    }

    private mutating func string() throws -> String {
        offset += 1
        let start = offset
        while offset < bytes.count, bytes[offset] != UInt8(ascii: "\""), bytes[offset] != UInt8(ascii: "\\") { offset += 1 }
        if offset < bytes.count, bytes[offset] == UInt8(ascii: "\"") {
            defer { offset += 1 }
            return String(decoding: bytes[start..<offset], as: UTF8.self)
        }
        var text = Array(bytes[start..<offset])
        while let byte = peek() {
            offset += 1
            if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
            guard byte == UInt8(ascii: "\\") else {
                text.append(byte)
                continue
            }
            guard let escape = peek() else { break }
            offset += 1
            switch escape {
            case UInt8(ascii: "n"): text.append(10)
            case UInt8(ascii: "t"): text.append(9)
            case UInt8(ascii: "r"): text.append(13)
            case UInt8(ascii: "b"): text.append(8)
            case UInt8(ascii: "f"): text.append(12)
            case UInt8(ascii: "u"): text += Array(String(Character(try unicode())).utf8)
            default: text.append(escape)
            }
        }
        throw error("a string is not closed")
    }

    /// The four digits after `\u`, and the second half when they are a surrogate.
    private mutating func unicode() throws -> Unicode.Scalar {
        let first = try hexadecimal()
        if (0xD800..<0xDC00).contains(first), offset + 1 < bytes.count, bytes[offset] == UInt8(ascii: "\\"), bytes[offset + 1] == UInt8(ascii: "u") {
            let before = offset
            offset += 2
            let second = try hexadecimal()
            if (0xDC00..<0xE000).contains(second), let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)) { return scalar }
            offset = before
        }
        return Unicode.Scalar(first) ?? "\u{FFFD}"
    }

    private mutating func hexadecimal() throws -> UInt32 {
        guard offset + 4 <= bytes.count, let value = UInt32(String(decoding: bytes[offset..<offset + 4], as: UTF8.self), radix: 16) else {
            throw error("four hexadecimal digits are missing")
        }
        offset += 4
        return value
    }

    private mutating func number() -> JSONValue {
        let start = offset
        while let byte = peek(), byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") || byte == UInt8(ascii: ".") || byte | 0x20 == UInt8(ascii: "e")
            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        { offset += 1 }
        return .number(String(decoding: bytes[start..<offset], as: UTF8.self))
    }

    private mutating func word(_ text: StaticString, _ value: JSONValue) throws -> JSONValue {
        let count = text.utf8CodeUnitCount
        let matches = text.withUTF8Buffer { expected in
            offset + count <= bytes.count && bytes[offset..<offset + count].elementsEqual(expected)
        }
        guard matches else { throw error("unexpected word") }
        offset += count
        return value
    }

    private mutating func skipBlanks() {
        while let byte = peek(), byte == 32 || byte == 10 || byte == 13 || byte == 9 { offset += 1 }
    }

    private func peek() -> UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        offset += 1
        return true
    }

    private func error(_ reason: String) -> SyntaxError { SyntaxError(offset: offset, reason: reason) }
}
