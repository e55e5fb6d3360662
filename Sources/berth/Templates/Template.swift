import DockerAPI

/// What a template works on: JSON, or a row of a listing with its computed fields.
enum TemplateValue {
    case json(JSONValue)
    case row(TemplateRow)
    /// A member that a map does not have; prints as `<no value>`.
    case missing

    var json: JSONValue {
        switch self {
        case .json(let value): value
        case .row(let row): row.json
        case .missing: .null
        }
    }

    /// What `if` and `and` take for true: everything but null, false, zero and the empty.
    var isTrue: Bool {
        switch self {
        case .missing: false
        case .row: true
        case .json(let value):
            switch value {
            case .null: false
            case .bool(let flag): flag
            case .number(let text): Double(text) != 0
            case .string(let text): !text.isEmpty
            case .array(let values): !values.isEmpty
            case .object(let object): !object.isEmpty
            }
        }
    }

    /// As fmt.Print shows it.
    var printed: String {
        switch self {
        case .missing: "<no value>"
        case .row(let row): row.json.text
        case .json(.null): "<no value>"
        case .json(let value): TemplateValue.print(value)
        }
    }

    private static func print(_ value: JSONValue) -> String {
        switch value {
        case .null: "<nil>"
        case .bool(let flag): flag ? "true" : "false"
        case .number(let text): text
        case .string(let text): text
        case .array(let values): "[" + values.map(print).joined(separator: " ") + "]"
        case .object(let object):
            "map[" + object.members.sorted { $0.key < $1.key }.map { "\($0.key):\(print($0.value))" }.joined(separator: " ") + "]"
        }
    }
}

/// A row of a listing: fields that are computed when a template asks for them.
struct TemplateRow {
    /// As Go's messages name the type.
    let typeName: String
    let fields: [(name: String, value: () -> JSONValue)]
    /// Answers `.Label "name"`.
    var label: ((String) -> String)?
    /// Whether `json .` sorts the fields by name, as it does for the rows of a listing.
    var sortsFields = true

    func field(_ name: String) -> JSONValue? { fields.first { $0.name == name }?.value() }

    /// All fields by name, as Docker's formatter marshals its rows.
    var json: JSONValue {
        .object(JSONObject((sortsFields ? fields.sorted { $0.name < $1.name } : fields).map { ($0.name, $0.value()) }))
    }
}

/// A parsed template, ready to be carried out for any number of values.
struct Template {
    let nodes: [TemplateNode]
    fileprivate let lexer: TemplateLexer
    /// Whether a missing member of a map is an error (`inspect`) or `<no value>`.
    var missingIsError = false
    /// Computes the header of a table: the formatting functions then pass their argument through.
    var isHeader = false

    /// - Throws: `TemplateError`.
    init(_ source: String, name: String = "", missingIsError: Bool = false) throws {
        self.missingIsError = missingIsError
        lexer = TemplateLexer(name: name, source: source)
        nodes = try TemplateParser.parse(lexer)
    }

    /// - Throws: `TemplateError` with the place and the reason.
    func render(_ value: TemplateValue) throws -> String {
        var evaluator = TemplateEvaluator(template: self, root: value)
        return try evaluator.run()
    }

    func error(_ reason: String, at operand: TemplateOperand) -> TemplateError {
        let place = "\(lexer.name):\(lexer.line(at: operand.offset)):\(lexer.column(at: operand.offset))"
        return TemplateError(message: "template: \(place): executing \(GoText.quoted(lexer.name)) at <\(operand.description)>: \(reason)")
    }
}
