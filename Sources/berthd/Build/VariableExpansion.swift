import DockerAPI

/// Puts variables into the words of a Dockerfile, and takes quotes and escapes away.
///
/// `$NAME`, `${NAME}` and with modifiers `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/` `//`; nothing is replaced in single quotes.
/// Spec: Dockerfile reference, "Environment replacement".
struct VariableExpansion {
    private let values: [String: String]
    private let escape: Unicode.Scalar

    /// - Parameter environment: `NAME=value`; the last of several counts.
    init(_ environment: [String], escape: Unicode.Scalar = "\\") {
        values = Dictionary(environment.map { entry in
            let name = Environment.name(entry)
            return (String(name), String(entry.dropFirst(name.count + 1)))
        }) { $1 }
        self.escape = escape
    }

    /// - Throws: `.invalidArgument` in Docker's words for a quote or a variable that does not end, and for a modifier that is none.
    func word(_ text: String) throws(DaemonError) -> String { try scan(text).text }

    /// The same taken apart at white space that is not quoted, also that of a variable's value.
    func words(_ text: String) throws(DaemonError) -> [String] { try scan(text).words }

    private func scan(_ text: String) throws(DaemonError) -> (text: String, words: [String]) {
        var scanner = ExpansionScanner(text, values: values, escape: escape)
        do throws(DaemonError) { return try scanner.scan(until: nil) } catch { throw .invalid("failed to process \(GoText.quoted(text)): \(error.message)") }
    }
}

/// One word on its way through.
private struct ExpansionScanner {
    private var rest: Substring.UnicodeScalarView
    private let values: [String: String]
    private let escape: Unicode.Scalar
    /// A pattern keeps its escapes.
    private var keepsEscapes = false

    init(_ text: String, values: [String: String], escape: Unicode.Scalar) {
        rest = text[...].unicodeScalars
        self.values = values
        self.escape = escape
    }

    /// What comes together: the text as a whole, and its words.
    private struct Result {
        var text = String.UnicodeScalarView()
        var words: [String] = []
        var word = String.UnicodeScalarView()

        mutating func add(_ scalar: Unicode.Scalar, splits: Bool) {
            text.append(scalar)
            if splits, scalar.properties.isWhitespace { end() } else { word.append(scalar) }
        }

        mutating func add(_ string: String, splits: Bool) { for scalar in string.unicodeScalars { add(scalar, splits: splits) } }

        mutating func end() {
            if !word.isEmpty { words.append(String(word)) }
            word = .init()
        }
    }

    mutating func scan(until stop: Unicode.Scalar?) throws(DaemonError) -> (text: String, words: [String]) {
        var result = Result()
        while let scalar = rest.first {
            if scalar == stop {
                rest.removeFirst()
                result.end()
                return (String(result.text), result.words)
            }
            switch scalar {
            case "'": result.add(try singleQuoted(), splits: false)
            case "\"": result.add(try doubleQuoted(), splits: false)
            case "$": result.add(try variable(), splits: true)
            case escape:
                rest.removeFirst()
                if keepsEscapes { result.add(scalar, splits: false) }
                if let next = rest.popFirst() { result.add(next, splits: false) }
            default:
                rest.removeFirst()
                result.add(scalar, splits: true)
            }
        }
        if let stop { throw .invalid("unexpected end of statement while looking for matching \(stop)") }
        result.end()
        return (String(result.text), result.words)
    }

    private mutating func singleQuoted() throws(DaemonError) -> String {
        rest.removeFirst()
        let inner = rest.prefix { $0 != "'" }
        rest = rest.dropFirst(inner.count)
        guard rest.popFirst() != nil else { throw .invalid("unexpected end of statement while looking for matching single-quote") }
        return String(inner)
    }

    private mutating func doubleQuoted() throws(DaemonError) -> String {
        rest.removeFirst()
        var result = String.UnicodeScalarView()
        while let scalar = rest.first {
            if scalar == "$" {
                result.append(contentsOf: try variable().unicodeScalars)
                continue
            }
            rest.removeFirst()
            if scalar == "\"" { return String(result) }
            guard scalar == escape else {
                result.append(scalar)
                continue
            }
            if keepsEscapes { result.append(scalar) }
            // Only these can be escaped in double quotes.
            if let next = rest.first, next == "\"" || next == "$" || next == escape {
                rest.removeFirst()
                result.append(next)
            } else if !rest.isEmpty {
                result.append(scalar)
            }
        }
        throw .invalid("unexpected end of statement while looking for matching double-quote")
    }

    // MARK: Variables

    private mutating func variable() throws(DaemonError) -> String {
        rest.removeFirst()
        guard rest.first == "{" else {
            let name = name()
            return name.isEmpty ? "$" : values[name] ?? ""
        }
        rest.removeFirst()
        guard let first = rest.first else { throw .invalid("syntax error: missing '}'") }
        if first == "{" || first == "}" || first == ":" { throw .invalid("syntax error: bad substitution") }
        let name = name()
        let value = values[name]
        guard var modifier = rest.popFirst() else { throw .invalid("syntax error: missing '}'") }
        if modifier == "}" { return value ?? "" }
        if modifier == "/" { return try replaced(in: value ?? "") }
        var isSet = value != nil
        var spelled = String(modifier)
        if modifier == ":" {
            guard let next = rest.popFirst() else { throw .invalid("syntax error: missing '}'") }
            modifier = next
            spelled.unicodeScalars.append(next)
            isSet = value?.isEmpty == false
        }
        guard "+-?".unicodeScalars.contains(modifier) || spelled.count == 1 && (modifier == "#" || modifier == "%") else { throw .invalid("unsupported modifier (\(spelled)) in substitution") }
        let other = try other(keepingEscapes: modifier == "#" || modifier == "%")
        switch modifier {
        case "-": return isSet ? value ?? "" : other
        case "+": return isSet ? other : ""
        case "?":
            if isSet { return value ?? "" }
            throw .invalid("\(name): \(other.isEmpty ? "is not allowed to be \(value == nil ? "unset" : "empty")" : other)")
        default:
            let takesMost = other.unicodeScalars.first == modifier
            let pattern = ShellPattern(takesMost ? String(other.dropFirst()) : other, escape: escape)
            return modifier == "#" ? pattern.trimmingPrefix(of: value ?? "", longest: takesMost) : pattern.trimmingSuffix(of: value ?? "", longest: takesMost)
        }
    }

    /// Up to the brace; variables in it are put in.
    private mutating func other(keepingEscapes: Bool = false, until stop: Unicode.Scalar = "}") throws(DaemonError) -> String {
        let before = keepsEscapes
        keepsEscapes = keepingEscapes
        defer { keepsEscapes = before }
        do throws(DaemonError) { return try scan(until: stop).text } catch {
            if rest.isEmpty { throw .invalid(stop == "}" ? "syntax error: missing '}'" : "syntax error: missing '/' in ${}") }
            throw error
        }
    }

    private mutating func replaced(in value: String) throws(DaemonError) -> String {
        let everywhere = rest.first == "/"
        if everywhere { rest.removeFirst() }
        let pattern = ShellPattern(try other(keepingEscapes: true, until: "/"), escape: escape)
        return pattern.replacing(in: value, with: try other(keepingEscapes: true), everywhere: everywhere)
    }

    /// Letters, digits and `_`; digits alone where it begins with one; or one of the shell's special parameters.
    private mutating func name() -> String {
        guard let first = rest.first else { return "" }
        func isDigit(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.numericType == .decimal }
        if "@*#?-$!0".unicodeScalars.contains(first) {
            rest.removeFirst()
            return String(first)
        }
        let digitsOnly = isDigit(first)
        let name = rest.prefix { digitsOnly ? isDigit($0) : $0 == "_" || $0.properties.isAlphabetic || isDigit($0) }
        rest = rest.dropFirst(name.count)
        return String(name)
    }
}
