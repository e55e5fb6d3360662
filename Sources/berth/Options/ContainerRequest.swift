/// The body of `POST /containers/create`, made from the flags of `create` and `run`.
struct ContainerRequest {
    private(set) var config = JSONObject()
    private(set) var hostConfig = JSONObject()
    private(set) var endpoints = JSONObject()

    var isTTY: Bool { config["Tty"] == true }
    var attachesInput: Bool { config["AttachStdin"] == true }
    var attachesOutput: Bool { config["AttachStdout"] == true }
    var attachesErrors: Bool { config["AttachStderr"] == true }
    var image: String { config["Image"]?.stringValue ?? "" }

    var body: JSONValue {
        var body = config
        body["HostConfig"] = .object(hostConfig)
        body["NetworkingConfig"] = ["EndpointsConfig": .object(endpoints)]
        return .object(body)
    }

    /// - Throws: `CommandFailure` with what is wrong about the flags together; single values were checked before.
    init(_ flags: ParsedFlags, image: String, command: [String], proxies: [(String, String)]) throws {
        let mac = flags.string("mac-address")
        if !mac.isEmpty, !ValueChecks.isMAC(mac) { throw CommandFailure("\(mac) is not a valid mac address") }
        let swappiness = flags.int("memory-swappiness")
        guard swappiness == -1 || (0...100).contains(swappiness) else {
            throw CommandFailure("invalid value: \(swappiness). Valid memory swappiness range is 0-100")
        }
        var volumes = JSONObject()
        var binds: [String] = []
        for spec in flags.list("volume") {
            switch try MountSpec.volume(spec) {
            case .bind(let bind): if !binds.contains(bind) { binds.append(bind) }
            case .anonymous(let target): volumes[target] = [:]
            }
        }
        var ports = PortSpecs()
        for spec in flags.list("publish") { try ports.publish(spec) }
        for spec in flags.list("expose") { try ports.expose(spec) }
        if !flags.list("gpus").isEmpty {
            throw CommandFailure("--gpus is not supported: pass the devices with --device, or a CDI device name with --device vendor.com/class=name")
        }
        let devices = try DeviceSpec.parse(flags.list("device"))
        let fileEnvironment = try KeyValueFile.environment(files: flags.list("env-file"), flags: flags.list("env"))
        let environment = proxies.map { "\($0.0)=\($0.1)" } + fileEnvironment
        let labels = try KeyValueFile.labels(files: flags.list("label-file"), flags: flags.list("label"))
        try ContainerRequest.checkNamespaces(flags)
        let restart = try RestartPolicy.parse(flags.string("restart"))
        if flags.string("log-driver") == "none", !flags.list("log-opt").isEmpty { throw CommandFailure("invalid logging opts for driver none") }
        let security = try SecurityOptions(flags.list("security-opt"))
        let storage = try ContainerRequest.storageOptions(flags.list("storage-opt"))
        let health = try ContainerRequest.healthCheck(flags)

        let attach = flags.list("attach")
        let interactive = flags.bool("interactive")
        let attachesInput = interactive || attach.contains("stdin")
        config = JSONObject([
            ("Hostname", .string(flags.string("hostname"))), ("Domainname", .string(flags.string("domainname"))), ("User", .string(flags.string("user"))),
            ("AttachStdin", .bool(attachesInput)), ("AttachStdout", .bool(attach.isEmpty || attach.contains("stdout"))),
            ("AttachStderr", .bool(attach.isEmpty || attach.contains("stderr"))), ("Tty", .bool(flags.bool("tty"))), ("OpenStdin", .bool(interactive)),
            ("StdinOnce", .bool(interactive && attachesInput)), ("Env", environment.isEmpty ? .null : .strings(environment)),
            ("Cmd", command.isEmpty ? .null : .strings(command)), ("Image", .string(image)), ("Volumes", .object(volumes)),
            ("WorkingDir", .string(flags.string("workdir"))),
            ("Entrypoint", flags.changed("entrypoint") ? .strings([flags.string("entrypoint")]) : .null), ("Labels", .object(labels)),
        ])
        if !ports.exposed.isEmpty { config["ExposedPorts"] = ports.exposedJSON }
        if let health { config["Healthcheck"] = health }
        if !mac.isEmpty { config["MacAddress"] = .string(mac) }
        if !flags.string("stop-signal").isEmpty { config["StopSignal"] = .string(flags.string("stop-signal")) }
        if flags.changed("stop-timeout") { config["StopTimeout"] = .int(flags.int("stop-timeout")) }

        hostConfig = JSONObject([
            ("Binds", binds.isEmpty ? .null : .strings(binds)), ("ContainerIDFile", .string(flags.string("cidfile"))),
            ("LogConfig", ["Type": .string(flags.string("log-driver")), "Config": .object(KeyValueFile.map(flags.list("log-opt")))]),
            ("PortBindings", ports.bindingsJSON), ("RestartPolicy", restart.json), ("AutoRemove", .bool(flags.bool("rm"))),
            ("VolumeDriver", .string(flags.string("volume-driver"))), ("VolumesFrom", ContainerRequest.optional(flags.list("volumes-from"))),
            ("ConsoleSize", [0, 0]), ("CapAdd", ContainerRequest.optional(ContainerRequest.capabilities(flags.list("cap-add")))),
            ("CapDrop", ContainerRequest.optional(ContainerRequest.capabilities(flags.list("cap-drop")))), ("CgroupnsMode", .string(flags.string("cgroupns"))),
            ("Dns", .strings(flags.list("dns"))), ("DnsOptions", .strings(flags.list("dns-option") + flags.list("dns-opt"))),
            ("DnsSearch", .strings(flags.list("dns-search"))), ("ExtraHosts", ContainerRequest.optional(flags.list("add-host"))),
            ("GroupAdd", ContainerRequest.optional(flags.list("group-add"))), ("IpcMode", .string(flags.string("ipc"))), ("Cgroup", ""),
            ("Links", ContainerRequest.optional(flags.list("link"))), ("OomScoreAdj", .int(flags.int("oom-score-adj"))),
            ("PidMode", .string(flags.string("pid"))), ("Privileged", .bool(flags.bool("privileged"))),
            ("PublishAllPorts", .bool(flags.bool("publish-all"))), ("ReadonlyRootfs", .bool(flags.bool("read-only"))),
            ("SecurityOpt", ContainerRequest.optional(security.options)), ("UTSMode", .string(flags.string("uts"))),
            ("UsernsMode", .string(flags.string("userns"))), ("ShmSize", .int(flags.int("shm-size"))),
            ("Isolation", .string(flags.string("isolation"))), ("Runtime", .string(flags.string("runtime"))),
        ])
        if flags.changed("init") { hostConfig["Init"] = .bool(flags.bool("init")) }
        if !storage.isEmpty { hostConfig["StorageOpt"] = .object(storage) }
        if !flags.list("tmpfs").isEmpty { hostConfig["Tmpfs"] = .object(ContainerRequest.tmpfs(flags.list("tmpfs"))) }
        if !flags.list("sysctl").isEmpty { hostConfig["Sysctls"] = .object(KeyValueFile.map(flags.list("sysctl"))) }
        if !flags.list("annotation").isEmpty { hostConfig["Annotations"] = .object(KeyValueFile.map(flags.list("annotation"))) }
        if !flags.list("mount").isEmpty { hostConfig["Mounts"] = .array(try flags.list("mount").map { try MountSpec.mount($0) }) }
        if security.unmasksSystemPaths {
            hostConfig["MaskedPaths"] = []
            hostConfig["ReadonlyPaths"] = []
        }
        for (key, value) in ContainerRequest.resources(flags, devices) { hostConfig[key] = value }
        if flags.bool("rm"), !["", "no"].contains(restart.name) { throw CommandFailure("conflicting options: cannot specify both --restart and --rm") }
        let (mode, endpoints) = try NetworkAttachment.resolve(flags)
        hostConfig["NetworkMode"] = .string(mode)
        self.endpoints = endpoints
        if let endpoint = endpoints[mode], !endpoint.string("MacAddress").isEmpty { config["MacAddress"] = .string(endpoint.string("MacAddress")) }
    }

    /// Nothing is attached: `run -d`.
    mutating func detach() {
        for key in ["AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce"] { config[key] = false }
    }

    /// Rows and columns of the terminal the container starts with.
    mutating func setConsoleSize(height: Int, width: Int) { hostConfig["ConsoleSize"] = [.int(height), .int(width)] }

    /// In the kernel's spelling, each once and sorted.
    private static func capabilities(_ given: [String]) -> [String] {
        let names = given.map { name -> String in
            let upper = name.trimmingBlanks().uppercased()
            return upper == "ALL" || upper == "RESET" || upper.hasPrefix("CAP_") ? upper : "CAP_" + upper
        }
        return Set(names).sorted()
    }

    private static func optional(_ values: [String]) -> JSONValue { values.isEmpty ? .null : .strings(values) }

    private static func resources(_ flags: ParsedFlags, _ devices: DeviceSpec) -> [(String, JSONValue)] {
        func throttle(_ name: String) -> JSONValue {
            .array(flags.list(name).map { entry in
                let parts = entry.split(separator: ":", maxSplits: 1)
                return ["Path": .string(String(parts[0])), "Rate": .number(String(parts[1]))]
            })
        }
        let weights = flags.list("blkio-weight-device").map { entry -> JSONValue in
            let parts = entry.split(separator: ":", maxSplits: 1)
            return ["Path": .string(String(parts[0])), "Weight": .number(String(parts[1]))]
        }
        return [
            ("CpuShares", .int(flags.int("cpu-shares"))), ("Memory", .int(flags.int("memory"))), ("NanoCpus", .int(flags.int("cpus"))),
            ("CgroupParent", .string(flags.string("cgroup-parent"))), ("BlkioWeight", .int(flags.int("blkio-weight"))),
            ("BlkioWeightDevice", .array(weights)), ("BlkioDeviceReadBps", throttle("device-read-bps")),
            ("BlkioDeviceWriteBps", throttle("device-write-bps")), ("BlkioDeviceReadIOps", throttle("device-read-iops")),
            ("BlkioDeviceWriteIOps", throttle("device-write-iops")), ("CpuPeriod", .int(flags.int("cpu-period"))),
            ("CpuQuota", .int(flags.int("cpu-quota"))), ("CpuRealtimePeriod", .int(flags.int("cpu-rt-period"))),
            ("CpuRealtimeRuntime", .int(flags.int("cpu-rt-runtime"))), ("CpusetCpus", .string(flags.string("cpuset-cpus"))),
            ("CpusetMems", .string(flags.string("cpuset-mems"))), ("Devices", devices.mappings),
            ("DeviceCgroupRules", optional(flags.list("device-cgroup-rule"))), ("DeviceRequests", devices.requests),
            ("MemoryReservation", .int(flags.int("memory-reservation"))), ("MemorySwap", .int(flags.int("memory-swap"))),
            ("MemorySwappiness", .int(flags.int("memory-swappiness"))), ("OomKillDisable", .bool(flags.bool("oom-kill-disable"))),
            ("PidsLimit", .int(flags.int("pids-limit"))), ("Ulimits", .array(ValueChecks.ulimits(flags.list("ulimit")))),
            ("CpuCount", .int(flags.int("cpu-count"))), ("CpuPercent", .int(flags.int("cpu-percent"))),
            ("IOMaximumIOps", .int(flags.int("io-maxiops"))), ("IOMaximumBandwidth", .int(flags.int("io-maxbandwidth"))),
        ] + (flags.int("kernel-memory") == 0 ? [] : [("KernelMemory", .int(flags.int("kernel-memory")))])
    }

    private static func tmpfs(_ values: [String]) -> JSONObject {
        var result = JSONObject()
        for value in values {
            let parts = value.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            result[parts[0]] = .string(parts.count == 2 ? parts[1] : "")
        }
        return result
    }

    private static func storageOptions(_ values: [String]) throws -> JSONObject {
        guard values.allSatisfy({ $0.contains("=") }) else { throw CommandFailure("invalid storage option") }
        return KeyValueFile.map(values)
    }

    private static func checkNamespaces(_ flags: ParsedFlags) throws {
        func isContainer(_ mode: String) -> Bool { mode.hasPrefix("container:") && mode.count > "container:".count }
        let pid = flags.string("pid")
        if !["", "host"].contains(pid), !isContainer(pid) { throw CommandFailure("--pid: invalid PID mode") }
        if !["", "host"].contains(flags.string("uts")) { throw CommandFailure("--uts: invalid UTS mode") }
        if !["", "host"].contains(flags.string("userns")) { throw CommandFailure("--userns: invalid USER mode") }
        if !["", "host", "private"].contains(flags.string("cgroupns")) { throw CommandFailure("--cgroupns: invalid CGROUP mode") }
    }

    private static func healthCheck(_ flags: ParsedFlags) throws -> JSONValue? {
        let durations = ["health-interval", "health-timeout", "health-start-period", "health-start-interval"]
        let given = !flags.string("health-cmd").isEmpty || durations.contains { flags.int($0) != 0 } || flags.int("health-retries") != 0
        if flags.bool("no-healthcheck") {
            if given { throw CommandFailure("--no-healthcheck conflicts with --health-* options") }
            return ["Test": ["NONE"]]
        }
        guard given else { return nil }
        for name in ["health-interval", "health-timeout", "health-retries", "health-start-period", "health-start-interval"] where flags.int(name) < 0 {
            throw CommandFailure("--\(name) cannot be negative")
        }
        var check = JSONObject()
        if !flags.string("health-cmd").isEmpty { check["Test"] = ["CMD-SHELL", .string(flags.string("health-cmd"))] }
        let names = [
            ("Interval", "health-interval"), ("Timeout", "health-timeout"), ("StartPeriod", "health-start-period"),
            ("StartInterval", "health-start-interval"), ("Retries", "health-retries"),
        ]
        for (key, name) in names where flags.int(name) != 0 { check[key] = .int(flags.int(name)) }
        return .object(check)
    }
}
