import BerthDefaults
import LinuxSystem
import Registry

/// Flags and configuration file. Names are containerd's; a flag wins over the file.
struct SupervisorConfig: Sendable, Equatable {
    /// The socket of the gRPC API. The shims' event socket is beside it, with `.ttrpc` at the end.
    var address = Defaults.supervisorSocket
    /// What outlives a reboot: database, content, snapshots.
    var root = "\(Defaults.dataRoot)/supervisor"
    /// What does not: bundles and shim sockets below `shims/`, the lock.
    var state = Defaults.runRoot
    var logLevel = Log.Level.info
    var logFormat = Log.Format.text
    var pidFile: String?
    /// Where registries have their folders (`certs.d`); the first directory with one for a host counts.
    var registryDirectories = RegistryOptions.defaultDirectories

    /// The snapshotter for requests that name none, by any of its names; empty for the first that works here.
    var storageDriver = ""

    var limits = TransferLimits()
    /// Where metrics are served: HOST:PORT or unix:///PATH; empty for nowhere.
    var metricsAddress = ""
    /// The cgroup that the supervisor itself joins; empty for the one that it is in.
    var cgroup = ""
    /// Its `oom_score_adj`; nil leaves it as it is.
    var oomScore: Int?
    /// How often containers are looked after that ask to be restarted.
    var restartInterval = Duration.seconds(10)
    /// Keys of the file that belong to modules of containerd which are not here.
    var withoutEffect: [String] = []

    static let usage = """
        usage: berth-supervisor [flags]
               berth-supervisor fsck [--repair] [--quick] [flags]     check the database against the disk; --quick does not read blobs

          --address, -a PATH   socket of the API (default \(Defaults.supervisorSocket))
          --root PATH          data that stays (default \(Defaults.dataRoot)/supervisor)
          --state PATH         bundles and sockets of what runs (default \(Defaults.runRoot))
          --config, -c FILE    TOML file: root, state, storage_driver, [grpc] address, [debug] level and format, [registry] config_path, [metrics] address,
                               oom_score, [cgroup] path, [plugins."io.containerd.internal.v1.restart"] interval, [transfer] max_concurrent_downloads, max_concurrent_uploads, idle_seconds, layer_bytes, layer_entries
          --storage-driver, -s NAME
                               snapshotter for requests that name none: overlayfs, btrfs or native (default: the first that works)
          --max-concurrent-downloads, --max-concurrent-uploads N
                               blobs moved at a time (default 3 and 5)
          --log-level, -l L    trace, debug, info, warn, error or fatal (default info)
          --log-format F       text or json (default text)
          --registry-config-path DIRS
                               directories of registries' mirrors and certificates, with colons between
                               (default /etc/berth/certs.d:/etc/containerd/certs.d:/etc/docker/certs.d)
          --metrics-address A  serve Prometheus metrics on HOST:PORT or unix:///PATH (default: nowhere)
          --pidfile FILE       write the process's number there
          --version, -v        print the version
          --help, -h           print this

        """

    enum Invocation: Equatable {
        case serve(SupervisorConfig)
        case check(SupervisorConfig, repairs: Bool, quick: Bool)
        case version, help
    }

    /// - Parameters:
    ///   - arguments: without the program's own name.
    ///   - readFile: the text of a configuration file.
    static func parse(_ arguments: [String], readFile: (String) throws -> String) throws -> Invocation {
        var config = SupervisorConfig()
        var overrides: [(flag: String, value: String)] = []
        var file: String?
        var rest = arguments[...]
        var (checks, repairs, quick) = (false, false, false)
        if rest.first == "fsck" {
            checks = true
            rest = rest.dropFirst()
        }
        while let argument = rest.popFirst() {
            guard argument.hasPrefix("-") else { throw SupervisorError(.invalidArgument, "unexpected argument \"\(argument)\"") }
            let body = argument.drop { $0 == "-" }
            let parts = body.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            if ["help", "h"].contains(name) { return .help }
            if ["version", "v"].contains(name) { return .version }
            if checks, parts.count == 1, name == "repair" || name == "quick" {
                if name == "repair" { repairs = true } else { quick = true }
                continue
            }
            guard let long = flags[name] else { throw SupervisorError(.invalidArgument, "unknown flag \(argument)") }
            guard let value = parts.count == 2 ? String(parts[1]) : rest.popFirst() else {
                throw SupervisorError(.invalidArgument, "flag \(argument) needs a value")
            }
            if long == "config" { file = value } else { overrides.append((long, value)) }
        }
        if let file {
            do { try config.apply(file: try readFile(file)) } catch {
                throw SupervisorError(.invalidArgument, "configuration file \(file): \(error)")
            }
        }
        for (flag, value) in overrides { try config.set(flag, value, what: "--\(flag)") }
        return checks ? .check(config, repairs: repairs, quick: quick) : .serve(config)
    }

    private static let flags = [
        "address": "address", "a": "address", "root": "root", "state": "state", "config": "config", "c": "config", "log-level": "log-level",
        "l": "log-level", "log-format": "log-format", "pidfile": "pidfile", "registry-config-path": "registry-config-path", "metrics-address": "metrics-address",
        "storage-driver": "storage-driver", "s": "storage-driver", "max-concurrent-downloads": "max-concurrent-downloads", "max-concurrent-uploads": "max-concurrent-uploads",
    ]

    mutating func set(_ name: String, _ value: String, what: String) throws(SupervisorError) {
        switch name {
        case "address", "root", "state", "pidfile":
            guard value.isAbsolutePath else { throw SupervisorError(.invalidArgument, "\(what): \"\(value)\" is not an absolute path") }
            // A socket's path has 107 bytes, and the event socket's name is longer by ".ttrpc".
            if name == "address", value.utf8.count > 101 {
                throw SupervisorError(.invalidArgument, "\(what): the path has \(value.utf8.count) bytes, a socket's may have 101")
            }
            switch name {
            case "address": address = value
            case "root": root = value
            case "state": state = value
            default: pidFile = value
            }
        case "registry-config-path":
            let paths = value.split(separator: ":").map(String.init)
            for path in paths where !path.isAbsolutePath { throw SupervisorError(.invalidArgument, "\(what): \"\(path)\" is not an absolute path") }
            registryDirectories = paths
        case "metrics-address":
            guard value.isEmpty || value.hasPrefix("unix:///") || MetricsServer.endpoint(value) != nil else {
                throw SupervisorError(.invalidArgument, "\(what): \"\(value)\" is neither HOST:PORT nor unix:///PATH")
            }
            metricsAddress = value
        case "cgroup": cgroup = value
        case "oom-score": oomScore = try Self.number(value, what, -1000...1000)
        case "restart-interval":
            guard let interval = Duration(goFormat: value), interval >= .milliseconds(100) else {
                throw SupervisorError(.invalidArgument, "\(what): \"\(value)\" is no duration of 100ms or more, such as 10s or 1m30s")
            }
            restartInterval = interval
        case "storage-driver":
            guard StorageDrivers.canonical(value) != nil else { throw SupervisorError(.invalidArgument, "\(what): \(StorageDrivers.explanation(value))") }
            storageDriver = value
        case "max-concurrent-downloads": limits.concurrentDownloads = try Self.number(value, what, 1...1000)
        case "max-concurrent-uploads": limits.concurrentUploads = try Self.number(value, what, 1...1000)
        case "idle-seconds": limits.idleSeconds = try Self.number(value, what, 1...86_400)
        case "layer-bytes": limits.layerBytes = Int64(try Self.number(value, what, 1...Int(Int64.max)))
        case "layer-entries": limits.layerEntries = try Self.number(value, what, 1...1_000_000_000)
        case "log-level":
            guard let level = Log.Level(value) else { throw SupervisorError(.invalidArgument, "\(what): unknown level \"\(value)\"") }
            logLevel = level
        default:
            guard let format = Log.Format(rawValue: value) else { throw SupervisorError(.invalidArgument, "\(what): unknown format \"\(value)\"") }
            logFormat = format
        }
    }

    private static func number(_ text: String, _ what: String, _ range: ClosedRange<Int>) throws(SupervisorError) -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw SupervisorError(.invalidArgument, "\(what): \"\(text)\" is not a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}

extension StringProtocol {
    /// Without white space at both ends.
    var trimmingSpaces: String {
        let start = drop { $0 == " " || $0 == "\t" || $0 == "\r" }
        return String(start.reversed().drop { $0 == " " || $0 == "\t" || $0 == "\r" }.reversed())
    }
}
