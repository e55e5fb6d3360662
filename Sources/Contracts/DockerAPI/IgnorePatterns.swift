/// The patterns of a `.dockerignore`, which clients and engines read alike: what a build context leaves out.
///
/// `*` and `?` stop at slashes, `**` does not, `[a-z]` is a set, a backslash takes the meaning away. `!` brings back what an earlier line leaves out; the last line that matches a
/// path or something above it counts. Spec: Dockerfile reference, ".dockerignore file".
package struct IgnorePatterns: Sendable {
    private struct Pattern: Sendable {
        var parts: [[Token]]
        var isException: Bool
    }

    fileprivate enum Token: Sendable, Equatable {
        case any, anyPath, one
        case scalar(Unicode.Scalar)
        case set([ClosedRange<Unicode.Scalar>], isNegated: Bool)
    }

    private let patterns: [Pattern]

    /// Something that an earlier line leaves out may come back: directories that are left out have to be looked into.
    package var hasExceptions: Bool { patterns.contains(where: \.isException) }

    /// - Throws: for a `!` without a pattern and a set that does not end.
    package init(file text: String) throws(IgnorePatternError) {
        var lines: [String] = []
        for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            var line = raw
            if index == 0, line.unicodeScalars.first == "\u{FEFF}" { line = Substring(line.unicodeScalars.dropFirst()) }
            // A comment is one only at the very start.
            if line.hasPrefix("#") { continue }
            lines.append(String(line))
        }
        try self.init(lines)
    }

    package init(_ lines: [String]) throws(IgnorePatternError) {
        var patterns: [Pattern] = []
        for line in lines {
            var text = line[...]
            while let last = text.last, last.isWhitespace { text.removeLast() }
            text = text.drop(while: \.isWhitespace)
            guard !text.isEmpty else { continue }
            let isException = text.first == "!"
            if isException { text = text.dropFirst().drop(while: \.isWhitespace) }
            guard !text.isEmpty else { throw IgnorePatternError(description: "illegal exclusion pattern: \"!\"") }
            let components = Self.cleaned(String(text))
            // The context itself is never left out.
            if components.isEmpty { continue }
            var parts: [[Token]] = []
            for component in components { parts.append(try Self.tokens(component, of: line)) }
            patterns.append(Pattern(parts: parts, isException: isException))
        }
        self.patterns = patterns
    }

    /// Whether a path, relative to the context, is left out, by itself or with a directory above it.
    package func matches(_ path: String) -> Bool {
        let components = Self.cleaned(path).map { Array($0.unicodeScalars) }
        var isMatched = false
        for pattern in patterns where pattern.isException == isMatched {
            for count in stride(from: components.count, to: 0, by: -1) where Self.matches(pattern.parts[...], components[..<count]) {
                isMatched = !pattern.isException
                break
            }
        }
        return isMatched
    }

    private static func cleaned(_ path: String) -> [String] {
        var result: [String] = []
        for part in path.split(separator: "/") where part != "." {
            if part == "..", let last = result.last, last != ".." { result.removeLast() } else if part != ".." || !path.hasPrefix("/") { result.append(String(part)) }
        }
        return result
    }

    private static func tokens(_ component: String, of line: String) throws(IgnorePatternError) -> [Token] {
        var tokens: [Token] = []
        var rest = component.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            switch scalar {
            case "*":
                if rest.first == "*" {
                    rest.removeFirst()
                    tokens.append(.anyPath)
                } else {
                    tokens.append(.any)
                }
            case "?": tokens.append(.one)
            case "\\": tokens.append(.scalar(rest.popFirst() ?? scalar))
            case "[":
                guard let set = set(&rest) else { throw IgnorePatternError(description: "error checking context: syntax error in pattern: \(line)") }
                tokens.append(set)
            default: tokens.append(.scalar(scalar))
            }
        }
        return tokens
    }

    private static func set(_ rest: inout Substring.UnicodeScalarView) -> Token? {
        let isNegated = rest.first == "^"
        if isNegated { rest.removeFirst() }
        var ranges: [ClosedRange<Unicode.Scalar>] = []
        while let scalar = rest.popFirst() {
            if scalar == "]", !ranges.isEmpty { return .set(ranges, isNegated: isNegated) }
            guard let low = scalar == "\\" ? rest.popFirst() : scalar else { return nil }
            var high = low
            if rest.first == "-" {
                rest.removeFirst()
                guard let end = rest.popFirst(), let value = end == "\\" ? rest.popFirst() : end, value >= low else { return nil }
                high = value
            }
            ranges.append(low...high)
        }
        return nil
    }

    // MARK: Matching

    /// Component by component; `**` alone stands for any number of them.
    private static func matches(_ parts: ArraySlice<[Token]>, _ path: ArraySlice<[Unicode.Scalar]>) -> Bool {
        guard let part = parts.first else { return path.isEmpty }
        if part == [.anyPath] {
            // At the end it stands for what is inside: for at least one.
            if parts.count == 1 { return !path.isEmpty }
            return (path.startIndex...path.endIndex).contains { matches(parts.dropFirst(), path[$0...]) }
        }
        if part.contains(.anyPath) {
            // `a**b` also matches over slashes.
            let joined = Array(path.joined(separator: [Unicode.Scalar("/")]))
            let tokens = Array(parts.joined(separator: [Token.scalar("/")]))
            return matches(tokens[...], joined[...])
        }
        guard let component = path.first, matches(part[...], component[...]) else { return false }
        return matches(parts.dropFirst(), path.dropFirst())
    }

    /// Greedy with one step back for each of the two stars, so that no pattern takes longer than the product of the lengths.
    private static func matches(_ tokens: ArraySlice<Token>, _ text: ArraySlice<Unicode.Scalar>) -> Bool {
        var token = tokens.startIndex, place = text.startIndex
        var star: (token: Int, place: Int)?
        var deep: (token: Int, place: Int)?
        while place < text.endIndex {
            if token < tokens.endIndex, tokens[token] == .anyPath {
                (deep, star) = ((token, place), nil)
                token += 1
            } else if token < tokens.endIndex, tokens[token] == .any {
                star = (token, place)
                token += 1
            } else if token < tokens.endIndex, tokens[token].takes(text[place]) {
                token += 1
                place += 1
            } else if let last = star, text[last.place] != "/" {
                star = (last.token, last.place + 1)
                (token, place) = (last.token + 1, last.place + 1)
            } else if let last = deep {
                (deep, star) = ((last.token, last.place + 1), nil)
                (token, place) = (last.token + 1, last.place + 1)
            } else {
                return false
            }
        }
        return tokens[token...].allSatisfy { $0 == .any || $0 == .anyPath }
    }
}

extension IgnorePatterns.Token {
    fileprivate func takes(_ scalar: Unicode.Scalar) -> Bool {
        switch self {
        case .any, .anyPath: false
        case .one: scalar != "/"
        case .scalar(let own): scalar == own
        case .set(let ranges, let isNegated): scalar != "/" && ranges.contains { $0.contains(scalar) } != isNegated
        }
    }
}

/// A pattern that is none.
package struct IgnorePatternError: Error, CustomStringConvertible {
    package let description: String
}
