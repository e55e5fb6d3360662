import DockerAPI

/// Reads the language of Go's text/template as far as Docker's documentation uses it: fields, variables, pipelines, `if`, `range`, `with`, `break`, `continue`.
/// `define`, `template` and `block` are refused.
struct TemplateParser {
    private let lexer: TemplateLexer
    private var pieces: ArraySlice<TemplateLexer.Piece>
    private var line = 1

    private init(lexer: TemplateLexer) throws {
        self.lexer = lexer
        pieces = try lexer.pieces()[...]
    }

    static func parse(_ lexer: TemplateLexer) throws -> [TemplateNode] {
        var parser = try TemplateParser(lexer: lexer)
        let (nodes, end) = try parser.nodes(inLoop: false)
        if let end { throw parser.error("unexpected {{\(end.word)}}") }
        return nodes
    }

    private struct End {
        let word: String
        /// What stands behind `else`.
        let rest: ArraySlice<(token: TemplateToken, offset: Int)>
    }

    /// Nodes up to `end`, `else` or the end of the template.
    private mutating func nodes(inLoop: Bool) throws -> ([TemplateNode], End?) {
        var result: [TemplateNode] = []
        while let piece = pieces.popFirst() {
            switch piece {
            case .text(let text): result.append(.text(text))
            case .action(let all, let line):
                self.line = line
                var tokens = all[...]
                skipBlanks(&tokens)
                guard let first = tokens.first else { throw error("missing value for command") }
                if case .identifier(let word) = first.token {
                    switch word {
                    case "end", "else":
                        tokens.removeFirst()
                        skipBlanks(&tokens)
                        return (result, End(word: word, rest: tokens))
                    case "if", "with", "range":
                        tokens.removeFirst()
                        result.append(try block(word, tokens, inLoop: inLoop))
                        continue
                    case "break", "continue":
                        guard inLoop else { throw error("{{\(word)}} outside {{range}}") }
                        result.append(word == "break" ? .breakLoop : .continueLoop)
                        continue
                    case "define", "template", "block": throw error("{{\(word)}} is not supported here")
                    default: break
                    }
                }
                result.append(.output(try pipeline(&tokens, context: "command")))
                try finish(tokens)
            }
        }
        return (result, nil)
    }

    private mutating func block(_ word: String, _ rest: ArraySlice<(token: TemplateToken, offset: Int)>, inLoop: Bool) throws -> TemplateNode {
        var tokens = rest
        let condition = try pipeline(&tokens, context: word)
        try finish(tokens)
        let inner = inLoop || word == "range"
        let (body, end) = try nodes(inLoop: inner)
        guard let end else { throw error("unexpected EOF") }
        var otherwise: [TemplateNode] = []
        if end.word == "else" {
            if case .identifier(let next) = end.rest.first?.token, next == "if" || next == "with" {
                otherwise = [try block(next, end.rest.dropFirst(), inLoop: inLoop)]
            } else {
                let (alternative, last) = try nodes(inLoop: inLoop)
                guard let last else { throw error("unexpected EOF") }
                guard last.word == "end" else { throw error("expected end; found {{else}}") }
                otherwise = alternative
            }
        }
        switch word {
        case "if": return .condition(condition, then: body, otherwise: otherwise)
        case "with": return .with(condition, then: body, otherwise: otherwise)
        default: return .range(condition, body: body, otherwise: otherwise)
        }
    }

    /// `$a, $b := command | command`, up to a closing parenthesis or the end.
    private func pipeline(_ tokens: inout ArraySlice<(token: TemplateToken, offset: Int)>, context: String) throws -> TemplatePipeline {
        var result = TemplatePipeline(commands: [])
        skipBlanks(&tokens)
        if case .variable = tokens.first?.token {
            var probe = tokens
            var names: [String] = []
            search: while case .variable(let name) = probe.first?.token {
                names.append(name)
                probe.removeFirst()
                skipBlanks(&probe)
                switch probe.first?.token {
                case .comma:
                    probe.removeFirst()
                    skipBlanks(&probe)
                case .declare, .assign:
                    result.variables = names
                    result.declares = probe.first?.token == .declare
                    probe.removeFirst()
                    tokens = probe
                    break search
                default: break search
                }
            }
        }
        while true {
            let command = try operands(&tokens)
            guard !command.isEmpty else { throw error("missing value for \(context)") }
            result.commands.append(command)
            guard tokens.first?.token == .pipe else { return result }
            tokens.removeFirst()
        }
    }

    private func operands(_ tokens: inout ArraySlice<(token: TemplateToken, offset: Int)>) throws -> [TemplateOperand] {
        var result: [TemplateOperand] = []
        while true {
            skipBlanks(&tokens)
            guard let next = tokens.first, next.token != .pipe, next.token != .close else { return result }
            tokens.removeFirst()
            var offset = next.offset
            if case .field = tokens.first?.token, let link = tokens.first { offset = link.offset }
            let kind: TemplateOperand.Kind
            switch next.token {
            case .dot: kind = .dot
            case .field(let name): kind = .fields([name] + chain(&tokens))
            case .variable(let name): kind = .variable(name, chain(&tokens))
            case .text(let value): kind = .text(value)
            case .number(let text):
                guard let number = Flag.parseInteger(text).map(String.init) ?? (Double(text) == nil ? nil : text) else {
                    throw error("bad number syntax: \(GoText.quoted(text))")
                }
                kind = .number(number)
            case .character(let scalar): kind = .number(String(scalar.value))
            case .open:
                let nested = try pipeline(&tokens, context: "parenthesized pipeline")
                guard tokens.first?.token == .close else { throw error("unclosed left paren") }
                tokens.removeFirst()
                kind = .nested(nested, chain(&tokens))
            case .identifier("true"): kind = .bool(true)
            case .identifier("false"): kind = .bool(false)
            case .identifier("nil"): kind = .null
            case .identifier(let name):
                guard TemplateFunctions.names.contains(name) else { throw error("function \(GoText.quoted(name)) not defined") }
                kind = .function(name)
            default: throw error("unexpected token in operand")
            }
            result.append(TemplateOperand(kind: kind, offset: offset))
        }
    }

    /// Fields that follow without a blank.
    private func chain(_ tokens: inout ArraySlice<(token: TemplateToken, offset: Int)>) -> [String] {
        var names: [String] = []
        while case .field(let name) = tokens.first?.token {
            names.append(name)
            tokens.removeFirst()
        }
        return names
    }

    private func skipBlanks(_ tokens: inout ArraySlice<(token: TemplateToken, offset: Int)>) {
        while tokens.first?.token == .blank { tokens.removeFirst() }
    }

    private func finish(_ tokens: ArraySlice<(token: TemplateToken, offset: Int)>) throws {
        if tokens.first?.token == .close { throw error("unexpected right paren") }
    }

    private func error(_ reason: String) -> TemplateError { TemplateError(message: "template: \(lexer.name):\(line): \(reason)") }
}
