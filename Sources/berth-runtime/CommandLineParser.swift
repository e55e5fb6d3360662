import BerthDefaults
import LinuxSystem

/// One option of a command, by runc's name.
struct OptionSpec {
    enum Kind { case flag, value, list }

    let name: String
    let short: Character?
    let kind: Kind
    /// A line of the command's help; nil for options that are only there for older callers.
    let about: String?

    init(_ name: String, _ short: Character? = nil, _ kind: Kind, _ about: String?) {
        (self.name, self.short, self.kind, self.about) = (name, short, kind, about)
    }
}

/// What the parser found: options by their long name, and what is left.
struct ParsedOptions {
    /// Side by side, and not in pairs: see `ConfigValidator` on arrays of a kind of their own.
    private var names: [String] = []
    private var values: [String] = []
    var arguments: [String] = []

    fileprivate mutating func add(_ name: String, _ value: String) {
        names.append(name)
        values.append(value)
    }

    /// The last value given.
    subscript(_ name: String) -> String? { names.lastIndex(of: name).map { values[$0] } }
    func list(_ name: String) -> [String] { names.indices.filter { names[$0] == name }.map { values[$0] } }
    func has(_ name: String) -> Bool { self[name] == "true" }

    func integer(_ name: String) throws(RuntimeError) -> Int? {
        guard let text = self[name] else { return nil }
        guard let number = Int(text) else { throw RuntimeError(.invalidArgument, "invalid value \"\(text)\" for flag -\(name): not a number") }
        return number
    }
}

/// runc's command line by hand: start-up time is the feature. Long options take one or two dashes and "=value" or the next argument.
enum CommandLineParser {
    /// Parses options and arguments. With `stopAfter`, what follows that many arguments is not looked at, as for the command of `exec`.
    static func parse(_ words: ArraySlice<String>, _ specs: [OptionSpec], stopAfter: Int? = nil) throws(RuntimeError) -> ParsedOptions {
        var parsed = ParsedOptions()
        var rest = words
        while let word = rest.first {
            if let stopAfter, parsed.arguments.count >= stopAfter { break }
            rest = rest.dropFirst()
            if word == "--" { break }
            guard word.utf8.first == UInt8(ascii: "-"), word.utf8.count > 1 else {
                parsed.arguments.append(word)
                continue
            }
            try option(word, &rest, specs, &parsed)
        }
        parsed.arguments += rest
        return parsed
    }

    private static func option(_ word: String, _ rest: inout ArraySlice<String>, _ specs: [OptionSpec], _ parsed: inout ParsedOptions) throws(RuntimeError) {
        let parts = Substring(word.utf8.drop { $0 == UInt8(ascii: "-") }).fields(by: "=", limit: 2, keepsEmpty: true)
        let name = parts[0], inline = parts.count > 1 ? String(parts[1]) : nil
        guard let spec = specs.first(where: { $0.name == name || (name.utf8.count == 1 && $0.short == name.first) }) else {
            if try flagCluster(word, specs, &parsed) { return }
            throw RuntimeError(.invalidArgument, "flag provided but not defined: -\(name)")
        }
        switch spec.kind {
        case .flag:
            guard let value = boolean(inline ?? "true") else {
                throw RuntimeError(.invalidArgument, "invalid boolean value \"\(inline ?? "")\" for flag -\(name)")
            }
            parsed.add(spec.name, value ? "true" : "false")
        case .value, .list:
            if let inline { return parsed.add(spec.name, inline) }
            guard let value = rest.popFirst() else { throw RuntimeError(.invalidArgument, "flag needs an argument: -\(name)") }
            parsed.add(spec.name, value)
        }
    }

    /// "-dt": several one-letter flags in a word.
    private static func flagCluster(_ word: String, _ specs: [OptionSpec], _ parsed: inout ParsedOptions) throws(RuntimeError) -> Bool {
        guard !word.hasPrefix("--") else { return false }
        var found: [String] = []
        for letter in word.dropFirst() {
            guard let spec = specs.first(where: { $0.short == letter && $0.kind == .flag }) else { return false }
            found.append(spec.name)
        }
        for name in found { parsed.add(name, "true") }
        return true
    }

    private static func boolean(_ text: String) -> Bool? {
        switch text {
        case "1", "t", "T", "true", "TRUE", "True": true
        case "0", "f", "F", "false", "FALSE", "False": false
        default: nil
        }
    }
}

/// The options before the command.
struct GlobalOptions {
    /// Where the state of containers is kept, absolute.
    let root: String
    let diagnostics: Diagnostics
    let systemdCgroup: Bool
    /// Path of CRIU, where it shall not be looked for.
    let criu: String?

    static var specs: [OptionSpec] {
        [
            OptionSpec("debug", nil, .flag, "write debug lines to the log as well"),
            OptionSpec("log", nil, .value, "file for errors and warnings, besides standard error"),
            OptionSpec("log-format", nil, .value, "form of that file's lines: text (default) or json"),
            OptionSpec("root", nil, .value, "directory for the state of containers; should be on a tmpfs"),
            OptionSpec("criu", nil, .value, "path of CRIU; default: in $PATH"),
            OptionSpec("systemd-cgroup", nil, .flag, "have systemd make the cgroup; cgroupsPath is SLICE:PREFIX:NAME then"),
            OptionSpec("rootless", nil, .value, "true, false or auto; accepted, the caller's rights are found out"),
            help, OptionSpec("version", "v", .flag, "print the version"),
        ]
    }

    /// Understood by every command.
    static let help = OptionSpec("help", "h", .flag, "show this help")
}
