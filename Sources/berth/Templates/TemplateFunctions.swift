import DockerAPI

/// The functions of Go's templates and those Docker adds.
enum TemplateFunctions {
    static let names: Set<String> = [
        "and", "or", "not", "len", "index", "slice", "print", "printf", "println", "html", "urlquery", "eq", "ne", "lt", "le", "gt", "ge",
        "json", "split", "join", "title", "lower", "upper", "pad", "truncate",
    ]

    /// - Throws: `TemplateError` with the reason alone.
    static func call(_ name: String, _ arguments: [TemplateValue], isHeader: Bool) throws -> TemplateValue {
        func need(_ count: Int) throws { if arguments.count != count { throw wrongCount(name, count, arguments.count) } }
        func text(_ index: Int) -> String { arguments[index].json.stringValue ?? arguments[index].printed }
        // In a table's header the fields are the column titles, which are shown as they are
        if isHeader, ["json", "title", "lower", "upper", "truncate", "split", "join"].contains(name), let first = arguments.first { return first }
        switch name {
        case "json":
            try need(1)
            if case .row(let row) = arguments[0], row.sortsFields { return .json(.string(row.json.htmlSafeText)) }
            return .json(.string(arguments[0].json.text))
        case "split":
            try need(2)
            let parts = text(1).isEmpty ? text(0).map { String($0) } : text(0).split(separator: text(1), omittingEmptySubsequences: false).map(String.init)
            return .json(.strings(parts))
        case "join":
            try need(2)
            return .json(.string((arguments[0].json.arrayValue ?? []).map { TemplateValue.json($0).printed }.joined(separator: text(1))))
        case "title":
            try need(1)
            return .json(.string(title(text(0))))
        case "lower":
            try need(1)
            return .json(.string(text(0).lowercased()))
        case "upper":
            try need(1)
            return .json(.string(text(0).uppercased()))
        case "pad":
            try need(3)
            let (before, after) = (arguments[1].json.intValue ?? 0, arguments[2].json.intValue ?? 0)
            if text(0).isEmpty { return .json("") }
            return .json(.string(String(repeating: " ", count: max(0, Int(before))) + text(0) + String(repeating: " ", count: max(0, Int(after)))))
        case "truncate":
            try need(2)
            return .json(.string(String(text(0).prefix(max(0, Int(arguments[1].json.intValue ?? 0))))))
        case "not":
            try need(1)
            return .json(.bool(!arguments[0].isTrue))
        case "len":
            try need(1)
            return .json(.int(try length(arguments[0].json)))
        case "index": return try index(arguments)
        case "slice": return try slice(arguments)
        case "print": return .json(.string(GoPrinting.print(arguments)))
        case "println": return .json(.string(arguments.map(\.printed).joined(separator: " ") + "\n"))
        case "printf":
            guard !arguments.isEmpty else { throw wrongCount(name, 1, 0) }
            return .json(.string(GoPrinting.format(text(0), Array(arguments.dropFirst()))))
        case "html": return .json(.string(escapeHTML(arguments.map(\.printed).joined())))
        case "urlquery": return .json(.string(percentEncoded(arguments.map(\.printed).joined()).replacing("%20", with: "+")))
        case "eq":
            guard arguments.count >= 2 else { throw TemplateError(message: "missing argument for comparison") }
            return .json(.bool(arguments.dropFirst().contains { same(arguments[0].json, $0.json) }))
        case "ne":
            try need(2)
            return .json(.bool(!same(arguments[0].json, arguments[1].json)))
        case "lt", "le", "gt", "ge":
            try need(2)
            let order = try compare(arguments[0].json, arguments[1].json)
            return .json(.bool(name == "lt" ? order < 0 : name == "le" ? order <= 0 : name == "gt" ? order > 0 : order >= 0))
        default: throw TemplateError(message: "function \(GoText.quoted(name)) not defined")
        }
    }

    private static func wrongCount(_ name: String, _ want: Int, _ got: Int) -> TemplateError {
        TemplateError(message: "wrong number of args for \(name): want \(want) got \(got)")
    }

    private static func length(_ value: JSONValue) throws -> Int {
        switch value {
        case .string(let text): return text.utf8.count
        case .array(let values): return values.count
        case .object(let object): return object.members.count
        case .null: throw TemplateError(message: "len of nil pointer")
        default: throw TemplateError(message: "len of type \(goType(value))")
        }
    }

    private static func index(_ arguments: [TemplateValue]) throws -> TemplateValue {
        guard let first = arguments.first else { throw TemplateError(message: "wrong number of args for index: want at least 1 got 0") }
        var value = first.json
        for key in arguments.dropFirst() {
            switch value {
            case .array(let values):
                guard let position = key.json.intValue.map(Int.init) else { throw TemplateError(message: "cannot index slice/array with type \(goType(key.json))") }
                guard values.indices.contains(position) else { throw TemplateError(message: "index out of range: \(position)") }
                value = values[position]
            case .object(let object):
                guard let name = key.json.stringValue else { throw TemplateError(message: "value has type \(goType(key.json)); should be string") }
                guard let member = object[name] else {
                    // Maps of strings, such as labels, have the empty string for what is not there
                    return object.members.allSatisfy { $0.value.stringValue != nil } ? .json("") : .missing
                }
                value = member
            case .string(let text):
                guard let position = key.json.intValue.map(Int.init), Array(text.utf8).indices.contains(position) else {
                    throw TemplateError(message: "index out of range: \(key.printed)")
                }
                value = .int(Int(Array(text.utf8)[position]))
            case .null: throw TemplateError(message: "index of untyped nil")
            default: throw TemplateError(message: "can't index item of type \(goType(value))")
            }
        }
        return .json(value)
    }

    private static func slice(_ arguments: [TemplateValue]) throws -> TemplateValue {
        guard let first = arguments.first?.json else { throw TemplateError(message: "slice of untyped nil") }
        func bounds(_ count: Int) throws -> Range<Int> {
            let low = arguments.count > 1 ? Int(arguments[1].json.intValue ?? -1) : 0
            let high = arguments.count > 2 ? Int(arguments[2].json.intValue ?? -1) : count
            guard low >= 0, high <= count, low <= high else { throw TemplateError(message: "index out of range: \(low < 0 || low > count ? low : high)") }
            return low..<high
        }
        switch first {
        case .string(let text):
            let bytes = Array(text.utf8)
            return .json(.string(String(decoding: bytes[try bounds(bytes.count)], as: UTF8.self)))
        case .array(let values): return .json(.array(Array(values[try bounds(values.count)])))
        default: throw TemplateError(message: "can't slice item of type \(goType(first))")
        }
    }

    private static func same(_ left: JSONValue, _ right: JSONValue) -> Bool {
        if let a = left.doubleValue, let b = right.doubleValue { return a == b }
        return left == right
    }

    private static func compare(_ left: JSONValue, _ right: JSONValue) throws -> Int {
        if let a = left.doubleValue, let b = right.doubleValue { return a < b ? -1 : a > b ? 1 : 0 }
        if let a = left.stringValue, let b = right.stringValue { return a < b ? -1 : a > b ? 1 : 0 }
        throw TemplateError(message: "incompatible types for comparison")
    }

    /// The first letter of every word in upper case.
    private static func title(_ text: String) -> String {
        var result = ""
        var atStart = true
        for character in text {
            result += atStart ? character.uppercased() : String(character)
            atStart = !(character.isLetter || character.isNumber || character == "_" || character == "'")
        }
        return result
    }

    private static func escapeHTML(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("'", with: "&#39;").replacing("<", with: "&lt;").replacing(">", with: "&gt;").replacing("\"", with: "&#34;")
    }

    static func goType(_ value: JSONValue) -> String {
        switch value {
        case .null: "nil"
        case .bool: "bool"
        case .number: "int"
        case .string: "string"
        case .array: "[]interface {}"
        case .object: "map[string]interface {}"
        }
    }
}
