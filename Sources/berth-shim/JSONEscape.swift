/// Escapes log text for JSON exactly as Docker's json-file driver does, which is what Go's encoder does.
///
/// `\n`, `\r`, `\\` and `\"` get their short forms; other control characters, `<`, `>`, `&`, U+2028 and U+2029 become `\u00xx` and `\u202x`; every
/// byte that is not part of valid UTF-8 becomes `\ufffd`.
enum JSONEscape {
    /// The worst case: one byte becomes `\ufffd`.
    static let largestExpansion = 6
    /// What `escape` may write beyond its result: it copies blocks of 16.
    static let slack = 16

    /// Writes the escaped form of `count` bytes from `source` to `target`, which has room for `count * largestExpansion + slack` bytes.
    /// - Returns: the place after the last byte of the result.
    static func escape(_ source: UnsafePointer<UInt8>, count: Int, to target: UnsafeMutablePointer<UInt8>) -> UnsafeMutablePointer<UInt8> {
        var read = source
        let end = source + count
        var write = target
        while read < end {
            if end - read >= 16 {
                let first = UnsafeRawPointer(read).loadUnaligned(as: UInt64.self)
                let second = UnsafeRawPointer(read).loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                if special(first) | special(second) == 0 {
                    UnsafeMutableRawPointer(write).storeBytes(of: first, as: UInt64.self)
                    UnsafeMutableRawPointer(write).storeBytes(of: second, toByteOffset: 8, as: UInt64.self)
                    read += 16
                    write += 16
                    continue
                }
            }
            // A block with something special in it, or the rest: byte by byte, to the end of that block.
            let stop = end - read >= 16 ? read + 16 : end
            while read < stop {
                let byte = read.pointee
                if !isSpecial(byte) {
                    write.pointee = byte
                    read += 1
                    write += 1
                } else if byte < 0x80 {
                    write = escapeASCII(byte, to: write)
                    read += 1
                } else {
                    (read, write) = copyScalar(read, end, to: write)
                }
            }
        }
        return write
    }

    /// Eight bytes at once: not zero when one of them needs escaping. (Swift's SIMD masks are generic code that is not always specialised: fifty
    /// times slower.)
    @inline(__always)
    private static func special(_ word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101, highs: UInt64 = 0x8080_8080_8080_8080
        // A byte is zero when subtracting one borrows into a high bit that was clear. `"` and `&`, and `<` and `>`, differ in one bit each.
        let quoteOrAnd = (word | ones &* 0x04) ^ (ones &* 0x26)
        let angle = (word | ones &* 0x02) ^ (ones &* 0x3e)
        let backslash = word ^ (ones &* 0x5c)
        let equal = (quoteOrAnd &- ones) & ~quoteOrAnd | (angle &- ones) & ~angle | (backslash &- ones) & ~backslash
        let control = (word &- ones &* 0x20) & ~word
        return (equal | control | word) & highs
    }

    @inline(__always)
    private static func isSpecial(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte >= 0x80 || byte == 0x22 || byte == 0x5c || byte == 0x3c || byte == 0x3e || byte == 0x26
    }

    private static func escapeASCII(_ byte: UInt8, to target: UnsafeMutablePointer<UInt8>) -> UnsafeMutablePointer<UInt8> {
        target[0] = UInt8(ascii: "\\")
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            target[1] = byte
            return target + 2
        case UInt8(ascii: "\n"):
            target[1] = UInt8(ascii: "n")
            return target + 2
        case UInt8(ascii: "\r"):
            target[1] = UInt8(ascii: "r")
            return target + 2
        default:
            target[1] = UInt8(ascii: "u")
            target[2] = UInt8(ascii: "0")
            target[3] = UInt8(ascii: "0")
            target[4] = hex(byte >> 4)
            target[5] = hex(byte & 0xf)
            return target + 6
        }
    }

    private static func hex(_ digit: UInt8) -> UInt8 { digit < 10 ? 0x30 + digit : 0x57 + digit }

    /// Copies one character beyond ASCII, or writes `\ufffd` for one byte of something else.
    private static func copyScalar(
        _ read: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, to write: UnsafeMutablePointer<UInt8>
    ) -> (UnsafePointer<UInt8>, UnsafeMutablePointer<UInt8>) {
        let length = scalarLength(read, end)
        guard length > 0 else {
            for (index, byte) in "\\ufffd".utf8.enumerated() { write[index] = byte }
            return (read + 1, write + 6)
        }
        if length == 3 && read[0] == 0xe2 && read[1] == 0x80 && read[2] & 0xfe == 0xa8 {
            for (index, byte) in "\\u202".utf8.enumerated() { write[index] = byte }
            write[5] = hex(read[2] & 0xf)
            return (read + 3, write + 6)
        }
        for index in 0..<length { write[index] = read[index] }
        return (read + length, write + length)
    }

    /// Bytes of the UTF-8 sequence at `read`; 0 when it is not one (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
    static func scalarLength(_ read: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Int {
        let lead = read[0]
        let length: Int
        var low: UInt8 = 0x80, high: UInt8 = 0xbf
        switch lead {
        case 0xc2...0xdf: length = 2
        case 0xe0: (length, low) = (3, 0xa0)
        case 0xed: (length, high) = (3, 0x9f)
        case 0xe1...0xef: length = 3
        case 0xf0: (length, low) = (4, 0x90)
        case 0xf1...0xf3: length = 4
        case 0xf4: (length, high) = (4, 0x8f)
        default: return 0
        }
        guard end - read >= length, read[1] >= low, read[1] <= high else { return 0 }
        for index in 2..<max(2, length) where read[index] & 0xc0 != 0x80 { return 0 }
        return length
    }

    /// The escaped form of a text, with its quotes.
    static func quoted(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        return [UInt8](unsafeUninitializedCapacity: bytes.count * largestExpansion + slack + 2) { buffer, count in
            let start = buffer.baseAddress!
            start.pointee = UInt8(ascii: "\"")
            var end = bytes.withUnsafeBufferPointer { source in
                source.baseAddress.map { escape($0, count: source.count, to: start + 1) } ?? start + 1
            }
            end.pointee = UInt8(ascii: "\"")
            end += 1
            count = end - start
        }
    }
}
