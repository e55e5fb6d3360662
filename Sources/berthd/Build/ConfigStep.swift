import DockerAPI
import LinuxSystem

/// Instructions that change an image's configuration and no files.
struct ConfigStep {
    var config: ContainerConfig
    /// CMD was given in this stage: ENTRYPOINT takes away only what came from the base.
    var isCommandSet = false
    var author = ""
    let expansion: VariableExpansion

    static let defaultShell = ["/bin/sh", "-c"]

    /// - Returns: what the history calls it, and anything to tell the user; nil for an instruction of another kind.
    /// - Throws: `.invalidArgument` in Docker's words.
    mutating func apply(_ instruction: Instruction) throws(DaemonError) -> (comment: String, note: String?)? {
        switch instruction {
        case .command(let line):
            config.Cmd = commandLine(line)
            if !line.words.isEmpty { isCommandSet = true }
            return ("CMD \(GoText.quoted(config.Cmd ?? []))", nil)
        case .entrypoint(let line):
            config.Entrypoint = line.words.isEmpty ? nil : commandLine(line)
            if !isCommandSet { config.Cmd = nil }
            return ("ENTRYPOINT \(GoText.quoted(config.Entrypoint ?? []))", nil)
        case .environment(let pairs):
            for pair in pairs { config.Env = Environment.replacing(config.Env ?? [], with: [pair.text]) }
            return ("ENV " + pairs.map(\.text).joined(separator: " "), nil)
        case .label(let pairs, _):
            for pair in pairs { config.Labels = (config.Labels ?? [:]).merging([pair.name: pair.value]) { $1 } }
            return ("LABEL " + pairs.map(\.text).joined(separator: " "), nil)
        case .expose(let ports): return (try expose(ports), nil)
        case .healthcheck(let health):
            let old = config.Healthcheck?.Test ?? []
            config.Healthcheck = health
            return ("HEALTHCHECK \(Self.text(health))", old.isEmpty || old[0] == "NONE" ? nil : "Note: overriding previous HEALTHCHECK: \(GoText.plain(old))\n")
        case .maintainer(let name):
            author = name
            return ("MAINTAINER \(name)", nil)
        case .onBuild(let trigger):
            config.OnBuild = (config.OnBuild ?? []) + [trigger]
            return ("ONBUILD \(trigger)", nil)
        case .shell(let words):
            config.Shell = words
            return ("SHELL \(GoText.plain(words))", nil)
        case .stopSignal(let signal):
            _ = try SignalNumber.parse(signal)
            config.StopSignal = signal
            return ("STOPSIGNAL \(signal)", nil)
        case .user(let user):
            config.User = user
            return ("USER \(user)", nil)
        case .volume(let paths):
            guard !paths.contains("") else { throw .invalid("VOLUME specified can not be an empty string") }
            for path in paths { config.Volumes = (config.Volumes ?? [:]).merging([path: EmptyObject()]) { $1 } }
            return ("VOLUME \(GoText.plain(paths))", nil)
        case .workingDirectory(let path):
            guard !path.isEmpty else { throw .invalid("cannot normalize nothing") }
            config.WorkingDir = RootedPath.cleaned(path.isAbsolutePath ? path : "\(config.WorkingDir ?? "")/\(path)")
            return ("WORKDIR \(config.WorkingDir ?? "")", nil)
        case .add, .argument, .copy, .needsBuildKit, .run: return nil
        }
    }

    /// With the shell in front where the instruction is not in the JSON form.
    func commandLine(_ line: Instruction.CommandLine) -> [String] { line.usesShell ? shell + line.words : line.words }

    var shell: [String] { config.Shell.flatMap { $0.isEmpty ? nil : $0 } ?? Self.defaultShell }

    /// A variable may stand for several ports.
    private mutating func expose(_ words: [String]) throws(DaemonError) -> String {
        var ports: [String] = []
        for word in words { ports += try expansion.words(word) }
        for port in ports {
            for exposed in try Self.ports(port) { config.ExposedPorts = (config.ExposedPorts ?? [:]).merging([exposed: EmptyObject()]) { $1 } }
        }
        return "EXPOSE " + ports.joined(separator: " ")
    }

    /// `80`, `80/udp`, `8000-8010/tcp`; what stands before a colon is of the host and of no account.
    private static func ports(_ text: String) throws(DaemonError) -> [String] {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let proto = parts.count > 1 ? parts[1].lowercased() : "tcp"
        guard ["tcp", "udp", "sctp"].contains(proto) else { throw .invalid("invalid proto: \(proto)") }
        let container = parts[0].split(separator: ":", omittingEmptySubsequences: false).last ?? ""
        guard !container.isEmpty else { throw .invalid("no port specified: \(text)<empty>") }
        guard let range = PortRange(container), range.first > 0 else { throw .invalid("invalid containerPort: \(container)") }
        return (0..<Int(range.count)).map { "\(Int(range.first) + $0)/\(proto)" }
    }

    /// As Go prints the structure with `%q`: durations as texts, the number of attempts as a character.
    private static func text(_ health: HealthConfig) -> String {
        let intervals = [health.Interval, health.Timeout, health.StartPeriod, health.StartInterval].map { "\"\(GoDuration.text(.nanoseconds($0 ?? 0)))\"" }
        let retries = health.Retries ?? 0
        let digits = String(retries, radix: 16)
        let shown = (32..<127).contains(retries) ? "'\(Character(Unicode.Scalar(UInt8(retries))))'" : retries < 256 ? "'\\x\(digits.count < 2 ? "0" : "")\(digits)'" : "'\\u\(String(repeating: "0", count: max(0, 4 - digits.count)))\(digits)'"
        return "&{\(GoText.quoted(health.Test ?? [])) \(intervals.joined(separator: " ")) \(shown)}"
    }
}
