import DockerAPI

/// Reads the arguments of one instruction.
struct InstructionReader {
    enum Parsed: Equatable {
        case stage(StagePlan)
        case step(Instruction)
    }

    private let line: Dockerfile.Line
    private let escape: Unicode.Scalar
    private var rest: String { line.arguments }

    init(_ line: Dockerfile.Line, escape: Unicode.Scalar) {
        self.line = line
        self.escape = escape
    }

    /// - Throws: `.invalidArgument` in Docker's words, without the number of the line.
    func read() throws(DaemonError) -> Parsed {
        let keyword = line.keyword.uppercased()
        if keyword == "FROM" { return .stage(try stage()) }
        return .step(try step(keyword))
    }

    /// What is wrong with the form of a line whatever it means: said before any instruction is read.
    static func checkForm(_ keyword: String, _ arguments: String, escape: Unicode.Scalar) throws(DaemonError) {
        switch keyword.uppercased() {
        case "ENV", "LABEL": if !arguments.isEmpty { _ = try DockerfileWords.pairs(arguments, keyword: keyword.uppercased(), escape: escape) }
        case "ADD", "COPY", "VOLUME", "CMD", "ENTRYPOINT", "RUN", "SHELL": _ = try DockerfileWords.list(arguments)
        case "HEALTHCHECK": _ = try DockerfileWords.list(arguments.drop { !$0.isWhitespace }.trimmed())
        case "ONBUILD":
            let inner = try InstructionWords(arguments, escape: escape)
            // It may hold another one by mistake, which is said later.
            if inner.keyword.uppercased() != "ONBUILD" { try checkForm(inner.keyword, inner.arguments, escape: escape) }
        default: break
        }
    }

    private static let keywords = [
        "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
    ]

    private func step(_ keyword: String) throws(DaemonError) -> Instruction {
        switch keyword {
        case "ADD": return try copy(keyword, ["chown", "chmod", "checksum"], ["link", "keep-git-dir", "unpack"])
        case "COPY": return try copy(keyword, ["chown", "chmod", "from"], ["link"])
        case "ARG": return .argument(try arguments())
        case "CMD": return .command(try commandLine())
        case "ENTRYPOINT": return .entrypoint(try commandLine())
        case "RUN":
            // Every one of them belongs to BuildKit.
            if let flag = try BuildFlags(line.flags, texts: ["mount", "network", "security", "device"], booleans: [], repeats: ["mount", "device"]).used.first { return .needsBuildKit(flag: flag) }
            return .run(try commandLine())
        case "ENV":
            try noFlags()
            return .environment(try pairs(keyword))
        case "LABEL":
            try noFlags()
            return .label(try pairs(keyword), expands: true)
        case "EXPOSE":
            try requireArgument(keyword)
            return .expose(DockerfileWords.words(rest).sorted())
        case "HEALTHCHECK": return .healthcheck(try HealthcheckReader(line).read())
        case "MAINTAINER": return .maintainer(try single(keyword))
        case "STOPSIGNAL": return .stopSignal(try single(keyword))
        case "USER": return .user(try single(keyword))
        case "WORKDIR": return .workingDirectory(try single(keyword))
        case "ONBUILD": return .onBuild(try trigger())
        case "SHELL":
            try noFlags()
            let list = try DockerfileWords.list(rest)
            if rest.isEmpty || list?.isEmpty == true { throw .invalid("SHELL requires at least one argument") }
            guard let list else { throw .invalid("SHELL requires the arguments to be in JSON form") }
            return .shell(list)
        case "VOLUME": return .volume(try volumes())
        default: throw .invalid("unknown instruction: \(line.keyword)" + Suggestion.text(for: line.keyword, among: Self.keywords))
        }
    }

    // MARK: Pieces

    private func noFlags() throws(DaemonError) { _ = try BuildFlags(line.flags, texts: [], booleans: []) }

    private func requireArgument(_ keyword: String) throws(DaemonError) {
        try noFlags()
        guard !rest.isEmpty else { throw .invalid("\(keyword) requires at least one argument") }
    }

    private func pairs(_ keyword: String) throws(DaemonError) -> [Instruction.Pair] {
        let pairs = try DockerfileWords.pairs(rest, keyword: keyword, escape: escape)
        if pairs.contains(where: { $0.name.isEmpty }) { throw .invalid("\(keyword) names can not be blank") }
        return pairs
    }

    private func single(_ keyword: String) throws(DaemonError) -> String {
        guard !rest.isEmpty else { throw .invalid("\(keyword) requires exactly one argument") }
        try noFlags()
        return rest
    }

    private func commandLine() throws(DaemonError) -> Instruction.CommandLine {
        if line.keyword.uppercased() != "RUN" { try noFlags() }
        if let list = try DockerfileWords.list(rest) { return .init(words: list, usesShell: false) }
        return .init(words: rest.isEmpty ? [] : [rest], usesShell: true)
    }

    private func stage() throws(DaemonError) -> StagePlan {
        let words = DockerfileWords.words(rest)
        var name = ""
        if words.count == 3, words[1].lowercased() == "as" {
            name = words[2].lowercased()
            let isName = name.first.map { ("a"..."z").contains($0) } ?? false
            guard isName, name.allSatisfy({ ("a"..."z").contains($0) || ("0"..."9").contains($0) || "-_.".contains($0) }) else {
                throw .invalid("invalid name for build stage: \(GoText.quoted(words[2])), name can't start with a number or contain symbols")
            }
        } else if words.count != 1 {
            throw .invalid("FROM requires either one or three arguments")
        }
        let flags = try BuildFlags(line.flags, texts: ["platform"], booleans: [])
        return StagePlan(base: words[0], name: name, platform: flags["platform"], text: line.text)
    }

    private func copy(_ keyword: String, _ texts: [String], _ booleans: [String]) throws(DaemonError) -> Instruction {
        var words = try DockerfileWords.listOrWords(rest)
        guard words.count >= 2, let destination = words.popLast() else {
            throw .invalid("\(keyword) requires at least two arguments, but only one was provided. Destination could not be determined")
        }
        let flags = try BuildFlags(line.flags, texts: texts, booleans: booleans)
        for flag in ["chmod", "checksum"] where !flags[flag].isEmpty { return .needsBuildKit(flag: flag) }
        for flag in booleans where flags[flag] == "true" { return .needsBuildKit(flag: flag) }
        let copy = Instruction.Copy(keyword: keyword, sources: words, destination: destination, from: flags["from"], chown: flags["chown"])
        return copy.isAdd ? .add(copy) : .copy(copy)
    }

    private func arguments() throws(DaemonError) -> [Instruction.Argument] {
        let words = DockerfileWords.split(rest, escape: escape)
        guard !words.isEmpty else { throw .invalid("ARG requires at least one argument") }
        var list: [Instruction.Argument] = []
        for word in words {
            guard let equals = word.firstIndex(of: "=") else {
                list.append(.init(name: word))
                continue
            }
            guard equals > word.startIndex else { throw .invalid("ARG names can not be blank") }
            list.append(.init(name: String(word[..<equals]), value: String(word[word.index(after: equals)...])))
        }
        return list
    }

    private func volumes() throws(DaemonError) -> [String] {
        let list = try DockerfileWords.listOrWords(rest).map { $0.trimmed() }
        guard !list.isEmpty else { throw .invalid("VOLUME requires at least one argument") }
        try noFlags()
        guard !list.contains("") else { throw .invalid("VOLUME specified can not be an empty string") }
        return list
    }

    private func trigger() throws(DaemonError) -> String {
        try requireArgument("ONBUILD")
        let inner = try InstructionWords(rest, escape: escape)
        switch inner.keyword.uppercased() {
        case "ONBUILD": throw .invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
        case "MAINTAINER", "FROM": throw .invalid("\(inner.keyword.uppercased()) isn't allowed as an ONBUILD trigger")
        default: break
        }
        return line.text.dropFirst(line.keyword.count).trimmed()
    }
}

/// HEALTHCHECK, whose command comes after a word of its own.
private struct HealthcheckReader {
    private let line: Dockerfile.Line
    private static let texts = ["interval", "timeout", "start-period", "start-interval", "retries"]

    init(_ line: Dockerfile.Line) { self.line = line }

    func read() throws(DaemonError) -> HealthConfig {
        let kind = String(line.arguments.prefix { !$0.isWhitespace }), command = line.arguments.dropFirst(kind.count).trimmed()
        guard !kind.isEmpty else { throw .invalid("HEALTHCHECK requires at least one argument") }
        var health = HealthConfig()
        if kind.uppercased() == "NONE" {
            guard command.isEmpty else { throw .invalid("HEALTHCHECK NONE takes no arguments") }
            health.Test = ["NONE"]
            return health
        }
        let flags = try BuildFlags(line.flags, texts: Self.texts, booleans: [])
        guard kind.uppercased() == "CMD" else { throw .invalid("Unknown type \(GoText.quoted(kind.uppercased())) in HEALTHCHECK (try CMD)") }
        let list = try DockerfileWords.list(command)
        guard list?.isEmpty == false || list == nil && !command.isEmpty else { throw .invalid("Missing command after HEALTHCHECK CMD") }
        health.Test = list.map { ["CMD"] + $0 } ?? ["CMD-SHELL", command]
        health.Interval = try interval(flags, "interval")
        health.Timeout = try interval(flags, "timeout")
        health.StartPeriod = try interval(flags, "start-period")
        health.StartInterval = try interval(flags, "start-interval")
        if !flags["retries"].isEmpty {
            guard let retries = Int32(flags["retries"]) else { throw .invalid("strconv.ParseInt: parsing \(GoText.quoted(flags["retries"])): invalid syntax") }
            guard retries >= 0 else { throw .invalid("--retries cannot be negative (\(retries))") }
            health.Retries = Int(retries)
        }
        return health
    }

    /// Nanoseconds.
    private func interval(_ flags: BuildFlags, _ name: String) throws(DaemonError) -> Int64? {
        let text = flags[name]
        if text.isEmpty { return nil }
        guard let value = GoDuration.nanoseconds(text) else { throw .invalid("time: invalid duration \(GoText.quoted(text))") }
        guard value == 0 || value >= 1_000_000 else { throw .invalid("Interval \(GoText.quoted(name)) cannot be less than 1ms") }
        return value == 0 ? nil : value
    }
}
