import BerthDefaults
import Registry

/// The configuration file: containerd's keys and tables where it has them, in TOML.
extension SupervisorConfig {
    private static let keys = [
        "root": "root", "state": "state", "storage_driver": "storage-driver", "oom_score": "oom-score", "grpc.address": "address", "debug.level": "log-level", "debug.format": "log-format",
        "metrics.address": "metrics-address", "cgroup.path": "cgroup", "registry.config_path": "registry-config-path",
        "transfer.max_concurrent_downloads": "max-concurrent-downloads", "transfer.max_concurrent_uploads": "max-concurrent-uploads",
        "transfer.idle_seconds": "idle-seconds", "transfer.layer_bytes": "layer-bytes", "transfer.layer_entries": "layer-entries",
        "plugins.io.containerd.internal.v1.restart.interval": "restart-interval",
    ]

    /// What speaks to modules of containerd alone. A file of containerd's must not keep us from starting, and has no effect behind anybody's back: it is
    /// said in the log. Everything else that is not known is refused.
    private static let foreign: Set<String> = ["plugins", "disabled_plugins", "timeouts"]

    mutating func apply(file text: String) throws(SupervisorError) {
        let entries: [TOMLTable.Entry]
        do throws(StorageError) { entries = try TOMLReader.read(text).entries } catch { throw SupervisorError(.invalidArgument, error.message) }
        for entry in entries where entry.key != "version" { try apply(entry.key, entry.value) }
    }

    private mutating func apply(_ name: String, _ value: TOMLValue) throws(SupervisorError) {
        if let flag = Self.keys[name] {
            switch value {
            case .string(let text): return try set(flag, text, what: name)
            case .integer(let number): return try set(flag, "\(number)", what: name)
            default: throw SupervisorError(.invalidArgument, "\(name): the value is neither a string nor a number")
            }
        }
        let isForeign = Self.foreign.contains { name == $0 || name.hasPrefix("\($0).") }
        if case .table(let table) = value, !isForeign || Self.keys.keys.contains(where: { $0.hasPrefix("\(name).") }) {
            for field in table.entries { try apply("\(name).\(field.key)", field.value) }
        } else if isForeign {
            withoutEffect.append(name)
        } else {
            throw SupervisorError(.invalidArgument, "unknown key \(name)")
        }
    }
}

extension Duration {
    /// As Go writes durations: "1h2m3s", "1.5s", "100ms". nil for anything else, a sign included.
    init?(goFormat text: String) {
        let units: [(String, Double)] = [("ms", 0.001), ("us", 0.000001), ("ns", 0.000000001), ("h", 3600), ("m", 60), ("s", 1)]
        var rest = text[...]
        var seconds = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber || $0 == "." }
            guard let number = Double(digits), let unit = units.first(where: { rest.dropFirst(digits.count).hasPrefix($0.0) }) else { return nil }
            seconds += number * unit.1
            rest = rest.dropFirst(digits.count + unit.0.count)
        }
        guard seconds < 1e9 else { return nil }
        self = .milliseconds(Int64(seconds * 1000))
    }
}
