/// The help of a command, laid out as Docker's: usage, summary, aliases, options in columns wrapped to the terminal.
struct HelpText {
    let command: Command
    let path: String
    /// Columns to wrap the options at; Docker takes 80 when there is no terminal.
    var width = 80

    func render() -> String {
        var text = "Usage:  \(command.usageLine(path: path))\n\n\(command.details ?? command.summary)\n"
        let program = path.split(separator: " ").first.map(String.init) ?? path
        if !command.aliases.isEmpty {
            text += "\nAliases:\n  " + command.aliases.map { "\(program) \($0)" }.joined(separator: ", ") + "\n"
        }
        let children = command.subcommands.filter { !$0.isHidden }
        if !children.isEmpty { text += "\n" + HelpText.commandList("Commands:", children) }
        let flags = command.flags.filter { !$0.isHidden }
        if !flags.isEmpty { text += "\nOptions:\n" + HelpText.options(flags, width: width) }
        if !children.isEmpty { text += "\nRun '\(path) COMMAND --help' for more information on a command.\n" }
        return text
    }

    static func commandList(_ title: String, _ commands: [Command]) -> String {
        let column = max(commands.map { $0.name.count }.max() ?? 0, 11)
        return title + "\n" + commands.map { "  \(padded($0.name, column)) \($0.summary)\n" }.joined()
    }

    /// The options sorted by name, their descriptions aligned and wrapped.
    static func options(_ flags: [Flag], width: Int) -> String {
        let sorted = flags.sorted { $0.name < $1.name }
        let heads = sorted.map { flag in
            "  " + (flag.short.map { "-\($0), " } ?? "    ") + "--\(flag.name)" + (flag.typeName.isEmpty ? "" : " \(flag.typeName)")
        }
        let column = (heads.map(\.count).max() ?? 0) + 3
        var text = ""
        for (head, flag) in zip(heads, sorted) {
            let lines = wrap(flag.usage + defaultNote(flag), width - 1 - column)
            text += padded(head, column) + lines.joined(separator: "\n" + String(repeating: " ", count: column)) + "\n"
        }
        return text
    }

    private static func defaultNote(_ flag: Flag) -> String {
        switch flag.kind {
        case .bool: flag.defaultValue == "true" ? " (default true)" : ""
        case .integer(let typeName, _): typeName == "int" && flag.defaultValue == "0" ? "" : " (default \(flag.defaultValue))"
        case .string: flag.defaultValue.isEmpty ? "" : flag.typeName == "duration" ? " (default \(flag.defaultValue))" : " (default \"\(flag.defaultValue)\")"
        case .list(let typeName): typeName == "map" ? " (default map[])" : ""
        case .commaList: ""
        }
    }

    /// Breaks at blanks where pflag breaks: five columns before the edge, unless the rest fits into those five. A line break in the text stays.
    static func wrap(_ text: String, _ width: Int) -> [String] {
        let slop = 5
        let limit = max(width, 24) - slop
        var lines: [String] = []
        var rest = Substring(text)
        while !rest.isEmpty {
            guard limit + slop <= rest.count else {
                lines += rest.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
                break
            }
            let head = rest.prefix(limit)
            guard let blank = head.lastIndex(where: { $0 == " " || $0 == "\n" }), blank > rest.startIndex else {
                lines += rest.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
                break
            }
            var cut = blank
            if let newline = head.lastIndex(of: "\n"), newline > rest.startIndex, newline < blank { cut = newline }
            lines += rest[..<cut].split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            rest = rest[rest.index(after: cut)...]
        }
        return lines
    }
}

/// `text` followed by blanks up to `width` characters.
func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
}
