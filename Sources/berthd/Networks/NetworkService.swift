import DockerAPI
import LinuxSystem
import Netlink
import NIOPosix

/// Networks, endpoints and address pools.
///
/// What users asked for is in the database (`NetworkStore`, and each container's record for its endpoints). What is true while containers run (addresses handed out,
/// ports held, resolvers) is in this actor alone and is built again from the running containers by `restore`.
actor NetworkService {
    /// A container's place in one network while it runs.
    struct ActiveEndpoint: Sendable {
        var networkID: String
        var networkName: String
        var settings: EndpointSettings
        var plan: EndpointPlan
        var addresses: [IPAddress]
        /// Names and aliases that resolve to these addresses; empty outside of user-defined networks.
        var names: [String]
    }

    /// A container from `prepare` to `release`.
    struct ActiveContainer: Sendable {
        var id: String
        var name: String
        var endpoints: [ActiveEndpoint] = []
        var publications: [PortPublisher.Publication] = []
        var filtered: [PublishedPort] = []
        var relays: [PortRelay] = []
        var resolver: ContainerResolver?
        /// Asked by the resolver for names that it does not know.
        var upstream: [String] = []
    }

    let configuration: NetworkConfiguration
    let store: NetworkStore
    let filter: PacketFilter
    let events: EventHub
    /// Set once, before the first request: the two services know each other.
    var lookup: (any NetworkContainerLookup)?

    var networks: [String: NetworkRecord] = [:]
    var allocators: [String: [AddressAllocator]] = [:]
    var ports = PortPublisher()
    var active: [String: ActiveContainer] = [:]
    /// Names being created: a second create waits for nobody and is refused.
    var reservedNames: Set<String> = []
    let names = NameTable()

    init(configuration: NetworkConfiguration, database: DaemonDatabase, events: EventHub) throws {
        self.configuration = configuration
        store = NetworkStore(database: database)
        filter = try PacketFilter(bridge: configuration.filterName)
        self.events = events
    }

    func setLookup(_ lookup: any NetworkContainerLookup) { self.lookup = lookup }

    /// Keeps the packet filter's rules in force. Runs until it is cancelled.
    nonisolated func run() async {
        await PacketFilterMonitor(filter: filter).run()
    }

    // MARK: - Start-up

    /// Loads the networks, makes the predefined ones and every bridge. The packet filter stays as it is until `restore`: published ports of running containers go on answering.
    func start() async throws {
        if configuration.enableForwarding {
            if Sysctl.read("net/ipv4/ip_forward") == "0" && !Sysctl.write("net/ipv4/ip_forward", "1") { Log.warning("cannot enable net.ipv4.ip_forward: containers will not reach other hosts") }
        }
        for record in try await store.load() { adopt(record) }
        try await makePredefined()
        for record in networks.values.sorted(by: { $0.created < $1.created }) where record.driver == .bridge {
            do {
                try await raiseBridge(of: record)
            } catch {
                // One broken network must not keep the engine from starting; its containers' starts will tell.
                Log.error("network \(record.name): \(error)")
            }
        }
    }

    func adopt(_ record: NetworkRecord) {
        networks[record.id] = record
        allocators[record.id] = record.pools.compactMap { pool in
            guard let subnet = IPNetwork(pool.subnet) else { return nil }
            let reserved = pool.auxiliary.values.compactMap { IPAddress($0) } + [pool.gateway.flatMap { IPAddress($0) }].compactMap { $0 }
            return AddressAllocator(subnet: subnet, range: pool.range.flatMap { IPNetwork($0) }, reserved: reserved)
        }
    }

    private func makePredefined() async throws {
        var fresh: [NetworkRecord] = []
        for (name, driver) in [("none", NetworkRecord.Driver.null), ("host", .host)] where network(named: name) == nil {
            fresh.append(NetworkRecord(predefined: name, driver: driver))
        }
        let old = network(named: "bridge")
        if configuration.bridgeName == "none" {
            if let old { networks[old.id] = nil }
        } else {
            var record = old ?? NetworkRecord(predefined: "bridge", driver: .bridge)
            record.options = defaultBridgeOptions
            record.enableIPv6 = configuration.enableIPv6
            record.pools = try await defaultBridgePools(previous: old).filter { IPNetwork($0.subnet)?.family == .v4 }
            if configuration.enableIPv6 {
                let six = old?.pools.first { IPNetwork($0.subnet)?.family == .v6 }
                if let six { record.pools.append(six) } else { record.pools.append(pool(for: try await freeSubnet(family: .v6))) }
            }
            if record != old { fresh.append(record) }
        }
        if !fresh.isEmpty { try await store.insert(fresh) }
        for record in fresh { adopt(record) }
    }

    private var defaultBridgeOptions: [String: String] {
        [
            NetworkOption.defaultBridge: "true", NetworkOption.interContainer: "\(configuration.interContainer)", NetworkOption.masquerade: "\(configuration.masquerade)",
            NetworkOption.hostBinding: "\(configuration.defaultHostAddress)", NetworkOption.bridgeName: configuration.bridgeName, NetworkOption.mtu: "\(configuration.mtu)",
        ]
    }

    /// `--bip`, else what it had before, else the address that the bridge already has, else a free network.
    private func defaultBridgePools(previous: NetworkRecord?) async throws -> [NetworkRecord.Pool] {
        let range = configuration.fixedCIDR?.masked.description
        if let address = configuration.bridgeAddress {
            return [.init(subnet: address.masked.description, range: range, gateway: address.address.description, auxiliary: [:])]
        }
        if let previous, !previous.pools.isEmpty { return previous.pools }
        let name = configuration.bridgeName
        let existing = try await blocking { () throws(SystemError) -> IPNetwork? in
            let connection = try RouteConnection()
            guard let link = try connection.link(named: name) else { return nil }
            return try connection.addresses().first { $0.linkIndex == link.index && $0.network.family == .v4 }?.network
        }
        if let existing { return [.init(subnet: existing.masked.description, range: range, gateway: existing.address.description, auxiliary: [:])] }
        let subnet = try await freeSubnet(family: .v4)
        return [pool(for: subnet, range: range)]
    }

    /// A pool whose gateway is the first address.
    func pool(for subnet: IPNetwork, range: String? = nil) -> NetworkRecord.Pool {
        let allocator = AddressAllocator(subnet: subnet, range: range.flatMap { IPNetwork($0) })
        return .init(subnet: subnet.masked.description, range: range, gateway: allocator.firstOfRange.description, auxiliary: [:])
    }

    /// - Throws: dockerd's text when every pool is used up.
    func freeSubnet(family: IPAddress.Family) async throws -> IPNetwork {
        let occupied = try await blocking { () throws(SystemError) in try BridgeDriver.occupiedNetworks() }
        let used = occupied + networks.values.flatMap(\.subnets) + ResolvConf.host().nameservers.map { IPNetwork($0, prefixLength: $0.family.bitWidth) }
        var pools = configuration.addressPools
        if !pools.contains(where: { $0.base.family == family }) {
            pools += family == .v4 ? AddressPool.defaults : [AddressPool.uniqueLocal(engineID: configuration.engineID)]
        }
        guard let subnet = AddressPool.firstFree(in: pools, family: family, used: used) else {
            throw DaemonError.invalid("all predefined address pools have been fully subnetted")
        }
        return subnet
    }

    // MARK: - Bridges

    func raiseBridge(of record: NetworkRecord) async throws {
        let addresses = IPAddress.Family.allCases.compactMap { record.gateway($0) }
        let name = record.linkName, mtu = record.mtu, isInternal = record.isInternal
        try await blocking { () throws(SystemError) in try BridgeDriver.ensureBridge(name, addresses: addresses, mtu: mtu, isInternal: isInternal) }
        try await filter.apply(.addBridge(record.filteredBridge))
    }

    func lowerBridge(of record: NetworkRecord) async throws {
        let name = record.linkName
        try await filter.apply(.removeBridge(name))
        try await blocking { () throws(SystemError) in try BridgeDriver.deleteBridge(name) }
    }

    /// Runs blocking work on a thread that may block.
    @discardableResult
    nonisolated func blocking<Result: Sendable>(_ body: @escaping @Sendable () throws(SystemError) -> Result) async throws -> Result {
        try await NIOThreadPool.singleton.runIfActive { try body() }
    }

    // MARK: - Finding

    func network(named name: String) -> NetworkRecord? { networks.values.first { $0.name == name } }

    /// By name, ID or unique prefix of an ID, in this order.
    ///
    /// - Throws: `.notFound` or `.invalidArgument` as dockerd words them.
    func find(_ term: String) throws -> NetworkRecord {
        if let record = networks[term] ?? network(named: term) { return record }
        let matches = term.isEmpty ? [] : networks.values.filter { $0.id.hasPrefix(term) }
        guard matches.count <= 1 else { throw DaemonError.invalid("network \(term) is ambiguous (\(matches.count) matches found based on ID prefix)") }
        guard let match = matches.first else { throw DaemonError.notFound("network \(term) not found") }
        return match
    }
}

extension NetworkRecord {
    init(predefined name: String, driver: Driver) {
        self.init(
            id: Identifier.random(), name: name, driver: driver, created: .now(), enableIPv4: true, enableIPv6: false, ipamOptions: nil, pools: [], hasChosenSubnet: false,
            isInternal: false, isAttachable: false, options: [:], labels: [:])
    }

    var filteredBridge: FilteredBridge {
        FilteredBridge(name: linkName, subnets: subnets, isInternal: isInternal, masquerades: flag(NetworkOption.masquerade, default: true))
    }
}
