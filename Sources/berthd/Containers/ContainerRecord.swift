import DockerAPI

/// Everything the daemon keeps about a container: one row of the database.
struct ContainerRecord: Sendable, Codable, Equatable {
    /// A mount as it was settled at create.
    struct MountRecord: Sendable, Codable, Equatable {
        enum Kind: String, Sendable, Codable { case bind, volume, tmpfs, image }
        var kind: Kind
        /// Host path of a bind; for a volume what its driver said at create.
        var source: String
        var destination: String
        var volumeName: String?
        var driver: String?
        var readOnly: Bool
        /// As the user wrote it after the second colon, shown by inspect.
        var mode: String
        var propagation: String
        var subpath: String?
        /// Of a volume that nobody named, also where `VolumesFrom` brings it in: it goes with its last container.
        var isAnonymous: Bool?
        var noCopy: Bool
        var nonRecursive: Bool
        /// nil: rro where the kernel can, as for `:ro` since API 1.44.
        var readOnlyNonRecursive: Bool
        var readOnlyForceRecursive: Bool
        var createsSource: Bool
        /// mount(8) options of a tmpfs.
        var tmpfsOptions: [String]
        /// `Mounts` of HostConfig instead of `Binds`.
        var fromMountsAPI: Bool
    }

    var id: String
    /// Without a slash.
    var name: String
    var created: WallClock
    var config: ContainerConfig
    var hostConfig: HostConfig
    var image: ResolvedImage
    /// The program and its arguments after entrypoint and command were merged.
    var path: String
    var args: [String]
    var mounts: [MountRecord]
    /// What the user asked for, by network name.
    var endpoints: [String: EndpointSettings]
    /// What came of the last connect.
    var attachment = NetworkAttachment()
    var lifecycle = ContainerLifecycle()
    var logPath: String
    /// Of the rules that the daemon applied at create.
    var maskedPaths: [String]?
    var readonlyPaths: [String]?
    var hasSnapshot = true
    /// containerd's name of the snapshotter that its files are with. Records of versions that had one only have none.
    var driver: String?

    /// The same, for requests.
    var snapshotter: String { driver ?? "overlayfs" }

    var isTerminal: Bool { config.Tty ?? false }
    var opensStdin: Bool { config.OpenStdin ?? false }
    var autoRemove: Bool { hostConfig.AutoRemove ?? false }
    var networkMode: String { hostConfig.NetworkMode ?? "bridge" }

    /// `argv` of the process.
    var command: [String] { path.isEmpty ? args : [path] + args }

    var networkContainer: NetworkContainer {
        var exposed = Set((config.ExposedPorts ?? [:]).keys)
        exposed.formUnion((hostConfig.PortBindings ?? [:]).keys)
        return NetworkContainer(
            id: id, name: name, hostname: config.Hostname ?? "", domainname: config.Domainname ?? "", networkMode: networkMode, endpoints: endpoints,
            portBindings: (hostConfig.PortBindings ?? [:]).mapValues { $0 ?? [PortBinding()] }, exposedPorts: exposed.sorted(),
            publishAllPorts: hostConfig.PublishAllPorts ?? false, dns: hostConfig.Dns ?? [], dnsSearch: hostConfig.DnsSearch ?? [], dnsOptions: hostConfig.DnsOptions ?? [],
            extraHosts: hostConfig.ExtraHosts ?? [], links: hostConfig.Links ?? [])
    }
}
