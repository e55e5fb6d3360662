import FoundationEssentials
import LinuxSystem
import OCISpec

/// daemon.json: the flags' names as keys, lists where a flag repeats.
enum DaemonFile {
    private enum Value: Decodable {
        case text(String), list([Value]), object([String: Value])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let value = try? container.decode(Bool.self) {
                self = .text(value ? "true" : "false")
            } else if let value = try? container.decode(Int64.self) {
                self = .text(String(value))
            } else if let value = try? container.decode(String.self) {
                self = .text(value)
            } else if let value = try? container.decode([Value].self) {
                self = .list(value)
            } else {
                self = .object(try container.decode([String: Value].self))
            }
        }

        var text: String? { if case .text(let text) = self { text } else { nil } }
    }

    /// - Parameter given: flags of the command line; one that stands in both places is an error, as in dockerd.
    /// - Throws: `.invalidArgument` naming the file and the key.
    static func apply(_ path: String, to config: inout DaemonConfig, given: Set<String>, readFile: (String) throws -> String) throws {
        func failure(_ text: String) -> DaemonError { .invalid("unable to configure the daemon with file \(path): \(text)") }
        let content: String
        do { content = try readFile(path) } catch { throw failure("\(error)") }
        // An empty file says nothing, as for dockerd: `--config-file /dev/null` keeps the machine's own away.
        guard content.contains(where: { !$0.isWhitespace }) else { return }
        let values: [String: Value]
        do { values = try JSONDecoder().decode([String: Value].self, from: Data(content.utf8)) } catch { throw failure("not a JSON object: \(error)") }
        for (key, value) in values.sorted(by: { $0.key < $1.key }) {
            if key == "runtimes" {
                try runtimes(value, &config, failure)
                continue
            }
            guard let flag = DaemonFlags.all.first(where: { $0.key == key }) else {
                throw failure("the following directives don't match any configuration option: \(key)")
            }
            if given.contains(flag.name) {
                throw failure("the following directives are specified both as a flag and in the configuration file: \(flag.name)")
            }
            for text in try texts(value, flag, failure) { try DaemonFlags.apply(flag, text, to: &config, source: "\(key) in \(path)") }
        }
    }

    /// A value as the texts that the flag would have been given.
    private static func texts(_ value: Value, _ flag: DaemonFlags.Flag, _ failure: (String) -> DaemonError) throws -> [String] {
        switch value {
        case .text(let text): return [text]
        case .list(let list):
            guard flag.repeats else { throw failure("\(flag.key) is not a list") }
            return try list.map { item in
                switch item {
                case .text(let text): return text
                case .object(let fields): return fields.compactMap { key, value in value.text.map { "\(key.lowercased())=\($0)" } }.sorted().joined(separator: ",")
                case .list: throw failure("\(flag.key): a list in a list")
                }
            }
        case .object(let fields) where flag.key == "default-network-opts":
            // {"bridge": {"com.docker.network.driver.mtu": "1234"}}
            return try fields.sorted { $0.key < $1.key }.flatMap { driver, options in
                guard case .object(let options) = options else { throw failure("\(flag.key).\(driver): an object expected") }
                return try options.sorted { $0.key < $1.key }.map { name, value in
                    guard let text = value.text else { throw failure("\(flag.key).\(driver).\(name): a text expected") }
                    return "\(driver)=\(name)=\(text)"
                }
            }
        case .object(let fields):
            return try fields.sorted { $0.key < $1.key }.map { key, value in
                switch value {
                case .text(let text): return "\(key)=\(text)"
                case .object(let limit):
                    // default-ulimits: {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}}
                    guard let hard = limit["Hard"]?.text else { throw failure("\(flag.key).\(key): Soft and Hard expected") }
                    return "\(key)=\(limit["Soft"]?.text ?? hard):\(hard)"
                case .list: throw failure("\(flag.key).\(key): a list is not expected here")
                }
            }
        }
    }

    private static func runtimes(_ value: Value, _ config: inout DaemonConfig, _ failure: (String) -> DaemonError) throws {
        guard case .object(let table) = value else { throw failure("runtimes is not an object") }
        for (name, entry) in table {
            guard case .object(let fields) = entry else { throw failure("runtimes.\(name) is not an object") }
            var runtime = DaemonConfig.Runtime()
            for (key, value) in fields {
                switch (key, value) {
                case ("path", .text(let text)): runtime.path = text
                case ("runtimeType", .text(let text)): runtime.type = text
                case ("runtimeArgs", .list(let list)):
                    runtime.arguments = list.compactMap(\.text)
                    if !runtime.arguments.isEmpty { throw failure("runtimes.\(name).runtimeArgs is not supported yet") }
                default: throw failure("runtimes.\(name).\(key) is not supported")
                }
            }
            config.runtimes[name] = runtime
        }
    }
}
