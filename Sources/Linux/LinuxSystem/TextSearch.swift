extension StringProtocol {
    /// Whether `text` occurs, byte for byte. The library's `contains` of a text is part of its regular expressions, a megabyte of code.
    package func contains(text: String) -> Bool {
        let wanted = Array(text.utf8), bytes = Array(utf8)
        if wanted.isEmpty { return true }
        if wanted.count > bytes.count { return false }
        return (0...bytes.count - wanted.count).contains { bytes[$0...].starts(with: wanted) }
    }
}

extension Character {
    /// "0" to "9". The library's `isNumber` looks into Unicode's tables, which the static programs are linked without.
    package var isDigit: Bool { asciiValue.map { $0 &- UInt8(ascii: "0") <= 9 } ?? false }
}
