import DockerAPI

/// A template that cannot be parsed or carried out, in the words of Go's text/template.
struct TemplateError: Error {
    let message: String
}

/// A piece of an action between `{{` and `}}`.
enum TemplateToken: Equatable {
    case blank
    case field(String)
    case variable(String)
    case identifier(String)
    case text(String)
    case number(String)
    case character(Unicode.Scalar)
    case dot, pipe, assign, declare, comma, open, close
}

/// Splits a template into text and actions, and an action into tokens.
struct TemplateLexer {
    enum Piece {
        case text(String)
        /// Tokens with the offset in the template where each starts.
        case action([(token: TemplateToken, offset: Int)], line: Int)
    }

    let name: String
    private let source: [UInt8]

    init(name: String, source: String) {
        self.name = name
        self.source = Array(source.utf8)
    }

    func pieces() throws -> [Piece] {
        var result: [Piece] = []
        var index = 0
        var trimNext = false
        while index < source.count {
            let open = find("{{", from: index)
            var text = source[index..<(open ?? source.count)]
            if trimNext { text = text.drop(while: TemplateLexer.isBlank) }
            guard let open else {
                result.append(.text(String(decoding: text, as: UTF8.self)))
                break
            }
            var start = open + 2
            if start + 1 < source.count, source[start] == UInt8(ascii: "-"), TemplateLexer.isBlank(source[start + 1]) {
                while let last = text.last, TemplateLexer.isBlank(last) { text.removeLast() }
                start += 1
            }
            if !text.isEmpty { result.append(.text(String(decoding: text, as: UTF8.self))) }
            let (tokens, end, trims) = try action(from: start, opened: open)
            if let tokens { result.append(.action(tokens, line: line(at: open))) }
            index = end
            trimNext = trims
        }
        return result
    }

    /// The action that starts behind its braces: its tokens (nil for a comment), where the text goes on, and whether that text is trimmed.
    private func action(from start: Int, opened: Int) throws -> ([(token: TemplateToken, offset: Int)]?, Int, Bool) {
        var index = start
        let body = source[start...].drop(while: TemplateLexer.isBlank)
        if body.starts(with: Array("/*".utf8)) {
            guard let close = find("*/", from: body.startIndex) else { throw error("unclosed comment", at: opened) }
            var end = close + 2
            let rest = source[end...].drop(while: TemplateLexer.isBlank)
            let trims = rest.starts(with: Array("-}}".utf8))
            end = trims ? rest.startIndex + 1 : end
            guard source[end...].starts(with: Array("}}".utf8)) else { throw error("comment ends before closing delimiter", at: opened) }
            return (nil, end + 2, trims)
        }
        var tokens: [(token: TemplateToken, offset: Int)] = []
        while true {
            guard index < source.count else { throw error("unclosed action", at: opened) }
            if source[index...].starts(with: Array("}}".utf8)) { return (tokens, index + 2, false) }
            if TemplateLexer.isBlank(source[index]) {
                let before = index
                while index < source.count, TemplateLexer.isBlank(source[index]) { index += 1 }
                if source[index...].starts(with: Array("-}}".utf8)) { return (tokens, index + 3, true) }
                tokens.append((.blank, before))
                continue
            }
            let offset = index
            tokens.append((try token(&index, opened: opened), offset))
        }
    }

    private func token(_ index: inout Int, opened: Int) throws -> TemplateToken {
        let byte = source[index]
        let next = index + 1 < source.count ? source[index + 1] : 0
        switch byte {
        case UInt8(ascii: "."):
            index += 1
            if TemplateLexer.isName(next), !(48...57).contains(next) { return .field(word(&index)) }
            if (48...57).contains(next) {
                index -= 1
                return .number(numberText(&index))
            }
            return .dot
        case UInt8(ascii: "$"):
            index += 1
            return .variable("$" + word(&index))
        case UInt8(ascii: "\""): return .text(try quoted(&index, opened: opened))
        case UInt8(ascii: "`"):
            guard let end = source[(index + 1)...].firstIndex(of: UInt8(ascii: "`")) else { throw error("unterminated raw quoted string", at: opened) }
            defer { index = end + 1 }
            return .text(String(decoding: source[(index + 1)..<end], as: UTF8.self))
        case UInt8(ascii: "'"):
            guard let end = source[(index + 1)...].firstIndex(of: UInt8(ascii: "'")),
                let scalar = String(decoding: source[(index + 1)..<end], as: UTF8.self).unicodeScalars.last
            else { throw error("unterminated character constant", at: opened) }
            index = end + 1
            return .character(scalar)
        case UInt8(ascii: "|"), UInt8(ascii: "="), UInt8(ascii: ","), UInt8(ascii: "("), UInt8(ascii: ")"):
            index += 1
            return [
                UInt8(ascii: "|"): .pipe, UInt8(ascii: "="): .assign, UInt8(ascii: ","): .comma, UInt8(ascii: "("): .open, UInt8(ascii: ")"): .close,
            ][byte] ?? .comma
        case UInt8(ascii: ":") where next == UInt8(ascii: "="):
            index += 2
            return .declare
        case 48...57, UInt8(ascii: "-"), UInt8(ascii: "+"): return .number(numberText(&index))
        case _ where TemplateLexer.isName(byte): return .identifier(word(&index))
        default:
            let text = String(decoding: source[index...].prefix(1), as: UTF8.self)
            throw error("unexpected \(GoText.quoted(text)) in operand", at: opened)
        }
    }

    private func word(_ index: inout Int) -> String {
        let start = index
        while index < source.count, TemplateLexer.isName(source[index]) { index += 1 }
        return String(decoding: source[start..<index], as: UTF8.self)
    }

    private func numberText(_ index: inout Int) -> String {
        let start = index
        index += 1
        while index < source.count, TemplateLexer.isName(source[index]) || source[index] == UInt8(ascii: ".") { index += 1 }
        return String(decoding: source[start..<index], as: UTF8.self)
    }

    private func quoted(_ index: inout Int, opened: Int) throws -> String {
        var text: [UInt8] = []
        index += 1
        while index < source.count, source[index] != UInt8(ascii: "\"") {
            if source[index] == 10 { break }
            if source[index] == UInt8(ascii: "\\"), index + 1 < source.count {
                index += 1
                let escapes: [UInt8: UInt8] = [UInt8(ascii: "n"): 10, UInt8(ascii: "t"): 9, UInt8(ascii: "r"): 13]
                text.append(escapes[source[index]] ?? source[index])
            } else {
                text.append(source[index])
            }
            index += 1
        }
        guard index < source.count, source[index] == UInt8(ascii: "\"") else { throw error("unterminated quoted string", at: opened) }
        index += 1
        return String(decoding: text, as: UTF8.self)
    }

    func line(at offset: Int) -> Int { 1 + source[..<offset].count { $0 == 10 } }
    /// Offset within its line, as Go's messages count it.
    func column(at offset: Int) -> Int { offset - (source[..<offset].lastIndex(of: 10).map { $0 + 1 } ?? 0) }

    private func error(_ reason: String, at offset: Int) -> TemplateError {
        TemplateError(message: "template: \(name):\(line(at: offset)): \(reason)")
    }

    private func find(_ text: String, from start: Int) -> Int? {
        let bytes = Array(text.utf8)
        guard source.count >= bytes.count, start <= source.count - bytes.count else { return nil }
        return (start...(source.count - bytes.count)).first { source[$0] == bytes[0] && source[$0 + 1] == bytes[1] }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 || byte == 10 || byte == 13 }
    private static func isName(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 95 || byte >= 128
    }
}
