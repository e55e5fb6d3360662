/// Puts a document's text together, piece after piece.
struct JSONWriter {
    var output: [UInt8] = []
    private let indentation: [UInt8]?

    init(layout: JSON.Layout, capacity: Int = 1024) {
        switch layout {
        case .compact: indentation = nil
        case .indented(let text): indentation = Array(text.utf8)
        }
        output.reserveCapacity(capacity)
    }

    /// Punctuation and numbers, as they are.
    mutating func append(_ text: StaticString) { output.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)) }
    /// The library's own way to a number's text is for any number: it looks up a dozen associated types when it is first used.
    private mutating func append(decimal value: UInt64) {
        if value >= 10 { append(decimal: value / 10) }
        output.append(UInt8(ascii: "0") + UInt8(value % 10))
    }

    mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { output.append(contentsOf: $0) }
    }

    /// Between two members or elements, and before the first one.
    /// - Parameter level: of what is inside: 1 in the document's own object.
    mutating func separate(isFirst: Bool, level: Int) {
        if !isFirst { output.append(UInt8(ascii: ",")) }
        newLine(level)
    }

    mutating func newLine(_ level: Int) {
        guard let indentation else { return }
        output.append(UInt8(ascii: "\n"))
        for _ in 0..<level { output += indentation }
    }

    /// A member's name.
    mutating func name(_ text: String) {
        write(text)
        output.append(UInt8(ascii: ":"))
        if indentation != nil { output.append(UInt8(ascii: " ")) }
    }

    mutating func write(_ value: some FixedWidthInteger) {
        if value < 0 { output.append(UInt8(ascii: "-")) }
        append(decimal: UInt64(value.magnitude))
    }

    mutating func write(_ value: Bool) { if value { append("true" as StaticString) } else { append("false" as StaticString) } }

    /// Escapes what JSON demands, and the two line separators that JavaScript ended a text at, as Go's `encoding/json` does without `SetEscapeHTML`.
    mutating func write(_ text: String) {
        var text = text
        output.append(UInt8(ascii: "\""))
        text.withUTF8 { bytes in
            var start = 0
            for (position, byte) in bytes.enumerated() where byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte == 0xE2 {
                var length = 1
                if byte == 0xE2 {
                    guard position + 2 < bytes.count, bytes[position + 1] == 0x80, bytes[position + 2] & 0xFE == 0xA8 else { continue }
                    length = 3
                }
                output.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[start..<position]))
                escape(byte, last: bytes[position + length - 1])
                start = position + length
            }
            output.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[start...]))
        }
        output.append(UInt8(ascii: "\""))
    }

    private mutating func escape(_ byte: UInt8, last: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): append("\\\"" as StaticString)
        case UInt8(ascii: "\\"): append("\\\\" as StaticString)
        case 0x08: append("\\b" as StaticString)
        case 0x09: append("\\t" as StaticString)
        case 0x0A: append("\\n" as StaticString)
        case 0x0C: append("\\f" as StaticString)
        case 0x0D: append("\\r" as StaticString)
        case 0xE2: append(last == 0xA8 ? "\\u2028" : "\\u2029" as StaticString)
        default:
            append("\\u00" as StaticString)
            for digit in [byte >> 4, byte & 15] { output.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10) }
        }
    }

    /// A number as Go writes it: the fewest digits that read back as the same, with an exponent below 1e-6 and from 1e21 on only.
    /// - Parameter text: Swift's description of a finite number.
    mutating func write(number text: String) {
        var digits: [UInt8] = []
        var exponent = 0, point: Int?
        var isNegative = false
        var rest = Substring(text).utf8
        if rest.first == UInt8(ascii: "-") {
            isNegative = true
            rest = rest.dropFirst()
        }
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: ".") { point = digits.count } else if byte == UInt8(ascii: "e") {
                exponent = Int(Substring(rest)) ?? 0
                break
            } else { digits.append(byte) }
        }
        // Value = 0.DIGITS × 10^scale
        var scale = (point ?? digits.count) + exponent
        while digits.count > 1, digits.first == UInt8(ascii: "0") {
            digits.removeFirst()
            scale -= 1
        }
        while digits.count > 1, digits.last == UInt8(ascii: "0") { digits.removeLast() }
        if isNegative { output.append(UInt8(ascii: "-")) }
        if digits == [UInt8(ascii: "0")] {
            output += digits
        } else if scale < -5 || scale > 21 {
            output.append(digits[0])
            if digits.count > 1 {
                output.append(UInt8(ascii: "."))
                output += digits.dropFirst()
            }
            append(scale > 0 ? "e+" : "e-" as StaticString)
            write((scale - 1).magnitude)
        } else {
            if scale <= 0 { append("0." as StaticString) }
            for _ in 0..<max(0, -scale) { output.append(UInt8(ascii: "0")) }
            for (position, digit) in digits.enumerated() {
                if position == scale, position > 0 { output.append(UInt8(ascii: ".")) }
                output.append(digit)
            }
            for _ in 0..<max(0, scale - digits.count) { output.append(UInt8(ascii: "0")) }
        }
    }
}
