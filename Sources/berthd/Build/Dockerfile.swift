/// A Dockerfile taken apart into instructions: directives, comments and lines that go on are dealt with, the arguments are not read yet.
///
/// Spec: Dockerfile reference, "Format" and "Parser directives".
struct Dockerfile: Sendable, Equatable {
    /// One instruction.
    struct Line: Sendable, Equatable {
        /// As it was written, in whatever case.
        var keyword: String
        /// What begins with `--` before the arguments.
        var flags: [String] = []
        /// The rest, without white space at its ends.
        var arguments: String
        /// The whole of it, with the lines that it goes on in.
        var text: String
        /// Of its first line, from 1.
        var number: Int
    }

    /// Longer lines are refused, as by Docker: bytes.
    static let lineLimit = (64 << 10) - 1

    private(set) var lines: [Line] = []
    /// What takes the meaning of the next character away, and lets a line go on.
    private(set) var escape: Unicode.Scalar = "\\"
    private(set) var warnings: [String] = []

    /// - Throws: `.invalidArgument` in Docker's words for a directive, a line or a heredoc that cannot be.
    init(parsing text: String) throws(DaemonError) {
        var source = Source(text)
        var directives = DirectiveReader()
        while let raw = source.next() {
            let line = raw.trimmedStart()
            if raw.utf8.count > Self.lineLimit { throw .invalid("dockerfile line greater than max allowed size of \(Self.lineLimit)") }
            if let value = try directives.read(line) { escape = value }
            let number = source.number
            var (whole, goesOn) = line.first == "#" ? ("", false) : continued(line)
            if !goesOn && whole.isEmpty { continue }
            var hasEmptyLine = false
            while goesOn, let next = source.next() {
                if next.trimmedStart().first == "#" { continue }
                if next.allSatisfy(\.isWhitespace) {
                    hasEmptyLine = true
                    continue
                }
                let (part, more) = continued(next)
                whole += part
                goesOn = more
            }
            if hasEmptyLine { warnings.append("Empty continuation line found in: \(whole)") }
            let words = try InstructionWords(whole, escape: escape)
            lines.append(Line(keyword: words.keyword, flags: words.flags, arguments: words.arguments, text: whole.trimmed(), number: number))
            try InstructionReader.checkForm(words.keyword, words.arguments, escape: escape)
            try refuseHeredoc(lines[lines.count - 1])
        }
        if lines.isEmpty { throw .invalid("file with no instructions") }
        if !warnings.isEmpty { warnings.append("Empty continuation lines will become errors in a future release.") }
    }

    /// The line without the escape at its end, and whether there was one.
    private func continued(_ line: String) -> (String, Bool) {
        var rest = line.unicodeScalars[...]
        while let last = rest.last, last == " " || last == "\t" { rest.removeLast() }
        guard rest.last == escape else { return (line, false) }
        rest.removeLast()
        // An escaped escape is none.
        return rest.last == escape ? (line, false) : (String(rest), true)
    }

    /// `RUN <<EOF`: only BuildKit has them. Without this, what follows would be read as instructions.
    private func refuseHeredoc(_ line: Line) throws(DaemonError) {
        var line = line
        if line.keyword.lowercased() == "onbuild", let inner = try? InstructionWords(line.arguments, escape: escape) { (line.keyword, line.arguments) = (inner.keyword, inner.arguments) }
        guard ["add", "copy", "run"].contains(line.keyword.lowercased()), !line.arguments.hasPrefix("["), line.arguments.contains("<<") else { return }
        let words = DockerfileWords.split(line.arguments, escape: escape)
        guard words.contains(where: Self.isHeredoc) else { return }
        throw .invalid("heredocs require BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled")
    }

    /// Digits, `<<`, perhaps a dash, and a word.
    private static func isHeredoc(_ word: String) -> Bool {
        var rest = word.drop { $0.isASCII && $0.isNumber }
        guard rest.hasPrefix("<<") else { return false }
        rest = rest.dropFirst(2)
        if rest.first == "-" { rest.removeFirst() }
        return !rest.isEmpty && !rest.contains("<")
    }
}

/// The lines of a text, whatever they end in.
private struct Source {
    private var rest: Substring.UTF8View
    private(set) var number = 0

    init(_ text: String) {
        rest = text[...].utf8
        // A byte order mark.
        if rest.starts(with: [0xEF, 0xBB, 0xBF]) { rest = rest.dropFirst(3) }
    }

    mutating func next() -> String? {
        guard !rest.isEmpty else { return nil }
        var line = rest.prefix { $0 != 0x0A }
        rest = rest.dropFirst(line.count + 1)
        while line.last == 0x0D { line = line.dropLast() }
        number += 1
        return String(Substring(line))
    }
}

/// `# escape=`, `# syntax=` and `# check=` before everything else.
private struct DirectiveReader {
    private var isDone = false
    private var seen: Set<String> = []

    /// - Returns: a new escape; nil for every other line.
    mutating func read(_ line: String) throws(DaemonError) -> Unicode.Scalar? {
        if isDone { return nil }
        guard line.first == "#", let equals = line.firstIndex(of: "=") else {
            isDone = true
            return nil
        }
        let name = line[..<equals].dropFirst().trimmed().lowercased(), value = line[line.index(after: equals)...].trimmed()
        guard ["escape", "syntax", "check"].contains(name), !value.isEmpty else {
            isDone = true
            return nil
        }
        guard seen.insert(name).inserted else { throw .invalid("only one \(name) parser directive can be used") }
        guard name == "escape" else { return nil }
        guard value == "\\" || value == "`", let scalar = value.unicodeScalars.first else { throw .invalid("invalid escape token '\(value)' does not match ` or \\") }
        return scalar
    }
}

extension StringProtocol {
    /// Without white space at its start.
    func trimmedStart() -> String { String(drop { $0.isWhitespace }) }
}
