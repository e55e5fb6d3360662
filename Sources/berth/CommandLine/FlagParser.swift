import DockerAPI

/// The flags and arguments of one command line, after parsing.
struct ParsedFlags {
    fileprivate(set) var values: [String: [String]] = [:]
    fileprivate(set) var arguments: [String] = []
    /// `--help` or `-h` was given.
    fileprivate(set) var wantsHelp = false
    /// The deprecated `-h` was used for it.
    fileprivate(set) var usedShortHelp = false
    fileprivate var defaults: [String: String] = [:]

    /// Whether the flag stood on the command line, even with its default value.
    func changed(_ name: String) -> Bool { values[name] != nil }
    func string(_ name: String) -> String { values[name]?.last ?? defaults[name] ?? "" }
    func bool(_ name: String) -> Bool { string(name) == "true" }
    func int(_ name: String) -> Int64 { Int64(string(name)) ?? 0 }
    func list(_ name: String) -> [String] { values[name] ?? [] }
}

/// Reads a command line the way pflag does, which is what Docker's users are used to: combined short flags, `-eVALUE`, `-e=VALUE`, `--flag=value`, `--`.
struct FlagParser {
    let flags: [Flag]
    /// Whether flags may follow the first argument. `run`, `create` and `exec` stop there, since what follows belongs to the container.
    var interspersed = true

    /// - Throws: `CommandFailure` with status 125 and only the first line; the caller adds the usage.
    func parse(_ line: ArraySlice<String>) throws -> ParsedFlags {
        var result = ParsedFlags()
        for flag in flags { result.defaults[flag.name] = flag.defaultValue }
        var rest = line
        while let word = rest.popFirst() {
            if word == "--" {
                result.arguments += rest
                break
            } else if word.hasPrefix("--") {
                try parseLong(word, &rest, &result)
            } else if word.hasPrefix("-"), word.utf8.count > 1 {
                try parseShort(word, &rest, &result)
            } else {
                result.arguments.append(word)
                if !interspersed {
                    result.arguments += rest
                    break
                }
            }
            if result.wantsHelp { break }
        }
        return result
    }

    private func parseLong(_ word: String, _ rest: inout ArraySlice<String>, _ result: inout ParsedFlags) throws {
        let body = word.dropFirst(2)
        guard let first = body.first, first != "-", first != "=" else { throw CommandFailure("bad flag syntax: \(word)", status: 125) }
        let parts = body.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        guard let flag = flags.first(where: { $0.name == name }) else {
            if name == "help" {
                result.wantsHelp = true
                return
            }
            throw CommandFailure("unknown flag: --\(name)", status: 125)
        }
        if parts.count == 2 {
            try store(String(parts[1]), flag, &result)
        } else if !flag.takesValue {
            try store("true", flag, &result)
        } else if let value = rest.popFirst() {
            try store(value, flag, &result)
        } else {
            throw CommandFailure("flag needs an argument: --\(name)", status: 125)
        }
    }

    private func parseShort(_ word: String, _ rest: inout ArraySlice<String>, _ result: inout ParsedFlags) throws {
        var letters = word.dropFirst()
        while let letter = letters.popFirst() {
            guard let flag = flags.first(where: { $0.short == letter }) else {
                if letter == "h" {
                    result.wantsHelp = true
                    result.usedShortHelp = true
                    return
                }
                throw CommandFailure("unknown shorthand flag: '\(letter)' in -\(letter)\(letters)", status: 125)
            }
            if letters.first == "=", letters.count > 0 {
                try store(String(letters.dropFirst()), flag, &result)
                return
            }
            if !flag.takesValue {
                try store("true", flag, &result)
            } else if !letters.isEmpty {
                try store(String(letters), flag, &result)
                return
            } else if let value = rest.popFirst() {
                try store(value, flag, &result)
            } else {
                throw CommandFailure("flag needs an argument: '\(letter)' in -\(letter)", status: 125)
            }
        }
    }

    private func store(_ value: String, _ flag: Flag, _ result: inout ParsedFlags) throws {
        let stored: String
        do { stored = try flag.normalise(value) } catch let error as InvalidValue {
            throw CommandFailure("invalid argument \(GoText.quoted(value)) for \(flag.quotedNames) flag: \(error.reason)", status: 125)
        }
        if flag.name == "help" {
            result.wantsHelp = stored == "true"
            return
        }
        switch flag.kind {
        case .bool, .string, .integer: result.values[flag.name] = [stored]
        case .list: result.values[flag.name, default: []].append(stored)
        case .commaList:
            result.values[flag.name, default: []] += stored.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        }
    }
}
