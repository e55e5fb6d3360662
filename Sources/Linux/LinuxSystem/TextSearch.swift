import Glibc

// Not for any text, which would be looked up by its conformances.
extension String {
    /// Whether a byte occurs in the text's UTF-8. A configuration's texts are asked hundreds of times, which the library's `contains` answers one character's view at a time.
    package func contains(byte: UInt8) -> Bool {
        var text = self
        return text.withUTF8 { bytes in bytes.baseAddress.map { memchr($0, CInt(byte), bytes.count) != nil } ?? false }
    }

    /// Whether `text` occurs, byte for byte. The library's `contains` of a text is part of its regular expressions, a megabyte of code.
    package func contains(text: String) -> Bool {
        let wanted = Array(text.utf8), bytes = Array(utf8)
        if wanted.isEmpty { return true }
        if wanted.count > bytes.count { return false }
        return (0...bytes.count - wanted.count).contains { bytes[$0...].starts(with: wanted) }
    }
}

// Paths are read byte by byte, as the kernel does: for the library's `hasPrefix`, `split` and `lastIndex` a slash with a combining mark behind it is another character, no slash.
extension String {
    package var isAbsolutePath: Bool { utf8.first == UInt8(ascii: "/") }

    package func begins(with start: String) -> Bool {
        var text = self, start = start
        return text.withUTF8 { text in
            start.withUTF8 { start in
                guard start.count <= text.count else { return false }
                guard let place = text.baseAddress, let wanted = start.baseAddress else { return true }
                return memcmp(place, wanted, start.count) == 0
            }
        }
    }

    /// Without the first `count` bytes of its UTF-8.
    package func dropping(bytes count: Int) -> String { String(Substring(utf8.dropFirst(count))) }

    package var lastSlash: Index? { utf8.lastIndex(of: UInt8(ascii: "/")) }

    /// What stands behind the last slash.
    package var lastComponent: Substring { lastSlash.map { self[utf8.index(after: $0)...] } ?? self[...] }
}

extension String {
    /// The text of a C string; invalid UTF-8 is replaced, as by the library's `init(cString:)`, which does it in functions that nothing else needs.
    package init(terminated text: UnsafePointer<CChar>) { self.init(decoding: UnsafeRawBufferPointer(start: text, count: strlen(text)), as: UTF8.self) }

    /// A number in decimal digits. The library's description is made for any width and radix, and its pages are read for nothing else in the programs that start often.
    package init(decimal number: Int) {
        self.init(unsafeUninitializedCapacity: 20) { buffer in
            let start = number < 0 ? 1 : 0
            var rest = number.magnitude, count = start
            repeat { (rest, count) = (rest / 10, count + 1) } while rest > 0
            rest = number.magnitude
            for position in (start..<count).reversed() {
                buffer[position] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            }
            if start > 0 { buffer[0] = UInt8(ascii: "-") }
            return count
        }
    }
}

extension Substring {
    package var isAbsolutePath: Bool { utf8.first == UInt8(ascii: "/") }

    package var lastSlash: Index? { utf8.lastIndex(of: UInt8(ascii: "/")) }

    package func contains(text: String) -> Bool { String(self).contains(text: text) }

    /// The parts between the bytes `separator`, `limit` of them at most, the last with all that is left; empty ones too with `keepsEmpty`.
    ///
    /// For what the kernel and configurations write. The library's `split` goes from character to character by Unicode's rules, ten times as slowly.
    package func fields(by separator: Unicode.Scalar, limit: Int = .max, keepsEmpty: Bool = false) -> [Substring] {
        let wanted = UInt8(ascii: separator), bytes = utf8
        var fields: [Substring] = []
        var start = startIndex, position = startIndex
        while position != endIndex, fields.count < limit - 1 {
            let next = bytes.index(after: position)
            if bytes[position] == wanted {
                if keepsEmpty || start != position { fields.append(self[start..<position]) }
                start = next
            }
            position = next
        }
        if keepsEmpty || start != endIndex { fields.append(self[start...]) }
        return fields
    }
}

extension String {
    /// See `Substring.fields`.
    package func fields(by separator: Unicode.Scalar, limit: Int = .max, keepsEmpty: Bool = false) -> [Substring] {
        self[...].fields(by: separator, limit: limit, keepsEmpty: keepsEmpty)
    }
}

extension Character {
    /// "0" to "9". The library's `isNumber` looks into Unicode's tables, which the static programs are linked without.
    package var isDigit: Bool { asciiValue.map { $0 &- UInt8(ascii: "0") <= 9 } ?? false }
}
