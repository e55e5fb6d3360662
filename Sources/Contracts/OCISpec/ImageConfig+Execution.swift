extension ImageConfig {
    /// The defaults of a container of this image: the object `config`.
    ///
    /// What stands here was written by strangers: callers check users, paths, ports and signals before they use them.
    package struct Execution: Sendable, Hashable {
        /// "user", "uid", "user:group", "uid:gid" ….
        package var user: String?
        /// "80/tcp".
        package var exposedPorts: Set<String>
        /// "NAME=value".
        package var env: [String]
        package var entrypoint: [String]
        package var cmd: [String]
        /// Paths in the container.
        package var volumes: Set<String>
        package var workingDir: String?
        package var labels: [String: String]
        /// "SIGTERM", "15".
        package var stopSignal: String?
        /// Seconds.
        package var stopTimeout: Int?
        /// Windows only.
        package var argsEscaped: Bool
        package var healthcheck: Healthcheck?
        package var onBuild: [String]
        /// For the shell form of RUN, CMD and ENTRYPOINT.
        package var shell: [String]
        package var unknownFields: [String: JSONValue]

        package init(
            user: String? = nil, exposedPorts: Set<String> = [], env: [String] = [], entrypoint: [String] = [], cmd: [String] = [],
            volumes: Set<String> = [], workingDir: String? = nil, labels: [String: String] = [:], stopSignal: String? = nil, stopTimeout: Int? = nil,
            argsEscaped: Bool = false, healthcheck: Healthcheck? = nil, onBuild: [String] = [], shell: [String] = [],
            unknownFields: [String: JSONValue] = [:]
        ) {
            self.user = user
            self.exposedPorts = exposedPorts
            self.env = env
            self.entrypoint = entrypoint
            self.cmd = cmd
            self.volumes = volumes
            self.workingDir = workingDir
            self.labels = labels
            self.stopSignal = stopSignal
            self.stopTimeout = stopTimeout
            self.argsEscaped = argsEscaped
            self.healthcheck = healthcheck
            self.onBuild = onBuild
            self.shell = shell
            self.unknownFields = unknownFields
        }
    }

    /// How to find out whether a container is healthy. Durations are nanoseconds; 0 inherits.
    package struct Healthcheck: Codable, Sendable, Hashable {
        /// Empty inherits; ["NONE"], ["CMD", args…], ["CMD-SHELL", command].
        package var test: [String]
        package var interval: Int64?
        package var timeout: Int64?
        package var startPeriod: Int64?
        package var startInterval: Int64?
        /// Failures in a row until the container counts as unhealthy.
        package var retries: Int?

        package init(
            test: [String] = [], interval: Int64? = nil, timeout: Int64? = nil, startPeriod: Int64? = nil, startInterval: Int64? = nil,
            retries: Int? = nil
        ) {
            self.test = test
            self.interval = interval
            self.timeout = timeout
            self.startPeriod = startPeriod
            self.startInterval = startInterval
            self.retries = retries
        }

        enum CodingKeys: String, CodingKey {
            case test = "Test"
            case interval = "Interval"
            case timeout = "Timeout"
            case startPeriod = "StartPeriod"
            case startInterval = "StartInterval"
            case retries = "Retries"
        }
    }
}

extension ImageConfig.Execution: Codable {
    enum CodingKeys: String, CodingKey {
        case user = "User"
        case exposedPorts = "ExposedPorts"
        case env = "Env"
        case entrypoint = "Entrypoint"
        case cmd = "Cmd"
        case volumes = "Volumes"
        case workingDir = "WorkingDir"
        case labels = "Labels"
        case stopSignal = "StopSignal"
        case stopTimeout = "StopTimeout"
        case argsEscaped = "ArgsEscaped"
        case healthcheck = "Healthcheck"
        case onBuild = "OnBuild"
        case shell = "Shell"
    }

    /// Go's `map[string]struct{}`.
    private struct Empty: Codable {}

    package init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            user: try fields.decodeIfPresent(String.self, forKey: .user),
            exposedPorts: Set(try fields.decode([String: Empty].self, forKey: .exposedPorts).keys),
            env: try fields.decode([String].self, forKey: .env), entrypoint: try fields.decode([String].self, forKey: .entrypoint),
            cmd: try fields.decode([String].self, forKey: .cmd), volumes: Set(try fields.decode([String: Empty].self, forKey: .volumes).keys),
            workingDir: try fields.decodeIfPresent(String.self, forKey: .workingDir),
            labels: try fields.decode([String: String].self, forKey: .labels),
            stopSignal: try fields.decodeIfPresent(String.self, forKey: .stopSignal),
            stopTimeout: try fields.decodeIfPresent(Int.self, forKey: .stopTimeout),
            argsEscaped: try fields.decode(Bool.self, forKey: .argsEscaped),
            healthcheck: try fields.decodeIfPresent(ImageConfig.Healthcheck.self, forKey: .healthcheck),
            onBuild: try fields.decode([String].self, forKey: .onBuild), shell: try fields.decode([String].self, forKey: .shell),
            unknownFields: try decoder.unknownFields { CodingKeys(rawValue: $0) != nil })
    }

    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encodeIfPresent(user, forKey: .user)
        try fields.encode(Self.object(exposedPorts), forKey: .exposedPorts)
        try fields.encode(env, forKey: .env)
        try fields.encode(entrypoint, forKey: .entrypoint)
        try fields.encode(cmd, forKey: .cmd)
        try fields.encode(Self.object(volumes), forKey: .volumes)
        try fields.encodeIfPresent(workingDir, forKey: .workingDir)
        try fields.encode(labels, forKey: .labels)
        try fields.encodeIfPresent(stopSignal, forKey: .stopSignal)
        try fields.encodeIfPresent(stopTimeout, forKey: .stopTimeout)
        if argsEscaped { try fields.encode(argsEscaped, forKey: .argsEscaped) }
        try fields.encodeIfPresent(healthcheck, forKey: .healthcheck)
        try fields.encode(onBuild, forKey: .onBuild)
        try fields.encode(shell, forKey: .shell)
        try encoder.encode(unknownFields: unknownFields)
    }

    private static func object(_ keys: Set<String>) -> [String: Empty] {
        Dictionary(uniqueKeysWithValues: keys.map { ($0, Empty()) })
    }
}
