/// A pattern of the shell in `${NAME#pattern}` and its like: `*`, `?`, and escapes.
struct ShellPattern {
    private enum Token { case any, one, scalar(Unicode.Scalar) }

    private let tokens: [Token]

    init(_ text: String, escape: Unicode.Scalar) {
        var tokens: [Token] = []
        var rest = text.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            switch scalar {
            case "*": tokens.append(.any)
            case "?": tokens.append(.one)
            case escape: tokens.append(.scalar(rest.popFirst() ?? scalar))
            default: tokens.append(.scalar(scalar))
            }
        }
        self.tokens = tokens
    }

    func trimmingPrefix(of text: String, longest: Bool) -> String {
        let scalars = Array(text.unicodeScalars)
        let ends = ends(in: scalars, from: 0)
        guard let end = longest ? ends.max() : ends.min() else { return text }
        return Self.text(scalars[end...])
    }

    func trimmingSuffix(of text: String, longest: Bool) -> String {
        let scalars = Array(text.unicodeScalars)
        let starts = (0...scalars.count).filter { ends(in: scalars, from: $0).contains(scalars.count) }
        guard let start = longest ? starts.min() : starts.max() else { return text }
        return Self.text(scalars[..<start])
    }

    /// A match takes as much as it can.
    func replacing(in text: String, with other: String, everywhere: Bool) -> String {
        let scalars = Array(text.unicodeScalars)
        var result = ""
        var position = 0
        while position <= scalars.count {
            guard let end = ends(in: scalars, from: position).max(), end > position else {
                if position < scalars.count { result.unicodeScalars.append(scalars[position]) }
                position += 1
                continue
            }
            result += other
            position = end
            if !everywhere { return result + Self.text(scalars[position...]) }
        }
        return result
    }

    /// Where a match that begins at `start` may end.
    private func ends(in text: [Unicode.Scalar], from start: Int) -> Set<Int> {
        var places: Set<Int> = [start]
        for token in tokens {
            switch token {
            case .any: if let first = places.min() { places = Set(first...text.count) }
            case .one: places = Set(places.filter { $0 < text.count }.map { $0 + 1 })
            case .scalar(let scalar): places = Set(places.filter { $0 < text.count && text[$0] == scalar }.map { $0 + 1 })
            }
        }
        return places
    }

    private static func text(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }
}
