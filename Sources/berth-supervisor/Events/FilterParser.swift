import BerthDefaults

/// containerd's filter language: `namespace==moby,topic~=|^/tasks/|`. Conditions in one filter are joined by "and", several filters by "or".
///
/// ```
/// filter    = selector *( "," selector )
/// selector  = fieldpath [ ( "==" | "!=" | "~=" ) value ]      a path alone asks for presence
/// fieldpath = field *( "." field )
/// field     = a word of letters, digits and _, or a string in double quotes
/// value     = a string in double quotes, or after "~=" also between two | or two /, or characters up to white space or a comma
/// ```
///
/// Spec: containerd, pkg/filters.
struct Filter: Sendable {
    enum Condition: Sendable {
        case present, equal(String), notEqual(String), matches(FilterPattern)
    }

    struct Selector: Sendable {
        let path: [String]
        let condition: Condition
    }

    let selectors: [Selector]

    /// - Parameter field: the value at a path; nil when there is none.
    func matches(_ field: ([String]) -> String?) -> Bool {
        selectors.allSatisfy { selector in
            let value = field(selector.path)
            return switch selector.condition {
            case .present: value != nil
            case .equal(let other): value == other
            case .notEqual(let other): value != other
            case .matches(let pattern): pattern.matches(value ?? "")
            }
        }
    }
}

/// Any of several filters; without a filter, everything.
struct FilterSet: Sendable {
    let filters: [Filter]

    init(_ texts: [String]) throws(SupervisorError) {
        var filters: [Filter] = []
        for text in texts {
            var parser = FilterParser(text)
            filters.append(Filter(selectors: try parser.parse()))
        }
        self.filters = filters
    }

    var isEmpty: Bool { filters.isEmpty }

    func matches(_ field: ([String]) -> String?) -> Bool { filters.isEmpty || filters.contains { $0.matches(field) } }
}

/// A regular expression of a filter, searched anywhere in the value.
///
/// Safety: `Regex` is immutable once made; the standard library has not marked it Sendable.
struct FilterPattern: @unchecked Sendable {
    private let regex: Regex<AnyRegexOutput>

    init(_ pattern: String) throws { regex = try Regex(pattern) }

    func matches(_ value: String) -> Bool { (try? regex.firstMatch(in: value)) != nil }
}

/// Reads one filter.
private struct FilterParser {
    private let text: String
    private let characters: [Character]
    private var position = 0

    init(_ text: String) {
        self.text = text
        characters = Array(text)
    }

    private func failure(_ what: String) -> SupervisorError {
        SupervisorError(.invalidArgument, "filter \"\(text)\": \(what) at position \(position): invalid argument")
    }

    private var next: Character? { position < characters.count ? characters[position] : nil }

    private mutating func skipSpaces() { while let character = next, character.isWhitespace { position += 1 } }

    mutating func parse() throws(SupervisorError) -> [Filter.Selector] {
        var selectors: [Filter.Selector] = []
        skipSpaces()
        if next == nil { return [] }
        while true {
            selectors.append(try selector())
            skipSpaces()
            guard let separator = next else { return selectors }
            guard separator == "," else { throw failure("expected a comma, found \"\(separator)\"") }
            position += 1
            skipSpaces()
        }
    }

    private mutating func selector() throws(SupervisorError) -> Filter.Selector {
        var path = [try field()]
        while next == "." {
            position += 1
            path.append(try field())
        }
        skipSpaces()
        guard let first = next, first != "," else { return Filter.Selector(path: path, condition: .present) }
        let text = take { "=!~".contains($0) }
        guard ["==", "!=", "~="].contains(text) else { throw failure("unknown operator \"\(text)\", expected ==, != or ~=,") }
        skipSpaces()
        let value = try value(isPattern: first == "~")
        switch first {
        case "=": return Filter.Selector(path: path, condition: .equal(value))
        case "!": return Filter.Selector(path: path, condition: .notEqual(value))
        default:
            do { return Filter.Selector(path: path, condition: .matches(try FilterPattern(value))) } catch {
                throw failure("\"\(value)\" is not a regular expression")
            }
        }
    }

    private mutating func field() throws(SupervisorError) -> String {
        if next == "\"" { return try quoted("\"") }
        guard let first = next, first.isLetter || first.isNumber || first == "_" else { throw failure("expected a field") }
        return take { $0.isLetter || $0.isNumber || $0 == "_" }
    }

    private mutating func value(isPattern: Bool) throws(SupervisorError) -> String {
        guard let first = next else { throw failure("expected a value") }
        if first == "\"" { return try quoted("\"") }
        if isPattern, first == "|" || first == "/" { return try quoted(first) }
        let word = take { !$0.isWhitespace && $0 != "," }
        guard !word.isEmpty else { throw failure("expected a value") }
        return word
    }

    private mutating func take(_ isWanted: (Character) -> Bool) -> String {
        let start = position
        while let character = next, isWanted(character) { position += 1 }
        return String(characters[start..<position])
    }

    /// A quoted string. Between double quotes a backslash escapes as in Go; between others it only escapes the quote itself.
    private mutating func quoted(_ quote: Character) throws(SupervisorError) -> String {
        position += 1
        var out = ""
        while let character = next {
            position += 1
            if character == quote { return out }
            guard character == "\\", let escaped = next else {
                out.append(character)
                continue
            }
            position += 1
            if quote != "\"" {
                out += escaped == quote ? String(quote) : "\\" + String(escaped)
                continue
            }
            switch escaped {
            case "n": out.append("\n")
            case "t": out.append("\t")
            case "r": out.append("\r")
            case "\\", "\"", "'": out.append(escaped)
            case "x", "u", "U":
                let length = escaped == "x" ? 2 : escaped == "u" ? 4 : 8
                let digits = String(characters[position..<min(position + length, characters.count)])
                guard digits.count == length, let number = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(number) else {
                    throw failure("bad escape")
                }
                out.unicodeScalars.append(scalar)
                position += length
            default: throw failure("unknown escape \\\(escaped)")
            }
        }
        throw failure("missing closing \(quote)")
    }
}
