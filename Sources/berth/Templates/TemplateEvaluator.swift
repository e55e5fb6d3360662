import DockerAPI

/// Carries a template out for one value.
struct TemplateEvaluator {
    private let template: Template
    private let root: TemplateValue
    private var variables: [(name: String, value: TemplateValue)]
    private var output = ""
    private enum Flow { case normal, breaks, continues }

    init(template: Template, root: TemplateValue) {
        self.template = template
        self.root = root
        variables = [("$", root)]
    }

    mutating func run() throws -> String {
        _ = try execute(template.nodes, dot: root)
        return output
    }

    private mutating func execute(_ nodes: [TemplateNode], dot: TemplateValue) throws -> Flow {
        let depth = variables.count
        defer { variables.removeLast(variables.count - depth) }
        for node in nodes {
            switch node {
            case .text(let text): output += text
            case .output(let pipeline):
                let value = try evaluate(pipeline, dot)
                if pipeline.variables.isEmpty { output += value.printed }
            case .condition(let pipeline, let then, let otherwise), .with(let pipeline, let then, let otherwise):
                let mark = variables.count
                let value = try evaluate(pipeline, dot)
                var inner = dot
                if case .with = node { inner = value }
                let flow = try execute(value.isTrue ? then : otherwise, dot: value.isTrue ? inner : dot)
                variables.removeLast(variables.count - mark)
                if flow != .normal { return flow }
            case .range(let pipeline, let body, let otherwise): try loop(pipeline, body, otherwise, dot)
            case .breakLoop: return .breaks
            case .continueLoop: return .continues
            }
        }
        return .normal
    }

    private mutating func loop(_ pipeline: TemplatePipeline, _ body: [TemplateNode], _ otherwise: [TemplateNode], _ dot: TemplateValue) throws {
        var silent = pipeline
        silent.variables = []
        let value = try evaluate(silent, dot)
        let pairs: [(JSONValue, JSONValue)]
        switch value.json {
        case .array(let values): pairs = values.enumerated().map { (.int($0.offset), $0.element) }
        case .object(let object): pairs = object.members.sorted { $0.key < $1.key }.map { (.string($0.key), $0.value) }
        case .null: pairs = []
        case .number(let text) where Int(text) != nil: pairs = (0..<max(0, Int(text) ?? 0)).map { (.int($0), .int($0)) }
        default:
            guard let operand = pipeline.commands.last?.first else { return }
            throw template.error("range can't iterate over \(value.printed)", at: operand)
        }
        if pairs.isEmpty {
            _ = try execute(otherwise, dot: dot)
            return
        }
        for (key, element) in pairs {
            let mark = variables.count
            if let last = pipeline.variables.last { variables.append((last, .json(element))) }
            if pipeline.variables.count == 2 { variables.append((pipeline.variables[0], .json(key))) }
            let flow = try execute(body, dot: .json(element))
            variables.removeLast(variables.count - mark)
            if flow == .breaks { break }
        }
    }

    private mutating func evaluate(_ pipeline: TemplatePipeline, _ dot: TemplateValue) throws -> TemplateValue {
        var result: TemplateValue?
        for command in pipeline.commands { result = try call(command, dot, piped: result) }
        let value = result ?? .missing
        for name in pipeline.variables {
            if pipeline.declares {
                variables.append((name, value))
            } else if let index = variables.lastIndex(where: { $0.name == name }) {
                variables[index].value = value
            }
        }
        return value
    }

    private mutating func call(_ command: [TemplateOperand], _ dot: TemplateValue, piped: TemplateValue?) throws -> TemplateValue {
        let first = command[0]
        switch first.kind {
        case .function(let name):
            // `and` and `or` stop at the first operand that decides
            if name == "and" || name == "or" {
                var last = TemplateValue.missing
                for operand in command.dropFirst() {
                    last = try value(operand, dot)
                    if last.isTrue == (name == "or") { return last }
                }
                return piped ?? last
            }
            var arguments: [TemplateValue] = []
            for operand in command.dropFirst() { arguments.append(try value(operand, dot)) }
            if let piped { arguments.append(piped) }
            do {
                return try TemplateFunctions.call(name, arguments, isHeader: template.isHeader)
            } catch let error as TemplateError { throw template.error("error calling \(name): \(error.message)", at: first) }
        case .fields(let names) where command.count > 1 || piped != nil:
            var arguments: [TemplateValue] = []
            for operand in command.dropFirst() { arguments.append(try value(operand, dot)) }
            if let piped { arguments.append(piped) }
            return try method(names, arguments, dot, first)
        default:
            guard command.count == 1, piped == nil else { throw template.error("can't give argument to non-function \(first.description)", at: first) }
            return try value(first, dot)
        }
    }

    /// `.Label "name"`, the one method with an argument.
    private func method(_ names: [String], _ arguments: [TemplateValue], _ dot: TemplateValue, _ operand: TemplateOperand) throws -> TemplateValue {
        if names == ["Label"], arguments.count == 1, let key = arguments[0].json.stringValue {
            if case .row(let row) = dot, let label = row.label { return .json(.string(label(key))) }
        }
        throw template.error("\(names.last ?? "") is not a method but has arguments", at: operand)
    }

    private mutating func value(_ operand: TemplateOperand, _ dot: TemplateValue) throws -> TemplateValue {
        switch operand.kind {
        case .dot: return dot
        case .null: return .json(.null)
        case .bool(let flag): return .json(.bool(flag))
        case .number(let text): return .json(.number(text))
        case .text(let text): return .json(.string(text))
        case .function(let name):
            do { return try TemplateFunctions.call(name, [], isHeader: template.isHeader) } catch let error as TemplateError {
                throw template.error("error calling \(name): \(error.message)", at: operand)
            }
        case .fields(let names): return try lookup(names, in: dot, operand)
        case .variable(let name, let names):
            guard let found = variables.last(where: { $0.name == name }) else { throw template.error("undefined variable \(GoText.quoted(name))", at: operand) }
            return try lookup(names, in: found.value, operand)
        case .nested(let pipeline, let names): return try lookup(names, in: try evaluate(pipeline, dot), operand)
        }
    }

    private func lookup(_ names: [String], in start: TemplateValue, _ operand: TemplateOperand) throws -> TemplateValue {
        var value = start
        for name in names {
            switch value {
            case .missing: throw template.error("nil data; no entry for key \(GoText.quoted(name))", at: operand)
            case .row(let row):
                guard let field = row.field(name) else {
                    if row.typeName == TemplateRow.mapType { return .missing }
                    throw template.error("can't evaluate field \(name) in type \(row.typeName)", at: operand)
                }
                value = .json(field)
            case .json(.object(let object)):
                if let member = object[name] {
                    value = .json(member)
                } else if template.missingIsError {
                    throw template.error("map has no entry for key \(GoText.quoted(name))", at: operand)
                } else {
                    value = .missing
                }
            case .json(.null): throw template.error("nil pointer evaluating interface {}.\(name)", at: operand)
            case .json(let other): throw template.error("can't evaluate field \(name) in type \(TemplateFunctions.goType(other))", at: operand)
            }
        }
        return value
    }
}
