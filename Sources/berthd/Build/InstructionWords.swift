import DockerAPI

/// An instruction's line as keyword, flags and the rest.
struct InstructionWords {
    var keyword: String
    var flags: [String] = []
    var arguments = ""

    init(_ line: String, escape: Unicode.Scalar) throws(DaemonError) {
        let text = line.trimmed()
        keyword = String(text.prefix { !Self.separates($0) })
        let rest = text.dropFirst(keyword.count).drop { Self.separates($0) }
        arguments = takeFlags(Array(rest.unicodeScalars), escape).trimmed()
    }

    private static func separates(_ character: Character) -> Bool { [" ", "\t", "\r", "\r\n", "\u{B}", "\u{C}"].contains(character) }

    /// Takes the words that begin with `--`; `--` alone ends them. Quotes and escapes are taken away.
    private mutating func takeFlags(_ text: [Unicode.Scalar], _ escape: Unicode.Scalar) -> String {
        var position = 0
        func rest(_ from: Int) -> String {
            var view = String.UnicodeScalarView()
            view.append(contentsOf: text[from...])
            return String(view)
        }
        while position < text.count {
            if text[position].properties.isWhitespace {
                position += 1
                continue
            }
            guard text[position...].starts(with: ["-", "-"]) else { return rest(position) }
            var word = String.UnicodeScalarView()
            var quote: Unicode.Scalar?
            while position < text.count, quote != nil || !text[position].properties.isWhitespace {
                let scalar = text[position]
                position += 1
                if scalar == quote {
                    quote = nil
                } else if quote == nil, scalar == "'" || scalar == "\"" {
                    quote = scalar
                } else if scalar == escape {
                    guard position < text.count else { break }
                    word.append(text[position])
                    position += 1
                } else {
                    word.append(scalar)
                }
            }
            if String(word) == "--" { return rest(position) }
            flags.append(String(word))
        }
        return ""
    }
}

/// Forms of arguments. Quotes and escapes stay: they are taken away where variables are put in.
enum DockerfileWords {
    /// Words between white space that is not quoted.
    static func split(_ text: String, escape: Unicode.Scalar) -> [String] {
        var words: [String] = []
        var word = String.UnicodeScalarView()
        var isWord = false
        var quote: Unicode.Scalar?
        var rest = text.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            if quote == nil, scalar.properties.isWhitespace {
                if isWord { words.append(String(word)) }
                (word, isWord) = (.init(), false)
                continue
            }
            if scalar == escape, quote != "'" {
                // One at the end is nothing.
                guard let next = rest.popFirst() else { break }
                word.append(scalar)
                word.append(next)
                isWord = true
                continue
            }
            if scalar == quote { quote = nil } else if quote == nil, scalar == "'" || scalar == "\"" { quote = scalar }
            word.append(scalar)
            isWord = true
        }
        if isWord { words.append(String(word)) }
        return words
    }

    /// `NAME=value NAME2="a b"`, or of old `NAME the rest`.
    static func pairs(_ text: String, keyword: String, escape: Unicode.Scalar) throws(DaemonError) -> [Instruction.Pair] {
        let words = split(text, escape: escape)
        guard let first = words.first else { throw .invalid("\(keyword) requires at least one argument") }
        guard first.contains("=") else {
            let name = text.prefix { !$0.isWhitespace }
            let value = text.dropFirst(name.count).trimmedStart()
            guard name.count < text.count else { throw .invalid("\(keyword) must have two arguments") }
            return [.init(name: String(name), value: value)]
        }
        var pairs: [Instruction.Pair] = []
        for word in words {
            guard let equals = word.firstIndex(of: "=") else { throw .invalid("Syntax error - can't find = in \(GoText.quoted(word)). Must be of the form: name=value") }
            pairs.append(.init(name: String(word[..<equals]), value: String(word[word.index(after: equals)...])))
        }
        return pairs
    }

    /// The JSON form, or nil for what is no JSON list.
    ///
    /// - Throws: for a list of something else than strings.
    static func list(_ text: String) throws(DaemonError) -> [String]? {
        guard text.hasPrefix("["), case .valid(hasMore: false) = GoJSONSyntax.check(Array(text.utf8)) else { return nil }
        guard let list: [String] = try? JSONBody.decode([String].self, from: text) else { throw .invalid("when using JSON array syntax, arrays must be comprised of strings only") }
        return list
    }

    /// A JSON list, or words between white space.
    static func listOrWords(_ text: String) throws(DaemonError) -> [String] { try list(text) ?? words(text) }

    static func words(_ text: String) -> [String] { text.split(whereSeparator: \.isWhitespace).map(String.init) }
}
