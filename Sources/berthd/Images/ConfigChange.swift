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
        // What an instruction sets is seen by the next one.
        let variables = DockerfileWords(environment: config.env)
        guard !rest.isEmpty || keyword == "CMD" || keyword == "ENTRYPOINT" else { throw DaemonError.invalid("\(keyword) requires at least one argument") }
        switch keyword {
        case "CMD": config.cmd = try command(rest)
        case "ENTRYPOINT": config.entrypoint = try command(rest)
        case "ENV":
            for (name, value) in try pairs(rest, keyword, variables) {
                let entry = "\(name)=\(value)"
                if let place = config.env.firstIndex(where: { $0.hasPrefix(name + "=") }) { config.env[place] = entry } else { config.env.append(entry) }
            }
        case "LABEL": for (name, value) in try pairs(rest, keyword, variables) { config.labels[name] = value }
        case "EXPOSE":
            for word in try variables.split(rest) {
                guard let port = ContainerPort(word) else { throw DaemonError.invalid("invalid containerPort: \(word)") }
                config.exposedPorts.insert(port.description)
            }
        case "VOLUME":
            let paths = rest.hasPrefix("[") ? try list(rest) : try variables.split(rest)
            config.volumes.formUnion(paths)
        case "USER": config.user = try variables.joined(rest)
        case "WORKDIR":
            let path = try variables.joined(rest)
            config.workingDir = path.hasPrefix("/") ? path : (config.workingDir ?? "") + "/" + path
        case "STOPSIGNAL": config.stopSignal = try variables.joined(rest)
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
    private static func pairs(_ text: String, _ keyword: String, _ variables: DockerfileWords) throws -> [(String, String)] {
        let parts = try variables.split(text)
        guard let first = parts.first else { throw DaemonError.invalid("\(keyword) must have two arguments") }
        guard first.contains("=") else {
            let value = text.drop { !$0.isWhitespace }.trimmed()
            guard !value.isEmpty else { throw DaemonError.invalid("\(keyword) must have two arguments") }
            return [(first, try variables.joined(value))]
        }
        return try parts.map { part in
            guard let equals = part.firstIndex(of: "="), equals > part.startIndex else { throw DaemonError.invalid("Syntax error - can't find = in \"\(part)\". Must be of the form: name=value") }
            return (String(part[..<equals]), String(part[part.index(after: equals)...]))
        }
    }
}
