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

extension Substring {
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
