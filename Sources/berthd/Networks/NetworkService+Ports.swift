import DockerAPI
import LinuxSystem
import Netlink

/// Published ports: from bindings to sockets, rules and what inspect shows.
extension NetworkService {
    /// What the container wants published.
    ///
    /// - Parameter network: the one that leads out; its `host_binding_ipv4` is the address for bindings without one.
    /// - Throws: `.invalidArgument` naming the port and the value.
    func portRequests(of container: NetworkContainer, address4: IPAddress?, address6: IPAddress?, network: NetworkRecord?) throws -> [PortPublisher.Request] {
        var requests: [PortPublisher.Request] = []
        let chosen = network?.options[NetworkOption.hostBinding].flatMap { IPAddress($0) } ?? configuration.defaultHostAddress
        for (key, bindings) in container.portBindings.sorted(by: { $0.key < $1.key }) {
            guard let port = ContainerPort(key) else { throw DaemonError.invalid("invalid port specification: \"\(key)\"") }
            for binding in bindings {
                var range: PortRange?
                if let text = binding.HostPort, !text.isEmpty, text != "0" {
                    guard let parsed = PortRange(text) else { throw DaemonError.invalid("invalid port specification: \"\(text)\"") }
                    range = parsed
                }
                let (addresses, relayed) = try hostAddresses(binding, port: port, default: chosen, hasIPv4: address4 != nil, hasIPv6: address6 != nil)
                if !addresses.isEmpty { requests.append(.init(port: port, hostAddresses: addresses, range: range, relayed: relayed)) }
            }
        }
        guard container.publishAllPorts else { return requests }
        let exposed = container.exposedPorts.compactMap { ContainerPort($0) }.sorted()
        for port in exposed where container.portBindings[port.description]?.isEmpty ?? true {
            let (addresses, relayed) = try hostAddresses(PortBinding(), port: port, default: chosen, hasIPv4: address4 != nil, hasIPv6: address6 != nil)
            requests.append(.init(port: port, hostAddresses: addresses, range: nil, relayed: relayed))
        }
        return requests
    }

    /// A binding without an address is for every address of the host: 0.0.0.0 and ::. Those of IPv6 are relayed when the container has none.
    private func hostAddresses(_ binding: PortBinding, port: ContainerPort, default chosen: IPAddress, hasIPv4: Bool, hasIPv6: Bool) throws -> ([IPAddress], Set<IPAddress>) {
        let text = binding.HostIp ?? ""
        if text.isEmpty {
            guard chosen == .any4 else { return ([chosen], chosen.family == .v6 && !hasIPv6 ? [chosen] : []) }
            var addresses: [IPAddress] = hasIPv4 ? [.any4] : []
            if hasIPv6 || port.proto == .tcp { addresses.append(.any6) }
            return (addresses, hasIPv6 ? [] : [.any6])
        }
        let bare = text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
        guard let address = IPAddress(bare) else { throw DaemonError.invalid("invalid IP address in port binding of \(port): \"\(text)\"") }
        if address.family == .v6 && (!hasIPv6 || address.isLoopback) {
            guard port.proto == .tcp else { throw DaemonError.unimplemented("publishing \(port) on \(address) for a container without an IPv6 address") }
            return ([address], [address])
        }
        if address.family == .v4 && !hasIPv4 { throw DaemonError.invalid("cannot publish \(port) on \(address): the container has no IPv4 address") }
        return ([address], [])
    }

    /// Reserves the ports on the endpoint that leads out. A container in internal networks only publishes nothing.
    func publishPorts(of container: NetworkContainer, _ state: inout ActiveContainer) throws {
        let (four, six) = Self.outward(state, self)
        guard let index = gatewayEndpoint(state, .v4) ?? gatewayEndpoint(state, .v6), four != nil || six != nil else { return }
        let endpoint = state.endpoints[index]
        let wanted = try portRequests(of: container, address4: four, address6: six, network: networks[endpoint.networkID])
        // Who asks for a certain port gets it before somebody else is given it by chance.
        let requests = wanted.filter { $0.range != nil } + wanted.filter { $0.range == nil }
        do {
            state.publications = try ports.publish(requests)
        } catch {
            let id = endpoint.settings.EndpointID ?? ""
            throw DaemonError.internalError(
                "failed to set up container networking: driver failed programming external connectivity on endpoint \(container.name) (\(id)): \(error.message)")
        }
    }

    /// The container's addresses that published ports lead to.
    static func outward(_ state: ActiveContainer, _ service: isolated NetworkService) -> (IPAddress?, IPAddress?) {
        func address(_ family: IPAddress.Family) -> IPAddress? {
            service.gatewayEndpoint(state, family).flatMap { index in state.endpoints[index].addresses.first { $0.family == family } }
        }
        return (address(.v4), address(.v6))
    }

    /// What the packet filter carries: each pair of addresses of one family. Loopback addresses of IPv6 are left out, the kernel routes them nowhere.
    static func filteredPorts(_ state: ActiveContainer) -> [PublishedPort] {
        let outward = state.endpoints.filter { !$0.plan.gateways.isEmpty }.flatMap(\.addresses)
        return state.publications.flatMap { publication in
            publication.hostAddresses.compactMap { host -> PublishedPort? in
                guard !(host.family == .v6 && host.isLoopback), let target = outward.first(where: { $0.family == host.family }) else { return nil }
                return PublishedPort(
                    proto: publication.port.proto, hostAddress: host, hostPort: publication.hostPort, containerAddress: target, containerPort: publication.port.number)
            }
        }
    }

    /// Relays for what the packet filter cannot carry.
    static func startRelays(_ state: ActiveContainer) -> [PortRelay] {
        let outward = state.endpoints.filter { !$0.plan.gateways.isEmpty }.flatMap(\.addresses)
        return state.publications.flatMap { publication in
            publication.reservations.compactMap { reservation -> PortRelay? in
                guard reservation.address.family == .v6, publication.port.proto == .tcp,
                    let target = outward.first(where: { $0.family == .v4 }), reservation.address.isLoopback || !outward.contains(where: { $0.family == .v6 })
                else { return nil }
                do {
                    return PortRelay(listener: try reservation.duplicate(), to: target, port: publication.port.number)
                } catch {
                    Log.warning("relay of [\(reservation.address)]:\(publication.hostPort): \(error)")
                    return nil
                }
            }
        }
    }

    /// The exact ports that an earlier daemon gave.
    func restoredRequests(_ attachment: NetworkAttachment, _ state: ActiveContainer) -> [PortPublisher.Request] {
        let hasIPv6 = state.endpoints.contains { endpoint in endpoint.addresses.contains { $0.family == .v6 } }
        return attachment.ports.flatMap { key, bindings -> [PortPublisher.Request] in
            guard let port = ContainerPort(key), let bindings else { return [] }
            return Dictionary(grouping: bindings) { $0.HostPort ?? "" }.compactMap { text, bindings in
                guard let range = PortRange(text) else { return nil }
                let addresses = bindings.compactMap { $0.HostIp.flatMap { IPAddress($0) } }
                return .init(port: port, hostAddresses: addresses, range: range, relayed: Set(addresses.filter { $0.family == .v6 && (!hasIPv6 || $0.isLoopback) }))
            }
        }
    }

    /// `NetworkSettings.Ports`.
    static func describePorts(_ container: NetworkContainer, _ state: ActiveContainer) -> [String: [PortBinding]?] {
        var result: [String: [PortBinding]?] = [:]
        for port in container.exposedPorts { result.updateValue(nil, forKey: ContainerPort(port)?.description ?? port) }
        for publication in state.publications {
            let bindings = publication.hostAddresses.map { PortBinding(HostIp: $0.description, HostPort: String(publication.hostPort)) }
            let key = publication.port.description
            result[key] = (result[key].flatMap { $0 } ?? []) + bindings
        }
        return result
    }
}
