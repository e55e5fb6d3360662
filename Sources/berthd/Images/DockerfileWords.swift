/// The words of a Dockerfile instruction: quotes, backslashes and variables as the Dockerfile reference has them.
///
/// White space separates words unless it is quoted; quotes and backslashes are taken away. `$NAME`, `${NAME}`, `${NAME:-other}` and `${NAME:+other}` stand for the
/// environment's values except in single quotes; a value is never taken apart.
struct DockerfileWords {
    private let values: [String: String]

    /// - Parameter environment: `NAME=value`.
    init(environment: [String]) {
        values = Dictionary(environment.map { entry in
            let name = entry.prefix { $0 != "=" }
            return (String(name), String(entry.dropFirst(name.count + 1)))
        }) { $1 }
    }

    /// - Throws: `.invalidArgument` for a variable that does not end.
    func split(_ text: String) throws(DaemonError) -> [String] {
        var result: [String] = []
        var word = ""
        var hasWord = false
        var quote: Character?
        var rest = text[...]
        while let character = rest.popFirst() {
            if character == "\\" && quote != "'" {
                if let next = rest.popFirst() { word.append(next) }
                hasWord = true
            } else if character == quote {
                quote = nil
            } else if quote == nil && (character == "\"" || character == "'") {
                quote = character
                hasWord = true
            } else if quote == nil && character.isWhitespace {
                if hasWord { result.append(word) }
                (word, hasWord) = ("", false)
            } else {
                word += character == "$" && quote != "'" ? try variable(&rest) : String(character)
                hasWord = true
            }
        }
        if hasWord { result.append(word) }
        return result
    }

    /// The words with one space between them.
    func joined(_ text: String) throws(DaemonError) -> String { try split(text).joined(separator: " ") }

    /// What stands behind a dollar sign, which itself is taken already.
    private func variable(_ rest: inout Substring) throws(DaemonError) -> String {
        guard rest.first == "{" else {
            let name = rest.prefix { $0 == "_" || $0.isASCII && ($0.isLetter || $0.isNumber) }
            guard !name.isEmpty else { return "$" }
            rest = rest.dropFirst(name.count)
            return values[String(name)] ?? ""
        }
        let whole = rest
        rest.removeFirst()
        var depth = 1
        let inner = rest.prefix { character in
            if character == "{" { depth += 1 } else if character == "}" { depth -= 1 }
            return depth > 0
        }
        rest = rest.dropFirst(inner.count)
        guard rest.popFirst() != nil else { throw .invalid("syntax error: missing '}' in \"$\(whole)\"") }
        let name = inner.prefix { $0 != ":" }
        let value = values[String(name)] ?? ""
        let other = inner.dropFirst(name.count)
        if other.isEmpty { return value }
        switch other.dropFirst().first {
        case "-": return value.isEmpty ? try joined(String(other.dropFirst(2))) : value
        case "+": return value.isEmpty ? "" : try joined(String(other.dropFirst(2)))
        default: throw .invalid("unsupported modifier in \"${\(inner)}\": :- and :+ are")
        }
    }
}
