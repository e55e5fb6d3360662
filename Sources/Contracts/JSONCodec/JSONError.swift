/// Why a document was refused, in one line: "process.args[0]: expected a string, found a number".
package struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The field in the document, "process.args[0]"; empty for the whole document and for broken syntax.
    package let path: String
    package let problem: String

    package var description: String { path.isEmpty ? problem : "\(path): \(problem)" }

    init(path: String, problem: String) {
        self.path = path
        self.problem = problem
    }

    /// What a type's own `init(from:)` threw.
    init(_ error: DecodingError) {
        switch error {
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            self.init(path: Self.path(context.codingPath), problem: context.debugDescription)
        case .keyNotFound(let key, let context):
            self.init(path: Self.path(context.codingPath + [key]), problem: "required field is missing")
        @unknown default:
            self.init(path: "", problem: "\(error)")
        }
    }

    init(_ error: EncodingError) {
        switch error {
        case .invalidValue(_, let context): self.init(path: Self.path(context.codingPath), problem: context.debugDescription)
        @unknown default: self.init(path: "", problem: "\(error)")
        }
    }

    private static func path(_ keys: [any CodingKey]) -> String {
        keys.reduce(into: "") { path, key in path += key.intValue.map { "[\($0)]" } ?? step(key.stringValue, after: path) }
    }

    /// How a member's name continues a path: ".cwd", or `["io.kubernetes/x"]` where the name has other characters than letters, digits, `_` and `-`.
    static func step(_ name: String, after path: String) -> String {
        let plain = !name.isEmpty && name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "_"), UInt8(ascii: "-"): true
            default: false
            }
        }
        if plain { return path.isEmpty ? name : ".\(name)" }
        return "[\(quoted(name))]"
    }

    /// A text of the document as a message may show it: on one line and not endless.
    static func quoted(_ text: String) -> String {
        let shown = text.unicodeScalars.prefix(64)
        let cut = shown.endIndex < text.unicodeScalars.endIndex
        return String(String.UnicodeScalarView(shown)).debugDescription + (cut ? "…" : "")
    }
}
