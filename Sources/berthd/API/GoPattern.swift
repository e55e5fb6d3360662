import Glibc

/// A regular expression of a filter (`name=^web[0-9]+$`), matched anywhere in a text as Go's `regexp.MatchString` does.
///
/// libc's extended expressions match in linear memory and have the same operators; what Go writes in another way is translated: `\d`, groups that are not
/// captured, `(?i)` at the start, operators that take as little as possible (which changes nothing about whether there is a match).
struct GoPattern {
    private let source: String
    private let ignoresCase: Bool

    init(_ text: String) {
        var body = text[...]
        ignoresCase = body.hasPrefix("(?i)")
        if ignoresCase { body = body.dropFirst(4) }
        var result = ""
        var rest = Array(body)[...]
        var afterOperator = false
        while let character = rest.popFirst() {
            if character == "\\", let next = rest.popFirst() {
                switch next {
                case "d": result += "[0-9]"
                case "D": result += "[^0-9]"
                case "A": result += "^"
                case "z": result += "$"
                default: result += "\\\(next)"
                }
                afterOperator = false
            } else if character == "(", rest.starts(with: ["?", ":"]) {
                rest = rest.dropFirst(2)
                result += "("
                afterOperator = false
            } else if character == "?", afterOperator {
                afterOperator = false
            } else {
                result.append(character)
                afterOperator = "*+?}".contains(character)
            }
        }
        source = result
    }

    /// False also for what is no expression, as in Docker.
    func matches(_ text: String) -> Bool {
        var compiled = regex_t()
        guard regcomp(&compiled, source, REG_EXTENDED | REG_NOSUB | (ignoresCase ? REG_ICASE : 0)) == 0 else { return false }
        defer { regfree(&compiled) }
        return regexec(&compiled, text, 0, nil, 0) == 0
    }
}
