import BerthDefaults

/// What the flags and daemon.json say. Field names follow the flags; see docs/daemon.md.
struct DaemonConfig: Sendable, Equatable {
    struct AddressPool: Sendable, Equatable {
        /// CIDR.
        var base: String
        /// Prefix length of the networks taken from it.
        var size: Int
    }

    struct Runtime: Sendable, Equatable {
        /// A binary with runc's command line, run by Berth's shim; empty when `type` names a shim.
        var path = ""
        /// A shim's name, as `io.containerd.runc.v2`.
        var type = ""
        var arguments: [String] = []
    }

    struct UlimitValue: Sendable, Equatable {
        var soft: Int64
        var hard: Int64
    }

    var hosts: [String] = []
    var dataRoot = Defaults.dataRoot
    var execRoot = Defaults.runRoot
    var pidfile = ""
    var configFile = ""
    /// Socket of a containerd that somebody else runs; empty: berthd starts its own supervisor.
    var containerd = ""
    var containerdNamespace = Defaults.containerdNamespace
    var runtimes: [String: Runtime] = [:]
    var defaultRuntime = "berth"
    /// containerd's name of the snapshotter for images and new containers; empty for the first that works.
    var storageDriver = ""
    var cgroupParent = ""

    var bip = ""
    /// Name of a bridge that exists already, or `none`; empty: one of our own.
    var bridge = ""
    var fixedCIDR = ""
    var defaultAddressPools: [AddressPool] = []
    var dns: [String] = []
    var dnsOptions: [String] = []
    var dnsSearch: [String] = []
    /// Default host address of published ports.
    var ip = "0.0.0.0"
    var icc = true
    var ipForward = true
    var ipMasquerade = true
    var ipv6 = false
    var mtu = 1500
    var hostGatewayIP = ""
    /// By driver: options of networks that do not say otherwise.
    var defaultNetworkOptions: [String: [String: String]] = [:]

    var insecureRegistries: [String] = []
    var registryMirrors: [String] = []
    /// Directories with a folder for each registry (`hosts.toml`, certificates), colons between; empty for the supervisor's default.
    var registryConfigPath = ""
    var maxConcurrentDownloads = 3
    var maxConcurrentUploads = 5
    /// What is removed by itself when the disk fills up; nothing by default.
    var imagePolicy = ImagePolicy()

    var logDriver = "json-file"
    var logOptions: [String: String] = [:]
    var defaultShmSizeBytes: Int64 = 64 << 20
    var defaultUlimits: [String: UlimitValue] = [:]
    var defaultIpcMode = "private"
    var defaultCgroupnsMode = ""
    var initProcess = false
    var initPath = ""
    var noNewPrivileges = false
    var seccompProfile = ""

    var tls = false
    var tlsVerify = false
    var tlsCACert = ""
    var tlsCert = ""
    var tlsKey = ""

    /// What the user is told at the start: flags that are taken and have no effect.
    var notices: [String] = []

    var group = "docker"
    var labels: [String] = []
    var debug = false
    var logLevel = "info"
    var logFormat = "text"

    /// Directories below the two roots.
    var databasePath: String { dataRoot + "/daemon/berthd.db" }
    var containersRoot: String { dataRoot + "/daemon/containers" }
    var volumesRoot: String { dataRoot + "/volumes" }
    var supervisorRoot: String { dataRoot + "/supervisor" }
    var supervisorSocket: String { containerd.isEmpty ? execRoot + "/supervisor.sock" : containerd }
}
