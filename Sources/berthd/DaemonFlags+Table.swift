import BerthDefaults

extension DaemonFlags {
    /// Every flag, in dockerd's spelling. Accepted without effect are only those whose effect is always on here.
    static let all: [Flag] = connection + storage + imagePolicy + runtime + network + registry + logging + containers

    private static let connection: [Flag] = [
        Flag("host", short: "H", repeats: true, key: "hosts", "Socket to listen on: unix://PATH, tcp://HOST:PORT, fd://") { $0.hosts.append($1) },
        Flag("group", short: "G", "Group of the unix socket") { $0.group = $1 },
        Flag("tls", takesValue: false, "Use TLS on tcp sockets") { $0.tls = try boolean($1) },
        Flag("tlsverify", takesValue: false, "Use TLS and verify the client") { $0.tlsVerify = try boolean($1) },
        Flag("tlscacert", "Certificates that clients' certificates are signed by") { $0.tlsCACert = $1 },
        Flag("tlscert", "Certificate of the daemon") { $0.tlsCert = $1 },
        Flag("tlskey", "Key of the certificate") { $0.tlsKey = $1 },
        Flag("pidfile", short: "p", "File that holds the daemon's pid") { $0.pidfile = $1 },
        Flag("config-file", "Configuration file (default /etc/berth/daemon.json)") { $0.configFile = $1 },
        Flag("debug", short: "D", takesValue: false, "Debug messages") { $0.debug = try boolean($1) },
        Flag("log-level", short: "l", "debug, info, warn, error or fatal") {
            guard Log.Level(name: $1) != nil else { throw DaemonError.invalid("unknown level") }
            $0.logLevel = $1
        },
        Flag("log-format", "text or json") {
            guard $1 == "text" || $1 == "json" else { throw DaemonError.invalid("text or json expected") }
            $0.logFormat = $1
        },
        Flag("label", repeats: true, key: "labels", "Label of the daemon") { $0.labels.append($1) },
        Flag("live-restore", takesValue: false, "Always on: containers run while the daemon does not") { _, value in
            if try !boolean(value) { throw DaemonError.invalid("containers always outlive the daemon") }
        },
        Flag("feature", repeats: true, key: "features", "NAME=BOOL: containerd-snapshotter is always on, others are not known") { config, text in
            let (name, value) = try pair(text)
            let isOn = try boolean(value)
            if name == "containerd-snapshotter" {
                guard isOn else { throw DaemonError.invalid("images are always kept as containerd keeps them") }
            } else if isOn {
                config.notices.append("the feature \(name) has no effect: it is not known")
            }
        },
        Flag("shutdown-timeout", "Without effect: containers outlive the daemon") { config, value in
            _ = try number(value)
            config.notices.append("--shutdown-timeout has no effect: containers outlive the daemon")
        },
    ]

    private static let storage: [Flag] = [
        Flag("data-root", short: "g", "Directory of persistent state") { $0.dataRoot = $1 },
        Flag("exec-root", "Directory of runtime state") { $0.execRoot = $1 },
        Flag("storage-driver", short: "s", "Snapshotter: overlayfs (also overlay2), btrfs or vfs; default: the first that works") {
            guard let name = StorageDrivers.canonical($1) else { throw DaemonError.invalid(StorageDrivers.explanation($1)) }
            $0.storageDriver = name
        },
    ]

    private static let imagePolicy: [Flag] = [
        Flag("image-policy-high", "Remove unused images when the disk is fuller than this: 85% or 20GB") { $0.imagePolicy.high = try .init($1) },
        Flag("image-policy-low", "Until it is this full (default nine tenths of that)") { $0.imagePolicy.low = try .init($1) },
        Flag("image-policy-min-age", "Leave images that were used less long ago than this (default 24h)") {
            guard let age = GoDuration.nanoseconds($1), age >= 0 else { throw DaemonError.invalid("a duration such as 12h expected") }
            $0.imagePolicy.minimumAge = .nanoseconds(age)
        },
        Flag("image-policy-pin", repeats: true, key: "image-policy-pins", "Leave images with this label: LABEL or LABEL=VALUE (beside berth.pin)") {
            $0.imagePolicy.pins.append(try .init($1))
        },
        Flag("image-policy-dry-run", takesValue: false, "Only say what would be removed") { $0.imagePolicy.isDryRun = try boolean($1) },
    ]

    private static let runtime: [Flag] = [
        Flag("containerd", "Socket of a containerd that is not ours") { $0.containerd = $1 },
        Flag("containerd-namespace", "Namespace of containers") { $0.containerdNamespace = $1 },
        Flag("containerd-plugins-namespace", "Without effect: there are no plugins") { config, value in
            config.notices.append("--containerd-plugins-namespace has no effect: plugins are not built")
        },
        Flag("add-runtime", repeats: true, "NAME=PATH of a binary with runc's command line, or NAME=io.containerd.…") { config, text in
            let (name, value) = try pair(text)
            guard name != "berth" else { throw DaemonError.invalid("the name berth is taken") }
            config.runtimes[name] = value.hasPrefix("io.containerd.") ? .init(type: value) : .init(path: value)
        },
        Flag("default-runtime", "Runtime of containers that name none") { $0.defaultRuntime = $1 },
        Flag("cgroup-parent", "Parent cgroup of all containers") { $0.cgroupParent = $1 },
        Flag("exec-opt", repeats: true, key: "exec-opts", "native.cgroupdriver=cgroupfs") { _, text in
            guard text == "native.cgroupdriver=cgroupfs" else { throw DaemonError.invalid("only native.cgroupdriver=cgroupfs is built") }
        },
        Flag("init", takesValue: false, "Run an init in containers") { $0.initProcess = try boolean($1) },
        Flag("init-path", "Path of the init program") { $0.initPath = $1 },
        Flag("seccomp-profile", "Profile file, builtin or unconfined") { $0.seccompProfile = $1 },
        Flag("no-new-privileges", takesValue: false, "Set no-new-privileges by default") { $0.noNewPrivileges = try boolean($1) },
    ]

    private static let network: [Flag] = [
        Flag("bip", "Address of the default bridge, CIDR") { $0.bip = $1 },
        Flag("bridge", short: "b", "Bridge to attach containers to; none for no network") { $0.bridge = $1 },
        Flag("fixed-cidr", "Subnet of the default bridge's addresses") { $0.fixedCIDR = $1 },
        Flag("default-gateway", "Refused: the bridge itself is the way out") { _, value in
            guard value.isEmpty else { throw DaemonError.unimplemented("a default gateway other than the bridge itself") }
        },
        Flag("default-address-pool", repeats: true, key: "default-address-pools", "base=CIDR,size=BITS") { config, text in
            var base = "", size = 0
            for part in text.split(separator: ",").map(String.init) {
                let (name, value) = try pair(part)
                switch name {
                case "base": base = value
                case "size": size = try number(value)
                default: throw DaemonError.invalid("base=CIDR,size=BITS expected")
                }
            }
            guard !base.isEmpty, size > 0 else { throw DaemonError.invalid("base=CIDR,size=BITS expected") }
            config.defaultAddressPools.append(.init(base: base, size: size))
        },
        Flag("default-network-opt", repeats: true, key: "default-network-opts", "DRIVER=OPTION=VALUE of networks that do not say otherwise") { config, text in
            let (driver, option) = try pair(text)
            let (name, value) = try pair(option)
            config.defaultNetworkOptions[driver, default: [:]][name] = value
        },
        Flag("dns", repeats: true, "Name server of containers") { $0.dns.append($1) },
        Flag("dns-opt", repeats: true, key: "dns-opts", "Resolver option of containers") { $0.dnsOptions.append($1) },
        Flag("dns-search", repeats: true, "Search domain of containers") { $0.dnsSearch.append($1) },
        Flag("ip", "Default host address of published ports") { $0.ip = $1 },
        Flag("icc", takesValue: false, "Traffic between containers of the default bridge") { $0.icc = try boolean($1) },
        Flag("ip-forward", takesValue: false, "Enable forwarding") { $0.ipForward = try boolean($1) },
        Flag("ip-masq", takesValue: false, "Masquerade") { $0.ipMasquerade = try boolean($1) },
        Flag("iptables", takesValue: false, "Always on: published ports and isolation are packet filter rules") { _, value in
            if try !boolean(value) { throw DaemonError.unimplemented("networks without packet filter rules") }
        },
        Flag("ip6tables", takesValue: false, "Always on, as --iptables") { _, value in
            if try !boolean(value) { throw DaemonError.unimplemented("networks without packet filter rules for IPv6") }
        },
        Flag("ipv6", takesValue: false, "IPv6 on the default bridge") { $0.ipv6 = try boolean($1) },
        Flag("userland-proxy", takesValue: false, "Without effect: there is no proxy process") { config, value in
            if try boolean(value) { config.notices.append("--userland-proxy has no effect: there is no proxy process, published ports are packet filter rules") }
        },
        Flag("mtu", "MTU of the default bridge") { $0.mtu = try number($1) },
        Flag("host-gateway-ip", repeats: true, key: "host-gateway-ips", "Address that host-gateway stands for") { $0.hostGatewayIP = $1 },
    ]

    private static let registry: [Flag] = [
        Flag("insecure-registry", repeats: true, key: "insecure-registries", "Registry without TLS") { $0.insecureRegistries.append($1) },
        Flag("registry-mirror", repeats: true, key: "registry-mirrors", "Mirror of Docker Hub") { $0.registryMirrors.append(try RegistrySettings.mirror($1)) },
        Flag("registry-config-path", "Directories of registries' hosts.toml and certificates") { $0.registryConfigPath = $1 },
        Flag("max-concurrent-downloads", "Layers downloaded at a time") { $0.maxConcurrentDownloads = try number($1) },
        Flag("max-concurrent-uploads", "Layers uploaded at a time") { $0.maxConcurrentUploads = try number($1) },
    ]

    private static let logging: [Flag] = [
        Flag("log-driver", "Log driver of containers") { $0.logDriver = $1 },
        Flag("log-opt", repeats: true, key: "log-opts", "Option of the log driver, NAME=VALUE") { config, text in
            let (name, value) = try pair(text)
            config.logOptions[name] = value
        },
    ]

    private static let containers: [Flag] = [
        Flag("default-shm-size", "Size of /dev/shm") {
            guard let bytes = ByteSize.parse($1) else { throw DaemonError.invalid("a size expected") }
            $0.defaultShmSizeBytes = bytes
        },
        Flag("default-ipc-mode", "private or shareable") {
            guard $1 == "private" || $1 == "shareable" else { throw DaemonError.invalid("IPC can only be private or shareable") }
            $0.defaultIpcMode = $1
        },
        Flag("default-cgroupns-mode", "private or host") {
            guard $1 == "private" || $1 == "host" else { throw DaemonError.invalid("private or host expected") }
            $0.defaultCgroupnsMode = $1
        },
        Flag("default-ulimit", repeats: true, key: "default-ulimits", "NAME=SOFT[:HARD]") { config, text in
            let (name, value) = try pair(text)
            guard UlimitNames.all.contains(name) else { throw DaemonError.invalid("invalid ulimit type: \(name)") }
            let numbers = value.split(separator: ":", omittingEmptySubsequences: false).map { Int64($0) }
            guard let soft = numbers.first ?? nil, let hard = numbers.count == 2 ? numbers[1] : soft, numbers.count <= 2 else { throw DaemonError.invalid("NAME=SOFT[:HARD] expected") }
            config.defaultUlimits[name] = .init(soft: soft, hard: hard)
        },
    ]

    static var usage: String {
        var text = "usage: berthd [flags]\n\n"
        for flag in all.sorted(by: { $0.name < $1.name }) {
            let left = "  \(flag.short.map { "-\($0), " } ?? "    ")--\(flag.name)\(flag.takesValue ? " VALUE" : "")"
            text += left + String(repeating: " ", count: max(2, 40 - left.count)) + flag.help + "\n"
        }
        return text
    }
}
