/// Values of ARG: what the Dockerfile declares, with its defaults, and what the request gives.
struct BuildArguments: Sendable {
    /// Declared in the present stage.
    private var declared: [String: String?] = [:]
    /// Declared before the first FROM.
    private var global: [String: String?] = [:]
    private var mentioned: Set<String> = []
    /// Of the request; nil where only the name was given.
    private let given: [String: String?]

    /// These may be given without being declared, and leave no trace in the image.
    static let predefined: Set<String> = [
        "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy",
    ]

    init(given: [String: String?]) { self.given = given }

    mutating func declare(_ name: String, _ value: String?) {
        declared[name] = .some(value)
        mentioned.insert(name)
    }

    mutating func declareGlobally(_ name: String, _ value: String?) {
        declare(name, value)
        global[name] = .some(value)
    }

    /// A new stage begins without the declarations of the one before.
    func forNextStage() -> BuildArguments {
        var copy = self
        copy.declared = [:]
        return copy
    }

    mutating func noteMentions(of other: BuildArguments) { mentioned.formUnion(other.mentioned) }

    /// For FROM: `NAME=value`.
    var globalValues: [String] { values(of: global).map { "\($0)=\($1)" }.sorted() }

    /// What a step sees, without the names that the image's environment has: `NAME=value`, in the order of the names.
    func values(besides environment: [String]) -> [String] {
        let names = Set(environment.map { String(Environment.name($0)) })
        return values(of: declared).filter { !names.contains($0.key) }.map { "\($0)=\($1)" }.sorted()
    }

    /// Whether the value is part of what a step is known by.
    func isTraced(_ name: String) -> Bool { declared[name] != nil || !Self.predefined.contains(name) }

    private func values(of declarations: [String: String?]) -> [String: String] {
        var result: [String: String] = [:]
        for name in Set(declarations.keys).union(Self.predefined) {
            if let value = given[name] ?? nil { result[name] = value } else if let value = declarations[name] ?? nil { result[name] = value } else if let value = global[name] ?? nil {
                result[name] = value
            }
        }
        return result
    }

    /// Given, and neither declared nor predefined.
    var unused: [String] { given.keys.filter { !mentioned.contains($0) && !Self.predefined.contains($0) }.sorted() }
}
