/// The flags of one instruction: `--name=value`, `--name`.
struct BuildFlags {
    private var values: [String: String] = [:]
    /// In the order of the line.
    private(set) var used: [String] = []

    /// - Throws: `.invalidArgument` in Docker's words for a flag that the instruction has not, that is given twice or without its value.
    init(_ flags: [String], texts: [String], booleans: [String], repeats: Set<String> = []) throws(DaemonError) {
        for flag in flags {
            let spelled = String(flag.prefix { $0 != "=" }), name = String(spelled.dropFirst(2))
            let value = spelled.count < flag.count ? String(flag.dropFirst(spelled.count + 1)) : nil
            let isBoolean = booleans.contains(name)
            guard isBoolean || texts.contains(name) else { throw .invalid("unknown flag: \(spelled)" + Suggestion.text(for: name, among: texts + booleans, ignoringCase: false)) }
            guard !used.contains(name) || repeats.contains(name) else { throw .invalid("duplicate flag specified: \(spelled)") }
            used.append(name)
            guard isBoolean else {
                guard let value else { throw .invalid("missing a value on flag: \(spelled)") }
                values[name] = value
                continue
            }
            if value == "" { throw .invalid("missing a value on flag: \(spelled)") }
            switch (value ?? "true").lowercased() {
            case "true": values[name] = "true"
            case "false": values[name] = "false"
            default: throw .invalid("expecting boolean value for flag \(spelled), not: \(value ?? "")")
            }
        }
    }

    /// Empty for one that was not given.
    subscript(name: String) -> String { values[name] ?? "" }
}

/// What a mistyped word may have meant.
enum Suggestion {
    /// ` (did you mean X?)`, or nothing where no word is near.
    static func text(for word: String, among words: [String], ignoringCase: Bool = true) -> String {
        func folded(_ text: String) -> String { ignoringCase ? text.lowercased() : text }
        guard !words.contains(where: { folded($0) == folded(word) }) else { return "" }
        var best: (word: String, distance: Int)?
        for candidate in words {
            let distance = distance(Array(folded(word)), Array(folded(candidate)))
            if distance < best?.distance ?? 3 { best = (candidate, distance) }
        }
        guard let best else { return "" }
        return " (did you mean \(ignoringCase && word == word.lowercased() ? best.word.lowercased() : best.word)?)"
    }

    /// Levenshtein's.
    private static func distance(_ left: [Character], _ right: [Character]) -> Int {
        var row = Array(0...right.count)
        for (index, character) in left.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for (column, other) in right.enumerated() {
                let above = row[column + 1]
                row[column + 1] = min(above + 1, row[column] + 1, diagonal + (character == other ? 0 : 1))
                diagonal = above
            }
        }
        return row[right.count]
    }
}
