import BerthDefaults
import DockerAPI
import LinuxSystem

/// The command line, with dockerd's names.
enum DaemonFlags {
    enum Invocation: Sendable, Equatable {
        case serve(DaemonConfig)
        /// Only check flags and daemon.json.
        case validate(DaemonConfig)
        case version, help
    }

    /// How a flag's value changes the configuration. Flags without a value have `takesValue` false and accept `=true` and `=false`.
    struct Flag: Sendable {
        let name: String
        let short: String?
        let takesValue: Bool
        let help: String
        /// Key in daemon.json when it is not the name.
        let key: String
        let apply: @Sendable (inout DaemonConfig, String) throws -> Void
        /// May be given many times; in daemon.json it is a list.
        let repeats: Bool

        init(_ name: String, short: String? = nil, takesValue: Bool = true, repeats: Bool = false, key: String? = nil, _ help: String, _ apply: @escaping @Sendable (inout DaemonConfig, String) throws -> Void) {
            self.name = name
            self.short = short
            self.takesValue = takesValue
            self.repeats = repeats
            self.key = key ?? name
            self.help = help
            self.apply = apply
        }
    }

    /// - Parameter arguments: without the program's own name.
    /// - Throws: `.invalidArgument` naming the flag and its value; an unknown flag is an error.
    static func parse(_ arguments: [String], readFile: (String) throws -> String) throws -> Invocation {
        var given: [(flag: Flag, value: String)] = []
        var rest = arguments[...]
        var validates = false
        while let argument = rest.popFirst() {
            if ["--help", "-h"].contains(argument) { return .help }
            if ["--version", "-v"].contains(argument) { return .version }
            if argument == "--validate" {
                validates = true
                continue
            }
            guard argument.hasPrefix("-"), argument != "-" else { throw DaemonError.invalid("unexpected argument \"\(argument)\"") }
            let (flag, inline) = try find(argument)
            if let inline {
                given.append((flag, inline))
            } else if flag.takesValue {
                guard let value = rest.popFirst() else { throw DaemonError.invalid("flag needs an argument: \(argument)") }
                given.append((flag, value))
            } else {
                given.append((flag, "true"))
            }
        }
        var config = DaemonConfig()
        let explicitFile = given.last { $0.flag.name == "config-file" }?.value
        let file = explicitFile ?? "/etc/berth/daemon.json"
        if explicitFile != nil || Files.exists(file) { try DaemonFile.apply(file, to: &config, given: Set(given.map(\.flag.name)), readFile: readFile) }
        for (flag, value) in given { try apply(flag, value, to: &config, source: "--\(flag.name)") }
        try settle(&config)
        return validates ? .validate(config) : .serve(config)
    }

    private static func find(_ argument: String) throws -> (Flag, String?) {
        let isLong = argument.hasPrefix("--")
        let body = argument.drop { $0 == "-" }
        let parts = body.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let inline = parts.count > 1 ? parts[1] : nil
        if isLong {
            if let flag = all.first(where: { $0.name == parts[0] }) { return (flag, inline) }
            throw DaemonError.invalid("unknown flag: --\(parts[0])")
        }
        // `-H unix:///x`, `-Hunix:///x`, `-H=unix:///x`
        let letter = String(body.prefix(1))
        guard let flag = all.first(where: { $0.short == letter }) else { throw DaemonError.invalid("unknown shorthand flag: '\(letter)' in \(argument)") }
        let remainder = body.dropFirst()
        return (flag, remainder.isEmpty ? nil : String(remainder.first == "=" ? remainder.dropFirst() : remainder))
    }

    static func apply(_ flag: Flag, _ value: String, to config: inout DaemonConfig, source: String) throws {
        do {
            try flag.apply(&config, value)
        } catch let error as DaemonError {
            throw DaemonError.invalid("invalid argument \"\(value)\" for \(source): \(error.message)")
        }
    }

    private static func settle(_ config: inout DaemonConfig) throws {
        // As dockerd reads it: what names no protocol is a TCP address.
        config.hosts = config.hosts.map { !$0.isEmpty && !$0.contains("://") && $0.contains(":") ? "tcp://" + $0 : $0 }
        if config.hosts.isEmpty { config.hosts = ["unix://\(config.execRoot)/berthd.sock"] }
        for path in [("--data-root", config.dataRoot), ("--exec-root", config.execRoot)] where !path.1.isAbsolutePath {
            throw DaemonError.invalid("\(path.0): \"\(path.1)\" is not an absolute path")
        }
        // Mounts are made on paths below them, and found again in the kernel's list by their names.
        (config.dataRoot, config.execRoot) = (Files.resolved(config.dataRoot), Files.resolved(config.execRoot))
        guard config.execRoot.utf8.count <= longestExecRoot else {
            throw DaemonError.invalid("--exec-root: \"\(config.execRoot)\" is longer than \(longestExecRoot) bytes: the paths of the sockets below it would be longer than a socket's may be")
        }
        if config.tlsVerify || config.tls {
            if config.tlsCert.isEmpty || config.tlsKey.isEmpty { throw DaemonError.invalid("--tls needs --tlscert and --tlskey") }
            if config.tlsVerify, config.tlsCACert.isEmpty { throw DaemonError.invalid("--tlsverify needs --tlscacert") }
        }
        guard config.defaultRuntime == "berth" || config.defaultRuntime == "runc" || config.runtimes[config.defaultRuntime] != nil || config.defaultRuntime.hasPrefix("io.containerd.") else {
            throw DaemonError.invalid("--default-runtime: specified default runtime '\(config.defaultRuntime)' does not exist")
        }
        do { try config.imagePolicy.check() } catch { throw DaemonError.invalid("--image-policy-low: \(error.message)") }
        try LogDriver.validate(.init(Type: config.logDriver, Config: config.logOptions))
    }

    /// `/io/` and 20 characters of an ID and `.sock` follow; SwiftNIO takes socket paths of 103 bytes.
    private static let longestExecRoot = 103 - 29

    static func boolean(_ text: String) throws -> Bool {
        switch text.lowercased() {
        case "true", "1", "t": return true
        case "false", "0", "f": return false
        default: throw DaemonError.invalid("parsing \"\(text)\": invalid syntax")
        }
    }

    static func number(_ text: String) throws -> Int {
        guard let value = Int(text) else { throw DaemonError.invalid("parsing \"\(text)\": invalid syntax") }
        return value
    }

    /// `NAME=VALUE`
    static func pair(_ text: String) throws -> (String, String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[0].isEmpty else { throw DaemonError.invalid("NAME=VALUE expected") }
        return (parts[0], parts[1])
    }
}
