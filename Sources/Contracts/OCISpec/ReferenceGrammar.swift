/// The productions of `ImageReference`, each over a whole text. Linear in its length.
enum ReferenceGrammar {
    static func isTag(_ text: some StringProtocol) -> Bool {
        let bytes = text.utf8
        guard let first = bytes.first, first.isAlphanumeric || first == UInt8(ascii: "_") else { return false }
        return bytes.count <= 128
            && bytes.allSatisfy { $0.isAlphanumeric || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") }
    }

    /// Components are checked here, the length by the caller, who has another message for it.
    static func isPath(_ text: some StringProtocol) -> Bool {
        text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy { isPathComponent(Array($0)) }
    }

    /// Runs of letters and digits with a separator between them: ".", "_", "__", or dashes.
    private static func isPathComponent(_ bytes: [UInt8]) -> Bool {
        guard let first = bytes.first, let last = bytes.last, first.isLowerAlphanumeric, last.isLowerAlphanumeric else { return false }
        var index = 0
        while index < bytes.count {
            let start = index
            while !bytes[index].isLowerAlphanumeric { index += 1 }
            let separator = bytes[start..<index]
            let dashes = separator.allSatisfy { $0 == UInt8(ascii: "-") }
            guard dashes || separator.elementsEqual(".".utf8) || separator.elementsEqual("_".utf8) || separator.elementsEqual("__".utf8) else {
                return false
            }
            while index < bytes.count, bytes[index].isLowerAlphanumeric { index += 1 }
        }
        return true
    }

    static func isDomain(_ text: String) -> Bool {
        var host = Array(text.utf8)[...]
        if host.first == UInt8(ascii: "[") {
            guard let end = host.firstIndex(of: UInt8(ascii: "]")), end > 1 else { return false }
            guard host[1..<end].allSatisfy({ $0.isHexadecimal || $0 == UInt8(ascii: ":") }) else { return false }
            let rest = host[(end + 1)...]
            return rest.isEmpty || (rest.first == UInt8(ascii: ":") && isPort(rest.dropFirst()))
        }
        if let colon = host.firstIndex(of: UInt8(ascii: ":")) {
            guard isPort(host[(colon + 1)...]) else { return false }
            host = host[..<colon]
        }
        return host.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
            guard let first = label.first, let last = label.last else { return false }
            return first.isAlphanumeric && last.isAlphanumeric && label.allSatisfy { $0.isAlphanumeric || $0 == UInt8(ascii: "-") }
        }
    }

    private static func isPort(_ bytes: ArraySlice<UInt8>) -> Bool { !bytes.isEmpty && bytes.allSatisfy(\.isDigit) }

    /// The shape of a digest inside a reference, before its algorithm is looked at: letters and digits in parts that begin with a letter, a colon
    /// and at least 32 hexadecimal digits.
    static func isDigest(_ text: some StringProtocol) -> Bool {
        let bytes = Array(text.utf8)
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else { return false }
        let encoded = bytes[(colon + 1)...]
        guard encoded.count >= 32, encoded.allSatisfy(\.isHexadecimal) else { return false }
        var atStart = true
        for byte in bytes[..<colon] {
            if atStart {
                guard byte.isAlphanumeric, !byte.isDigit else { return false }
                atStart = false
            } else if !byte.isAlphanumeric {
                guard "-_+.".utf8.contains(byte) else { return false }
                atStart = true
            }
        }
        return !atStart
    }
}
