package import BerthDefaults

/// A value of a TOML file, as far as configuration files of container engines go: no floats, no dates.
package indirect enum TOMLValue: Equatable, Sendable {
    case string(String)
    case integer(Int)
    case boolean(Bool)
    case array([TOMLValue])
    case table(TOMLTable)
}

/// A table that remembers the order of its keys: the hosts of a `hosts.toml` are tried in the order in which they are written.
package struct TOMLTable: Equatable, Sendable {
    package struct Entry: Equatable, Sendable {
        package var key: String
        package var value: TOMLValue
    }

    package private(set) var entries: [Entry] = []

    package subscript(key: String) -> TOMLValue? {
        get { entries.first { $0.key == key }?.value }
        set {
            let index = entries.firstIndex { $0.key == key }
            switch (index, newValue) {
            case (let index?, let value?): entries[index].value = value
            case (let index?, nil): entries.remove(at: index)
            case (nil, let value?): entries.append(Entry(key: key, value: value))
            case (nil, nil): break
            }
        }
    }

    /// Sets the value at the end of a path; the tables on the way are made. Where the path meets an array of tables, its last table is meant.
    fileprivate mutating func set(_ value: TOMLValue, at path: ArraySlice<String>) throws(CodedError) {
        guard let key = path.first else { return }
        if path.count == 1 {
            if case .table(let new) = value, new.entries.isEmpty, case .table? = self[key] { return }
            guard self[key] == nil else { throw CodedError(.invalidArgument, "key \(key) is given twice") }
            self[key] = value
            return
        }
        switch self[key] {
        case nil:
            var table = TOMLTable()
            try table.set(value, at: path.dropFirst())
            self[key] = .table(table)
        case .table(var table)?:
            try table.set(value, at: path.dropFirst())
            self[key] = .table(table)
        case .array(var tables)?:
            guard case .table(var table)? = tables.last else { throw CodedError(.invalidArgument, "key \(key) is not a table") }
            try table.set(value, at: path.dropFirst())
            tables[tables.count - 1] = .table(table)
            self[key] = .array(tables)
        default: throw CodedError(.invalidArgument, "key \(key) is not a table")
        }
    }

    fileprivate mutating func append(at path: ArraySlice<String>) throws(CodedError) {
        guard let key = path.first else { return }
        if path.count > 1 {
            var table = TOMLTable()
            switch self[key] {
            case nil: break
            case .table(let known)?: table = known
            default: throw CodedError(.invalidArgument, "key \(key) is not a table")
            }
            try table.append(at: path.dropFirst())
            self[key] = .table(table)
            return
        }
        switch self[key] {
        case nil: self[key] = .array([.table(TOMLTable())])
        case .array(let tables)?: self[key] = .array(tables + [.table(TOMLTable())])
        default: throw CodedError(.invalidArgument, "key \(key) is not an array of tables")
        }
    }
}

/// Reads TOML 1.0: tables, arrays of tables, inline tables, dotted and quoted keys, every kind of string, integers, booleans, arrays, comments.
package struct TOMLReader {
    private let bytes: [UInt8]
    private var index = 0
    private var line = 1

    /// - Throws: invalidArgument that names the line.
    package static func read(_ text: String) throws(CodedError) -> TOMLTable {
        var reader = TOMLReader(bytes: Array(text.utf8))
        do { return try reader.document() } catch { throw CodedError(error.code, "line \(reader.line): \(error.message)") }
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private var current: UInt8? { index < bytes.count ? bytes[index] : nil }

    private func failure(_ message: String) -> CodedError { CodedError(.invalidArgument, message) }

    private mutating func advance() {
        if current == UInt8(ascii: "\n") { line += 1 }
        index += 1
    }

    private mutating func take(_ text: String) -> Bool {
        guard bytes[index...].starts(with: text.utf8) else { return false }
        for _ in text.utf8 { advance() }
        return true
    }

    private mutating func skipBlanks() { while let byte = current, byte == 0x20 || byte == 0x09 { index += 1 } }

    /// Blanks, line ends and comments.
    private mutating func skipSpace() {
        while let byte = current {
            if byte == UInt8(ascii: "#") {
                while let byte = current, byte != UInt8(ascii: "\n") { index += 1 }
            } else if byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d {
                advance()
            } else {
                return
            }
        }
    }

    private mutating func endOfLine() throws(CodedError) {
        skipBlanks()
        if current == UInt8(ascii: "#") { while let byte = current, byte != UInt8(ascii: "\n") { index += 1 } }
        if current == UInt8(ascii: "\r") { index += 1 }
        guard current == nil || current == UInt8(ascii: "\n") else { throw failure("unexpected text after the value") }
    }

    private mutating func document() throws(CodedError) -> TOMLTable {
        var root = TOMLTable()
        var path: [String] = []
        while true {
            skipSpace()
            guard current != nil else { return root }
            if take("[[") {
                path = try keyPath()
                guard take("]]") else { throw failure("table name without its brackets") }
                try root.append(at: path[...])
            } else if take("[") {
                path = try keyPath()
                guard take("]") else { throw failure("table name without its bracket") }
                try root.set(.table(TOMLTable()), at: path[...])
            } else {
                let key = try keyPath()
                guard take("=") else { throw failure("not a key and a value") }
                try root.set(try value(), at: (path + key)[...])
            }
            try endOfLine()
        }
    }

    private mutating func keyPath() throws(CodedError) -> [String] {
        var path: [String] = []
        repeat {
            skipBlanks()
            path.append(try key())
            skipBlanks()
        } while take(".")
        return path
    }

    private mutating func key() throws(CodedError) -> String {
        if current == UInt8(ascii: "\"") || current == UInt8(ascii: "'") { return try string() }
        let start = index
        while let byte = current, Self.isBare(byte) { index += 1 }
        guard index > start else { throw failure("not a key and a value") }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    private static func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    // MARK: Values

    private mutating func value() throws(CodedError) -> TOMLValue {
        skipBlanks()
        switch current {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return .string(try string())
        case UInt8(ascii: "["): return .array(try array())
        case UInt8(ascii: "{"): return .table(try inlineTable())
        default:
            let start = index
            while let byte = current, Self.isBare(byte) || byte == UInt8(ascii: "+") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: ":") { index += 1 }
            let word = String(decoding: bytes[start..<index], as: UTF8.self)
            if word == "true" || word == "false" { return .boolean(word == "true") }
            let digits = word.filter { $0 != "_" }
            if let number = Int(digits) { return .integer(number) }
            for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where digits.hasPrefix(prefix) {
                if let number = Int(digits.dropFirst(2), radix: radix) { return .integer(number) }
            }
            throw failure(word.isEmpty ? "key without a value" : "cannot read the value \(word): strings are quoted")
        }
    }

    private mutating func array() throws(CodedError) -> [TOMLValue] {
        advance()
        var values: [TOMLValue] = []
        while true {
            skipSpace()
            if take("]") { return values }
            values.append(try value())
            skipSpace()
            guard take(",") || current == UInt8(ascii: "]") else { throw failure("array without its bracket") }
        }
    }

    private mutating func inlineTable() throws(CodedError) -> TOMLTable {
        advance()
        var table = TOMLTable()
        skipSpace()
        if take("}") { return table }
        while true {
            skipSpace()
            let path = try keyPath()
            guard take("=") else { throw failure("not a key and a value") }
            try table.set(try value(), at: path[...])
            skipSpace()
            if take("}") { return table }
            guard take(",") else { throw failure("inline table without its brace") }
        }
    }

    private mutating func string() throws(CodedError) -> String {
        for (quote, isLiteral) in [("\"\"\"", false), ("'''", true)] where take(quote) {
            // A line end right behind the quotes does not count.
            if current == UInt8(ascii: "\r") { index += 1 }
            if current == UInt8(ascii: "\n") { advance() }
            return try stringBody(until: quote, isLiteral: isLiteral, mayBreak: true)
        }
        if take("'") { return try stringBody(until: "'", isLiteral: true, mayBreak: false) }
        _ = take("\"")
        return try stringBody(until: "\"", isLiteral: false, mayBreak: false)
    }

    private mutating func stringBody(until quote: String, isLiteral: Bool, mayBreak: Bool) throws(CodedError) -> String {
        var text: [UInt8] = []
        while let byte = current {
            if take(quote) {
                guard let string = String(validating: text, as: UTF8.self) else { throw failure("string is not UTF-8") }
                return string
            }
            if byte == UInt8(ascii: "\n"), !mayBreak { break }
            if byte == UInt8(ascii: "\\"), !isLiteral {
                advance()
                text += try escape()
            } else {
                text.append(byte)
                advance()
            }
        }
        throw failure("string without its closing quote")
    }

    private mutating func escape() throws(CodedError) -> [UInt8] {
        guard let byte = current else { throw failure("string without its closing quote") }
        let simple: [UInt8: UInt8] = [
            UInt8(ascii: "b"): 8, UInt8(ascii: "t"): 9, UInt8(ascii: "n"): 10, UInt8(ascii: "f"): 12, UInt8(ascii: "r"): 13,
            UInt8(ascii: "\""): UInt8(ascii: "\""), UInt8(ascii: "\\"): UInt8(ascii: "\\"),
        ]
        advance()
        if let plain = simple[byte] { return [plain] }
        if byte == UInt8(ascii: "u") || byte == UInt8(ascii: "U") {
            let count = byte == UInt8(ascii: "u") ? 4 : 8
            let digits = String(decoding: bytes[index..<min(bytes.count, index + count)], as: UTF8.self)
            guard digits.utf8.count == count, let number = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(number) else { throw failure("malformed escape") }
            index += count
            return Array(String(Character(scalar)).utf8)
        }
        if byte == UInt8(ascii: "\n") || byte == 0x20 || byte == UInt8(ascii: "\r") || byte == 0x09 {
            // A backslash at a line's end joins it with the next.
            while let next = current, next == 0x20 || next == 0x09 || next == 0x0a || next == 0x0d { advance() }
            return []
        }
        throw failure("unknown escape \\\(Character(Unicode.Scalar(byte)))")
    }
}
