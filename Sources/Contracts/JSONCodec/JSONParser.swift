import Glibc

/// Turns text into the nodes of a `JSONDocument`, checking everything on the way. Linear, apart from objects with few members, where the search for
/// duplicate keys compares each with each.
struct JSONParser {
    /// Broken syntax, with the place.
    struct Failure: Error {
        let offset: Int
        let problem: String

        func description(in bytes: [UInt8]) -> String {
            let before = bytes[..<min(offset, bytes.count)]
            let line = before.count { $0 == UInt8(ascii: "\n") } + 1
            let column = before.count - (before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0) + 1
            return "line \(line), column \(column): \(problem)"
        }
    }

    /// The document's nodes.
    static func nodes(of text: UnsafeBufferPointer<UInt8>, limits: JSON.Limits) throws(Failure) -> [JSONDocument.Node] {
        var outcome: Result<Void, Failure> = .success(())
        // A value or key has two characters, with the separator before it or, where it is the first of its container, with what closes that. Only those that are not
        // closed yet have one alone. What is not used of this is never touched.
        let capacity = text.count / 2 + limits.depth + 2
        let nodes = [JSONDocument.Node](unsafeUninitializedCapacity: min(capacity, limits.values)) { nodes, count in
            var parser = JSONParser(text: text, nodes: nodes, limits: limits)
            outcome = Result { () throws(Failure) in try parser.parse() }
            count = parser.count
        }
        try outcome.get()
        return nodes
    }

    private let text: UnsafeBufferPointer<UInt8>
    private let nodes: UnsafeMutableBufferPointer<JSONDocument.Node>
    private let limits: JSON.Limits
    /// Of the nodes that are there.
    private var count = 0
    private var position = 0
    private var depth = 0

    private init(text: UnsafeBufferPointer<UInt8>, nodes: UnsafeMutableBufferPointer<JSONDocument.Node>, limits: JSON.Limits) {
        (self.text, self.nodes, self.limits) = (text, nodes, limits)
    }

    private mutating func parse() throws(Failure) {
        skipSpace()
        try value()
        skipSpace()
        if position < text.count { throw failure("unexpected text after the end of the document") }
    }

    // MARK: Structure

    private mutating func value() throws(Failure) {
        guard position < text.count else { throw failure("the document ends too early") }
        switch text[position] {
        case UInt8(ascii: "{"): try object()
        case UInt8(ascii: "["): try array()
        case UInt8(ascii: "\""): try string()
        case UInt8(ascii: "t"): try word("true", .true)
        case UInt8(ascii: "f"): try word("false", .false)
        case UInt8(ascii: "n"): try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try number()
        default: throw failure("expected a value, found \(found())")
        }
    }

    private mutating func object() throws(Failure) {
        let node = try open(.object)
        if !close(node, UInt8(ascii: "}")) {
            while true {
                guard position < text.count, text[position] == UInt8(ascii: "\"") else { throw failure("expected a key in quotes, found \(found())") }
                try string()
                skipSpace()
                guard position < text.count, text[position] == UInt8(ascii: ":") else { throw failure("expected ':' after a key, found \(found())") }
                position += 1
                skipSpace()
                try value()
                nodes[node].count += 1
                if try comma(orEndOf: node, UInt8(ascii: "}")) { break }
            }
        }
        try refuseDuplicates(in: node)
    }

    private mutating func array() throws(Failure) {
        let node = try open(.array)
        if close(node, UInt8(ascii: "]")) { return }
        while true {
            try value()
            nodes[node].count += 1
            if try comma(orEndOf: node, UInt8(ascii: "]")) { return }
        }
    }

    private mutating func open(_ kind: JSONDocument.Kind) throws(Failure) -> Int {
        depth += 1
        guard depth <= limits.depth else { throw failure("nested deeper than the allowed \(limits.depth) levels") }
        let node = count
        try append(JSONDocument.Node(kind: kind, start: UInt32(position)))
        position += 1
        skipSpace()
        return node
    }

    /// Ends a container if its closing character is next.
    @inline(__always) private mutating func close(_ node: Int, _ character: UInt8) -> Bool {
        guard position < text.count, text[position] == character else { return false }
        position += 1
        depth -= 1
        nodes[node].end = UInt32(position)
        nodes[node].next = UInt32(count)
        return true
    }

    @inline(__always) private mutating func comma(orEndOf node: Int, _ character: UInt8) throws(Failure) -> Bool {
        skipSpace()
        if close(node, character) { return true }
        guard position < text.count, text[position] == UInt8(ascii: ",") else {
            throw failure("expected ',' or '\(Character(Unicode.Scalar(character)))', found \(found())")
        }
        position += 1
        skipSpace()
        return false
    }

    @inline(__always) private mutating func append(_ node: JSONDocument.Node) throws(Failure) {
        // The buffer has room for all that there can be, up to the limit; it ends here in any case.
        guard count < nodes.count else { throw failure("more than the allowed \(limits.values) values") }
        nodes.initializeElement(at: count, to: node)
        count += 1
    }

    @inline(__always) private mutating func leaf(_ kind: JSONDocument.Kind, start: Int, end: Int, isEscaped: Bool = false) throws(Failure) {
        try append(.init(kind: kind, isEscaped: isEscaped, start: UInt32(start), end: UInt32(end), next: UInt32(count + 1)))
    }

    /// A second member with the same name is an attempt to show one thing to a checker and another to us, or a mistake.
    private func refuseDuplicates(in object: Int) throws(Failure) {
        let members = Int(nodes[object].count)
        if members < 2 { return }
        var second: JSONDocument.Node?
        if members <= 24 {
            second = firstAgain(in: object)
        } else {
            var names: Set<String> = []
            names.reserveCapacity(members)
            var index = object + 1
            while second == nil, index < count {
                if !names.insert(name(nodes[index])).inserted { second = nodes[index] }
                index = Int(nodes[index + 1].next)
            }
        }
        if let second { throw Failure(offset: Int(second.start) - 1, problem: "duplicate key \(JSONError.quoted(name(second)))") }
    }

    /// The first key that stands there a second time, each compared with those before it.
    private func firstAgain(in object: Int) -> JSONDocument.Node? {
        var index = object + 1
        while index < count {
            var earlier = object + 1
            while earlier < index {
                if same(nodes[earlier], nodes[index]) { return nodes[index] }
                earlier = Int(nodes[earlier + 1].next)
            }
            index = Int(nodes[index + 1].next)
        }
        return nil
    }

    private func same(_ a: JSONDocument.Node, _ b: JSONDocument.Node) -> Bool {
        if a.isEscaped || b.isEscaped { return name(a).utf8.elementsEqual(name(b).utf8) }
        guard a.end - a.start == b.end - b.start, let bytes = text.baseAddress else { return false }
        return memcmp(bytes + Int(a.start), bytes + Int(b.start), Int(a.end - a.start)) == 0
    }

    private func name(_ key: JSONDocument.Node) -> String {
        let bytes = text[Int(key.start)..<Int(key.end)]
        return key.isEscaped ? Self.unescape(Array(bytes)[...]) : String(decoding: bytes, as: UTF8.self)
    }

    // MARK: Scalars

    private mutating func word(_ word: StaticString, _ kind: JSONDocument.Kind) throws(Failure) {
        let end = position + word.utf8CodeUnitCount
        guard end <= text.count, text[position..<end].elementsEqual(UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)) else {
            throw failure("expected a value, found \(found())")
        }
        try leaf(kind, start: position, end: end)
        position = end
    }

    private mutating func number() throws(Failure) {
        let start = position
        if text[position] == UInt8(ascii: "-") { position += 1 }
        let first = position
        try digits()
        if text[first] == UInt8(ascii: "0"), position > first + 1 { throw Failure(offset: start, problem: "a number may not begin with 0") }
        if position < text.count, text[position] == UInt8(ascii: ".") {
            position += 1
            try digits()
        }
        if position < text.count, text[position] | 0x20 == UInt8(ascii: "e") {
            position += 1
            if position < text.count, text[position] == UInt8(ascii: "+") || text[position] == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
        try leaf(.number, start: start, end: position)
    }

    private mutating func digits() throws(Failure) {
        let start = position
        while position < text.count, text[position] &- UInt8(ascii: "0") <= 9 { position += 1 }
        if position == start { throw failure("expected a digit, found \(found())") }
    }

    /// A string with its quotes. What it holds is checked here and decoded when somebody wants it.
    private mutating func string() throws(Failure) {
        position += 1
        let start = position
        var isEscaped = false
        while true {
            skipPlain()
            guard position < text.count else { throw Failure(offset: start - 1, problem: "string without an end") }
            switch text[position] {
            case UInt8(ascii: "\""):
                try leaf(.string, start: start, end: position, isEscaped: isEscaped)
                position += 1
                return
            case UInt8(ascii: "\\"):
                isEscaped = true
                try escape()
            case 0x80...: try multibyte()
            case let byte: throw failure(byte == 0 ? "NUL character in a string" : "control character in a string")
            }
        }
    }

    /// Goes to the next character of a string that is a quote, an escape, a control character or not ASCII: eight bytes at a time, in each of which the high bit
    /// is set by what is looked for. Borrows may set it above the first hit, never below.
    @inline(__always) private mutating func skipPlain() {
        let ones: UInt64 = 0x0101_0101_0101_0101, raw = UnsafeRawBufferPointer(text)
        while position + 8 <= text.count {
            let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: position, as: UInt64.self))
            let quote = word ^ ones &* 0x22, slash = word ^ ones &* 0x5C
            let hits = (quote &- ones) & ~quote | (slash &- ones) & ~slash | (word &- ones &* 0x20) & ~word | word
            let found = hits & (ones &* 0x80)
            if found != 0 {
                position += found.trailingZeroBitCount / 8
                return
            }
            position += 8
        }
        while position < text.count, text[position] >= 0x20, text[position] < 0x80, text[position] != 0x22, text[position] != 0x5C { position += 1 }
    }

    private mutating func escape() throws(Failure) {
        guard position + 1 < text.count else { throw failure("the document ends too early") }
        guard text[position + 1] == UInt8(ascii: "u") else {
            guard "\"\\/bfnrt".utf8.contains(text[position + 1]) else { throw failure("unknown escape in a string") }
            position += 2
            return
        }
        let unit = try hexadecimal(at: position + 2)
        switch unit {
        case 0: throw failure("NUL character in a string")
        case 0xD800...0xDBFF:
            guard position + 7 < text.count, text[position + 6] == UInt8(ascii: "\\"), text[position + 7] == UInt8(ascii: "u"),
                0xDC00...0xDFFF ~= (try hexadecimal(at: position + 8))
            else { throw failure("lone surrogate in a string") }
            position += 12
        case 0xDC00...0xDFFF: throw failure("lone surrogate in a string")
        default: position += 6
        }
    }

    private func hexadecimal(at start: Int) throws(Failure) -> UInt16 {
        guard start + 4 <= text.count else { throw failure("the document ends too early") }
        var unit: UInt16 = 0
        for byte in text[start..<start + 4] {
            guard let digit = Self.hexadecimalDigit(byte) else { throw failure("expected four hexadecimal digits after \\u") }
            unit = unit << 4 | UInt16(digit)
        }
        return unit
    }

    /// One character of more than one byte, by the table of RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
    private mutating func multibyte() throws(Failure) {
        let first = text[position]
        let (length, second): (Int, ClosedRange<UInt8>) =
            switch first {
            case 0xC2...0xDF: (2, 0x80...0xBF)
            case 0xE0: (3, 0xA0...0xBF)
            case 0xED: (3, 0x80...0x9F)
            case 0xE1...0xEF: (3, 0x80...0xBF)
            case 0xF0: (4, 0x90...0xBF)
            case 0xF1...0xF3: (4, 0x80...0xBF)
            case 0xF4: (4, 0x80...0x8F)
            default: (0, 0...0)
            }
        guard length > 0, position + length <= text.count, second.contains(text[position + 1]),
            text[(position + 2)..<(position + length)].allSatisfy({ 0x80...0xBF ~= $0 })
        else { throw failure("invalid UTF-8 in a string") }
        position += length
    }

    @inline(__always) private mutating func skipSpace() {
        while position < text.count {
            switch text[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return
            }
        }
    }

    @inline(never) private func failure(_ problem: String) -> Failure { Failure(offset: position, problem: problem) }

    @inline(never) private func found() -> String {
        guard position < text.count else { return "the end of the document" }
        let byte = text[position]
        return 0x20..<0x7F ~= byte ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x\(byte < 16 ? "0" : "")\(String(byte, radix: 16))"
    }

    // MARK: Escapes

    private static func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// The text of a string that `escape()` has accepted.
    static func unescape(_ text: ArraySlice<UInt8>) -> String {
        var units: [UInt8] = [], index = text.startIndex
        units.reserveCapacity(text.count)
        func unit(at start: Int) -> UInt32 { text[start..<start + 4].reduce(0) { $0 << 4 | UInt32(hexadecimalDigit($1) ?? 0) } }
        while index < text.endIndex {
            guard text[index] == UInt8(ascii: "\\") else {
                units.append(text[index])
                index += 1
                continue
            }
            let kind = text[index + 1]
            index += 2
            switch kind {
            case UInt8(ascii: "b"): units.append(0x08)
            case UInt8(ascii: "f"): units.append(0x0C)
            case UInt8(ascii: "n"): units.append(0x0A)
            case UInt8(ascii: "r"): units.append(0x0D)
            case UInt8(ascii: "t"): units.append(0x09)
            case UInt8(ascii: "u"):
                var scalar = unit(at: index)
                index += 4
                if 0xD800...0xDBFF ~= scalar {
                    scalar = 0x10000 + (scalar - 0xD800) << 10 + (unit(at: index + 2) - 0xDC00)
                    index += 6
                }
                units += Array(String(Unicode.Scalar(scalar) ?? "\u{FFFD}").utf8)
            default: units.append(kind)
            }
        }
        return String(decoding: units, as: UTF8.self)
    }
}
