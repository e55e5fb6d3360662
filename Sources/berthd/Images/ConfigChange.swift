import DockerAPI
import FoundationEssentials
import OCISpec

/// One Dockerfile instruction of `--change`: CMD ENTRYPOINT ENV EXPOSE LABEL ONBUILD USER VOLUME WORKDIR STOPSIGNAL.
enum ConfigChange {
    /// - Throws: `.invalidArgument` naming the instruction.
    static func apply(_ text: String, to config: inout ImageConfig.Execution) throws {
        let line = text.trimmed()
        let keyword = line.prefix { !$0.isWhitespace }.uppercased()
        let rest = line.dropFirst(keyword.count).trimmed()
        guard !rest.isEmpty || keyword == "CMD" || keyword == "ENTRYPOINT" else { throw DaemonError.invalid("\(keyword) requires at least one argument") }
        switch keyword {
        case "CMD": config.cmd = try command(rest)
        case "ENTRYPOINT": config.entrypoint = try command(rest)
        case "ENV":
            for (name, value) in try pairs(rest, keyword) {
                config.env.removeAll { $0.hasPrefix(name + "=") }
                config.env.append("\(name)=\(value)")
            }
        case "LABEL": for (name, value) in try pairs(rest, keyword) { config.labels[name] = value }
        case "EXPOSE":
            for word in rest.split(whereSeparator: \.isWhitespace) {
                guard let port = ContainerPort(String(word)) else { throw DaemonError.invalid("invalid containerPort: \(word)") }
                config.exposedPorts.insert(port.description)
            }
        case "VOLUME":
            let paths = rest.hasPrefix("[") ? try list(rest) : words(rest)
            config.volumes.formUnion(paths)
        case "USER": config.user = unquoted(rest)
        case "WORKDIR":
            let path = unquoted(rest)
            config.workingDir = path.hasPrefix("/") ? path : (config.workingDir ?? "") + "/" + path
        case "STOPSIGNAL": config.stopSignal = unquoted(rest)
        case "ONBUILD": config.onBuild.append(rest)
        default: throw DaemonError.invalid("\(keyword) is not a valid change command")
        }
    }

    /// The JSON form is the arguments themselves, anything else goes to the shell.
    private static func command(_ text: String) throws -> [String] {
        if text.hasPrefix("["), let list = try? list(text) { return list }
        return text.isEmpty ? [] : ["/bin/sh", "-c", text]
    }

    private static func list(_ text: String) throws -> [String] {
        guard let list = try? JSONDecoder().decode([String].self, from: Data(text.utf8)) else { throw DaemonError.invalid("not a list of strings: \(text)") }
        return list
    }

    /// `NAME=value NAME2="a b"`, or of old `NAME the rest`.
    private static func pairs(_ text: String, _ keyword: String) throws -> [(String, String)] {
        let parts = words(text)
        guard let first = parts.first else { throw DaemonError.invalid("\(keyword) must have two arguments") }
        guard first.contains("=") else {
            let value = text.dropFirst(first.count).trimmed()
            guard !value.isEmpty else { throw DaemonError.invalid("\(keyword) must have two arguments") }
            return [(first, unquoted(value))]
        }
        return try parts.map { part in
            guard let equals = part.firstIndex(of: "="), equals > part.startIndex else { throw DaemonError.invalid("Syntax error - can't find = in \"\(part)\". Must be of the form: name=value") }
            return (String(part[..<equals]), String(part[part.index(after: equals)...]))
        }
    }

    /// Words between white space; quotes and backslashes keep it, and are taken away.
    private static func words(_ text: String) -> [String] {
        var result: [String] = []
        var word = ""
        var hasWord = false
        var quote: Character?
        var escaped = false
        for character in text {
            if escaped {
                word.append(character)
                escaped = false
            } else if character == "\\" && quote != "'" {
                escaped = true
                hasWord = true
            } else if character == quote {
                quote = nil
            } else if quote == nil && (character == "\"" || character == "'") {
                quote = character
                hasWord = true
            } else if quote == nil && character.isWhitespace {
                if hasWord { result.append(word) }
                (word, hasWord) = ("", false)
            } else {
                word.append(character)
                hasWord = true
            }
        }
        if hasWord { result.append(word) }
        return result
    }

    private static func unquoted(_ text: String) -> String { words(text).joined(separator: " ") }
}
