/// Writes a tree as text.
struct JSONWriter {
    private(set) var output: [UInt8] = []
    private let indentation: [UInt8]?
    private var level = 0

    init(layout: JSON.Layout) {
        switch layout {
        case .compact: indentation = nil
        case .indented(let text): indentation = Array(text.utf8)
        }
        output.reserveCapacity(1024)
    }

    mutating func write(_ tree: JSONTree) {
        switch tree.content {
        // A type that encodes nothing at all.
        case .empty: output += "{}".utf8
        case .scalar(let text): output += text.utf8
        case .string(let text): write(text)
        case .array(let elements):
            list("[", elements, "]") { writer, element in writer.write(element) }
        case .object(let members):
            list("{", members, "}") { writer, member in
                writer.write(member.name)
                writer.output.append(UInt8(ascii: ":"))
                if writer.indentation != nil { writer.output.append(UInt8(ascii: " ")) }
                writer.write(member.value)
            }
        }
    }

    private mutating func list<Item>(_ start: Unicode.Scalar, _ items: [Item], _ end: Unicode.Scalar, _ body: (inout JSONWriter, Item) -> Void) {
        output.append(UInt8(ascii: start))
        level += 1
        for (position, item) in items.enumerated() {
            if position > 0 { output.append(UInt8(ascii: ",")) }
            newLine()
            body(&self, item)
        }
        level -= 1
        if !items.isEmpty { newLine() }
        output.append(UInt8(ascii: end))
    }

    private mutating func newLine() {
        guard let indentation else { return }
        output.append(UInt8(ascii: "\n"))
        for _ in 0..<level { output += indentation }
    }

    /// Punctuation and numbers, as they are.
    mutating func append(_ text: String) { output += text.utf8 }

    /// Escapes what JSON demands and nothing else.
    mutating func write(_ text: String) {
        output.append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { bytes in
            // What needs no escape is copied in one piece.
            var copied = 0, position = 0
            while position < bytes.count {
                let byte = bytes[position]
                if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                    output.append(contentsOf: bytes[copied..<position])
                    escape(byte)
                    copied = position + 1
                }
                position += 1
            }
            output.append(contentsOf: bytes[copied...])
        }
        output.append(UInt8(ascii: "\""))
    }

    private mutating func escape(_ byte: UInt8) {
        switch byte {
        case 0x08: output += "\\b".utf8
        case 0x09: output += "\\t".utf8
        case 0x0A: output += "\\n".utf8
        case 0x0C: output += "\\f".utf8
        case 0x0D: output += "\\r".utf8
        case 0..<0x20: output += "\\u00\(byte < 16 ? "0" : "")\(String(byte, radix: 16))".utf8
        default: output += [UInt8(ascii: "\\"), byte]
        }
    }
}
