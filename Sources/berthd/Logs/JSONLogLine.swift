import NIOCore

/// One line of Docker's json-file format, found by position: `{"log":"text\n","stream":"stdout","time":"…"}`, with `"attrs":{…}` after the stream
/// when there are some. Nothing is copied until the text is wanted: reading back is a matter of scanning bytes.
struct JSONLogLine {
    /// Escaped, without the quotes.
    let text: UnsafeRawBufferPointer
    let isStderr: Bool
    let time: UnsafeRawBufferPointer
    /// A JSON object, or empty.
    let attributes: UnsafeRawBufferPointer

    /// nil for a line of another shape: a torn write after a power loss, a foreign file.
    init?(_ line: UnsafeRawBufferPointer) {
        var scanner = Scanner(line)
        guard scanner.take("{\"log\":\""), let text = scanner.string(), scanner.take(",\"stream\":\""), let stream = scanner.string() else { return nil }
        var attributes = UnsafeRawBufferPointer(start: nil, count: 0)
        if scanner.take(",\"attrs\":") {
            guard let object = scanner.object() else { return nil }
            attributes = object
        }
        guard scanner.take(",\"time\":\""), let time = scanner.string(), scanner.take("}") else { return nil }
        self.text = text
        isStderr = stream.count == 6 && stream[3] == UInt8(ascii: "e")
        self.time = time
        self.attributes = attributes
    }

    private struct Scanner {
        private let bytes: UnsafeRawBufferPointer
        private var index = 0
        init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        mutating func take(_ text: StaticString) -> Bool {
            let count = text.utf8CodeUnitCount
            guard index + count <= bytes.count, UnsafeRawBufferPointer(start: text.utf8Start, count: count).elementsEqual(bytes[index..<index + count]) else { return false }
            index += count
            return true
        }

        /// Up to the closing quote, which is consumed.
        mutating func string() -> UnsafeRawBufferPointer? {
            let start = index
            while index < bytes.count {
                let byte = bytes[index]
                if byte == UInt8(ascii: "\"") {
                    index += 1
                    return UnsafeRawBufferPointer(rebasing: bytes[start..<index - 1])
                }
                index += byte == UInt8(ascii: "\\") ? 2 : 1
            }
            return nil
        }

        mutating func object() -> UnsafeRawBufferPointer? {
            let start = index
            var depth = 0
            while index < bytes.count {
                switch bytes[index] {
                case UInt8(ascii: "\""):
                    index += 1
                    guard string() != nil else { return nil }
                    continue
                case UInt8(ascii: "{"): depth += 1
                case UInt8(ascii: "}"):
                    depth -= 1
                    if depth == 0 {
                        index += 1
                        return UnsafeRawBufferPointer(rebasing: bytes[start..<index])
                    }
                default: break
                }
                index += 1
            }
            return nil
        }
    }

    /// Appends the text without its escapes; answers how many bytes that were.
    static func unescape(_ text: UnsafeRawBufferPointer, into output: inout ByteBuffer) -> Int {
        let before = output.writerIndex
        var index = 0
        while index < text.count {
            var end = index
            while end < text.count, text[end] != UInt8(ascii: "\\") { end += 1 }
            if end > index { output.writeBytes(UnsafeRawBufferPointer(rebasing: text[index..<end])) }
            guard end + 1 < text.count else { break }
            index = end + 2
            switch text[end + 1] {
            case UInt8(ascii: "n"): output.writeInteger(UInt8(ascii: "\n"))
            case UInt8(ascii: "t"): output.writeInteger(UInt8(ascii: "\t"))
            case UInt8(ascii: "r"): output.writeInteger(UInt8(ascii: "\r"))
            case UInt8(ascii: "b"): output.writeInteger(UInt8(8))
            case UInt8(ascii: "f"): output.writeInteger(UInt8(12))
            case UInt8(ascii: "u"):
                guard var value = hex(text, at: index) else { break }
                index += 4
                // A pair of surrogates is one character.
                if (0xD800..<0xDC00).contains(value), index + 6 <= text.count, text[index] == UInt8(ascii: "\\"), text[index + 1] == UInt8(ascii: "u"), let low = hex(text, at: index + 2),
                    (0xDC00..<0xE000).contains(low)
                {
                    value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
                    index += 6
                }
                output.writeString(String(Character(Unicode.Scalar(value) ?? "\u{FFFD}")))
            case let other: output.writeInteger(other)
            }
        }
        return output.writerIndex - before
    }

    private static func hex(_ text: UnsafeRawBufferPointer, at index: Int) -> UInt32? {
        guard index + 4 <= text.count else { return nil }
        return UInt32(String(decoding: text[index..<index + 4], as: UTF8.self), radix: 16)
    }
}
