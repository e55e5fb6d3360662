import BerthDefaults
import DockerAPI
import LinuxSystem
import Netlink

/// From what a container asks for to the plan of its interfaces.
extension NetworkService {
    // MARK: - One endpoint

    /// Takes addresses and decides everything about one interface.
    ///
    /// - Parameters:
    ///   - interfaces: names that the container has already.
    ///   - restored: `settings` is what an earlier daemon decided, to be taken as it is.
    func makeEndpoint(_ record: NetworkRecord, _ settings: EndpointSettings, container: NetworkContainer, interfaces: [String], restored: Bool = false) throws -> ActiveEndpoint {
        var settings = settings.filled
        var addresses: [IPNetwork] = []
        do {
            if record.enableIPv4, let address = try takeAddress(.v4, wanted: restored ? settings.IPAddress : settings.IPAMConfig?.IPv4Address, record, required: !restored) { addresses.append(address) }
            if record.enableIPv6, let address = try takeAddress(.v6, wanted: restored ? settings.GlobalIPv6Address : settings.IPAMConfig?.IPv6Address, record, required: !restored) {
                addresses.append(address)
            }
        } catch {
            for address in addresses { releaseAddress(address.address, network: record.id) }
            throw error
        }
        let four = addresses.first { $0.family == .v4 }, six = addresses.first { $0.family == .v6 }
        if !restored {
            settings.NetworkID = record.id
            settings.EndpointID = Identifier.random()
            settings.IPAddress = four?.address.description ?? ""
            settings.IPPrefixLen = four?.prefixLength ?? 0
            settings.GlobalIPv6Address = six?.address.description ?? ""
            settings.GlobalIPv6PrefixLen = six?.prefixLength ?? 0
            settings.Gateway = four == nil || record.isInternal ? "" : record.gateway(.v4)?.address.description ?? ""
            settings.IPv6Gateway = six == nil || record.isInternal ? "" : record.gateway(.v6)?.address.description ?? ""
        }
        let linkLocal = (settings.IPAMConfig?.LinkLocalIPs ?? []).compactMap { IPAddress($0) }.map { IPNetwork($0, prefixLength: $0.family == .v4 ? 16 : 64) }
        let mac: MACAddress
        if let wanted = settings.MacAddress.flatMap({ MACAddress($0) }) {
            mac = wanted
        } else if case .v4(let number)? = four?.address {
            mac = MACAddress(derivedFrom: number)
        } else {
            mac = .random()
        }
        settings.MacAddress = mac.description
        var names: [String] = []
        if record.isUserDefined {
            for name in [container.name] + (settings.Aliases ?? []) + [String(container.id.prefix(12)), container.hostname] where !name.isEmpty && !names.contains(name) { names.append(name) }
            settings.DNSNames = names
        }
        let interface = settings.DriverOpts?[NetworkOption.interfaceName] ?? Self.nextInterface(prefix: record.options[NetworkOption.containerPrefix] ?? "eth", taken: interfaces)
        let plan = EndpointPlan(
            interface: interface, hostInterface: Self.hostInterface(endpointID: settings.EndpointID ?? ""), bridge: record.linkName, mac: mac, addresses: addresses + linkLocal, gateways: [],
            mtu: record.mtu, isIsolated: !record.flag(NetworkOption.interContainer, default: true),
            sysctls: settings.DriverOpts?[NetworkOption.sysctls].flatMap { EndpointValidator.readSysctls($0, interface: interface) } ?? [])
        return ActiveEndpoint(networkID: record.id, networkName: record.name, settings: settings, plan: plan, addresses: addresses.map(\.address), names: names)
    }

    /// Follows from the endpoint's ID, so that it is known again after a restart.
    static func hostInterface(endpointID: String) -> String { "veth" + endpointID.prefix(7) }

    static func nextInterface(prefix: String, taken: [String]) -> String {
        var number = 0
        while taken.contains("\(prefix)\(number)") { number += 1 }
        return "\(prefix)\(number)"
    }

    /// - Returns: nil when nothing is wanted and nothing required: a restored endpoint without this family.
    private func takeAddress(_ family: IPAddress.Family, wanted: String?, _ record: NetworkRecord, required: Bool) throws -> IPNetwork? {
        let wanted = wanted.flatMap { $0.isEmpty ? nil : $0 }
        if wanted == nil && !required { return nil }
        for index in (allocators[record.id] ?? []).indices where allocators[record.id]?[index].subnet.family == family {
            guard let subnet = allocators[record.id]?[index].subnet else { continue }
            do {
                if let text = wanted {
                    guard let address = IPAddress(text), subnet.contains(address) else { continue }
                    try allocators[record.id]?[index].take(address)
                    return IPNetwork(address, prefixLength: subnet.prefixLength)
                }
                if let address = try allocators[record.id]?[index].allocate() { return IPNetwork(address, prefixLength: subnet.prefixLength) }
            } catch AddressAllocator.Failure.exhausted {
                continue
            } catch AddressAllocator.Failure.alreadyInUse {
                throw DaemonError(.permissionDenied, "failed to set up container networking: Address already in use")
            } catch AddressAllocator.Failure.outOfRange {
                throw DaemonError.invalid("invalid address \(wanted ?? ""): It belongs to the network or broadcast address of \(subnet)")
            }
        }
        if let wanted { throw DaemonError.invalid("no configured subnet contains IP address \(wanted)") }
        throw DaemonError.internalError("failed to set up container networking: no available IPv\(family == .v4 ? 4 : 6) addresses on this network's address pools: \(record.name) (\(record.id))")
    }

    func releaseAddress(_ address: IPAddress, network: String) {
        for index in (allocators[network] ?? []).indices where allocators[network]?[index].subnet.contains(address) == true { allocators[network]?[index].release(address) }
    }

    /// One endpoint of each family leads out: the highest priority, then the first by name, never an internal network.
    func chooseGateways(_ state: inout ActiveContainer) {
        for index in state.endpoints.indices { state.endpoints[index].plan.gateways = [] }
        for family in IPAddress.Family.allCases {
            if let index = gatewayEndpoint(state, family), let gateway = networks[state.endpoints[index].networkID]?.gateway(family) {
                state.endpoints[index].plan.gateways.append(gateway.address)
            }
        }
    }

    func gatewayEndpoint(_ state: ActiveContainer, _ family: IPAddress.Family) -> Int? {
        state.endpoints.indices.filter { index in
            let endpoint = state.endpoints[index]
            return endpoint.addresses.contains { $0.family == family } && networks[endpoint.networkID]?.isInternal == false
        }.min { left, right in
            let one = state.endpoints[left], two = state.endpoints[right]
            let first = one.settings.GwPriority ?? 0, second = two.settings.GwPriority ?? 0
            return first != second ? first > second : one.networkName < two.networkName
        }
    }

    // MARK: - Names

    var hostGateway: [IPAddress] {
        if !configuration.hostGateway.isEmpty { return configuration.hostGateway }
        let bridge = network(named: "bridge")
        return [bridge?.gateway(.v4)?.address, bridge?.gateway(.v6)?.address].compactMap { $0 }
    }

    func hostResolvConf(for container: NetworkContainer) -> ResolvConf {
        let servers = container.dns.isEmpty ? configuration.dns : container.dns
        return ResolvConf.host().overriding(
            nameservers: servers.compactMap { IPAddress($0) }, search: container.dnsSearch.isEmpty ? configuration.dnsSearch : container.dnsSearch,
            options: container.dnsOptions.isEmpty ? configuration.dnsOptions : container.dnsOptions)
    }

    /// Whom the embedded resolver asks. The daemon asks from the host's side, so the host's loopback addresses are fine.
    func upstream(of container: NetworkContainer) -> [String] { hostResolvConf(for: container).nameservers.map(\.description) }

    func source(for state: ActiveContainer) -> DNSSource {
        let (networks, upstream) = resolution(of: state)
        return DNSSource(table: names, networks: networks, upstream: upstream, links: links(of: state))
    }

    /// Only a container with a way out asks the world: what runs in internal networks must not send anything out in the guise of names.
    func resolution(of state: ActiveContainer) -> (networks: [(id: String, name: String)], upstream: [IPAddress]) {
        let own = state.endpoints.filter { networks[$0.networkID]?.isUserDefined == true }.map { (id: $0.networkID, name: $0.networkName) }
        let leadsOut = state.endpoints.contains { networks[$0.networkID]?.isInternal == false }
        return (own, leadsOut ? state.upstream.compactMap { IPAddress($0) } : [])
    }

    /// Aliases that only this container has for others: `--link` in user-defined networks.
    func links(of state: ActiveContainer) -> [String: DNSSource.Link] {
        var links: [String: DNSSource.Link] = [:]
        for endpoint in state.endpoints where networks[endpoint.networkID]?.isUserDefined == true {
            for link in endpoint.settings.Links ?? [] {
                let parts = link.split(separator: ":", maxSplits: 1).map(String.init)
                guard let name = parts.first else { continue }
                links[(parts.count > 1 ? parts[1] : name).lowercased()] = .init(name: name, network: (endpoint.networkID, endpoint.networkName))
            }
        }
        return links
    }

    func texts(_ container: NetworkContainer, _ state: ActiveContainer) throws -> (hosts: String, resolv: String) {
        var extra = try HostsFile.extraHosts(container.extraHosts, hostGateway: hostGateway)
        extra += linkEntries(container, state)
        let hostName = container.hostname.isEmpty ? String(container.id.prefix(12)) : container.hostname
        // A host name with dots is also known by its first part, as with a domain of its own.
        let full = container.domainname.isEmpty ? hostName : "\(hostName).\(container.domainname)"
        let short = container.domainname.isEmpty ? String(hostName.prefix { $0 != "." }) : hostName
        let own = full == short ? [full] : [full, short]
        let hosts = HostsFile.text(extra: extra, own: state.endpoints.flatMap { $0.addresses }.map { .init(address: $0, names: own) })
        let wanted = hostResolvConf(for: container)
        let isEmbedded = state.endpoints.contains { networks[$0.networkID]?.isUserDefined == true }
        // Servers that somebody chose are written down as they are, the container's own loopback among them; of the host's only what can be reached.
        let isChosen = !container.dns.isEmpty || !configuration.dns.isEmpty
        return (hosts, (isEmbedded ? wanted.throughEmbedded : isChosen ? wanted : wanted.reachable).text)
    }

    /// `--link NAME:ALIAS`: the other container's names, as lines in the hosts file.
    private func linkEntries(_ container: NetworkContainer, _ state: ActiveContainer) -> [HostsFile.Entry] {
        container.links.flatMap { link -> [HostsFile.Entry] in
            let parts = link.split(separator: ":", maxSplits: 1).map(String.init)
            guard let name = parts.first, let other = try? lookup?.networkContainer(name) else { return [] }
            let alias = parts.count > 1 ? parts[1] : other.container.name
            let shared = active[other.container.id]?.endpoints.first { theirs in state.endpoints.contains { $0.networkID == theirs.networkID } }
            var names = [alias]
            for name in [other.container.hostname, other.container.name] where !name.isEmpty && !names.contains(name) { names.append(name) }
            return (shared?.addresses ?? []).map { .init(address: $0, names: names) }
        }
    }
}
