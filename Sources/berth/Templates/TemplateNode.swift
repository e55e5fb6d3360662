import DockerAPI

/// What a template consists of after parsing.
indirect enum TemplateNode {
    case text(String)
    case output(TemplatePipeline)
    case condition(TemplatePipeline, then: [TemplateNode], otherwise: [TemplateNode])
    case with(TemplatePipeline, then: [TemplateNode], otherwise: [TemplateNode])
    case range(TemplatePipeline, body: [TemplateNode], otherwise: [TemplateNode])
    case breakLoop
    case continueLoop
}

/// Commands joined by `|`, whose result may go to variables.
struct TemplatePipeline {
    var variables: [String] = []
    /// `:=` and not `=`.
    var declares = false
    var commands: [[TemplateOperand]]
}

/// One word of a command, with its place for error messages.
struct TemplateOperand {
    indirect enum Kind {
        case dot, null
        case bool(Bool)
        case number(String)
        case text(String)
        case function(String)
        /// `.A.B`
        case fields([String])
        /// `$x.A`
        case variable(String, [String])
        /// `(pipeline).A`
        case nested(TemplatePipeline, [String])
    }

    let kind: Kind
    /// Where Go's messages place it: for a chain of fields, at its second link.
    let offset: Int

    /// As it stood in the source, for error messages.
    var description: String {
        switch kind {
        case .dot: "."
        case .null: "nil"
        case .bool(let value): value ? "true" : "false"
        case .number(let text): text
        case .text(let value): GoText.quoted(value)
        case .function(let name): name
        case .fields(let names): "." + names.joined(separator: ".")
        case .variable(let name, let names): ([name] + names).joined(separator: ".")
        case .nested(_, let names): "(...)" + names.map { "." + $0 }.joined()
        }
    }
}
