import DockerAPI

/// A container as its networks see it. Built anew from the record for every call.
struct NetworkContainer: Sendable, Equatable {
    var id: String
    /// Without the leading slash.
    var name: String
    var hostname: String
    var domainname: String
    /// Of HostConfig, never empty: default bridge none host container:ID or the name of a network.
    var networkMode: String
    /// What the user asked for, by network name.
    var endpoints: [String: EndpointSettings]
    /// `PORT/PROTO` → bindings; ranges in `HostPort` are still text.
    var portBindings: [String: [PortBinding]]
    /// `PORT/PROTO` of image and user together.
    var exposedPorts: [String]
    var publishAllPorts: Bool
    var dns: [String]
    var dnsSearch: [String]
    var dnsOptions: [String]
    var extraHosts: [String]
    var links: [String]
}

/// What came of connecting a container: shown by inspect, persisted in its record, and handed back after a restart of the daemon.
struct NetworkAttachment: Sendable, Equatable, Codable {
    /// By network name, with addresses, gateway, MAC, EndpointID and NetworkID filled in.
    var endpoints: [String: EndpointSettings]
    /// `PORT/PROTO` → where it is published (nil when only exposed), as `NetworkSettings.Ports`.
    var ports: [String: [PortBinding]?]
    var sandboxID: String
    /// Full text of the container's files. nil leaves the file as it was made (host mode: a copy of the host's).
    var hostsFile: String?
    var resolvConf: String?

    init(
        endpoints: [String: EndpointSettings] = [:], ports: [String: [PortBinding]?] = [:], sandboxID: String = "", hostsFile: String? = nil, resolvConf: String? = nil
    ) {
        self.endpoints = endpoints
        self.ports = ports
        self.sandboxID = sandboxID
        self.hostsFile = hostsFile
        self.resolvConf = resolvConf
    }
}

/// What the container services ask of networks.
///
/// The network namespace belongs to the container's init process: it is made for the start, joined by the process at Tasks.Create, and dies, together with the veth, with the process. Modes
/// `host` and `container:` have no namespace of their own.
protocol NetworkAttaching: Sendable {
    /// Called by create, before anything is stored: refuses unknown networks, addresses outside of a subnet, malformed ports and host addresses.
    ///
    /// - Returns: the endpoints by network *name* (IDs and prefixes resolved), at least the one of `networkMode`.
    /// - Throws: `DaemonError` in Docker's words, as `network x not found`.
    func validate(_ container: NetworkContainer) async throws -> [String: EndpointSettings]

    /// Called by start before Tasks.Create: takes addresses and host ports, makes the texts of hosts and resolv.conf, so that what can fail fails before a process exists.
    ///
    /// - Throws: `DaemonError`, as `driver failed programming external connectivity on endpoint … port is already allocated`.
    func prepare(_ container: NetworkContainer) async throws -> NetworkAttachment

    /// Makes the namespace that the container's process will join; nil for the modes that have none of their own.
    func makeSandbox(_ container: NetworkContainer) async throws -> NetworkSandbox?

    /// Called before Tasks.Start, beside Tasks.Create: configures lo, veth, addresses, routes and sysctls in the sandbox, then publishes the ports.
    /// On failure everything that `prepare` and `connect` took is released by the caller's `release`.
    func connect(_ container: NetworkContainer, attachment: NetworkAttachment, sandbox: NetworkSandbox?) async throws -> NetworkAttachment

    /// Called once when the process has ended, when a start failed, and at removal. Idempotent; unknown ids are fine. Frees addresses, host ports and rules.
    func release(_ containerID: String) async

    /// A running container has another name from now on.
    func rename(_ containerID: String, to name: String) async

    /// Called once at start-up with every container that still runs: takes their addresses and ports again, repairs rules, removes what belongs to nobody else.
    func restore(_ running: [(container: NetworkContainer, attachment: NetworkAttachment, pid: Int32)]) async throws
}

/// What networks ask of containers: for `network connect`, `disconnect`, `inspect` and refusing to remove a network in use.
protocol NetworkContainerLookup: Sendable {
    /// Finds a container by name, ID or unique prefix. `pid` is 0 when it does not run.
    ///
    /// - Throws: `DaemonError.notFound("No such container: …")`.
    func networkContainer(_ nameOrID: String) throws -> (container: NetworkContainer, attachment: NetworkAttachment, pid: Int32)

    /// Every container that has an endpoint in the network, running or not.
    func containers(usingNetwork name: String) -> [(container: NetworkContainer, attachment: NetworkAttachment, pid: Int32)]

    /// Stores what `network connect` or `disconnect` changed: the wanted endpoints and, when running, what came of them. One durable commit. Rewrites hosts and resolv.conf
    /// when their texts are given.
    func update(_ containerID: String, endpoints: [String: EndpointSettings], attachment: NetworkAttachment) async throws

    /// Returns when what ended before the call has given back its endpoints: whoever waited for a container hears of its end before that is done.
    func settle(_ containerIDs: [String]) async
}
