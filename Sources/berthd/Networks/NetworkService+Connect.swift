import BerthDefaults
import DockerAPI
import LinuxSystem
import Netlink

/// `network connect` and `network disconnect`: of stopped containers a change of their record, of running ones a change of their interfaces as well.
extension NetworkService {
    private typealias Found = (container: NetworkContainer, attachment: NetworkAttachment, pid: Int32)

    // MARK: - Connect

    func connect(network term: String, container name: String, settings: EndpointSettings?) async throws {
        let record = try find(term)
        var found = try container(name)
        let settings = (settings ?? EndpointSettings()).asRequested
        try checkJoin(record, found.container, settings)
        if found.container.endpoints[record.name] != nil, found.pid != 0 {
            throw DaemonError(.permissionDenied, "endpoint with name \(found.container.name) already exists in network \(record.name)")
        }
        found.container.endpoints[record.name] = settings
        if found.pid != 0 {
            try await join(record, settings, &found)
        }
        do {
            try await lookup?.update(found.container.id, endpoints: found.container.endpoints, attachment: found.attachment)
        } catch {
            if found.pid != 0 { _ = try? await leave(record, &found) }
            throw error
        }
        if found.pid != 0 { publish("connect", record, container: found.container.id) }
    }

    private func checkJoin(_ record: NetworkRecord, _ container: NetworkContainer, _ settings: EndpointSettings) throws {
        let mode = mode(of: container)
        if record.driver == .host { throw DaemonError.invalid("cannot connect container to host network - container must be created in host network mode") }
        if mode == "host" || mode.hasPrefix("container:") {
            throw DaemonError.invalid("container sharing network namespace with another container or host cannot be connected to any other network")
        }
        if record.driver == .null || (container.endpoints["none"] != nil && record.name != "none") {
            throw DaemonError.invalid("container cannot be connected to multiple networks with one of the networks in private (none) mode")
        }
        try EndpointValidator.check(settings, in: record)
    }

    /// Gives a running container one more interface.
    private func join(_ record: NetworkRecord, _ settings: EndpointSettings, _ found: inout Found) async throws {
        guard active[found.container.id] != nil else { throw DaemonError.conflict("container \(found.container.name) is not running") }
        let pid = found.pid
        let present = try await blocking { () throws(SystemError) in
            try NetworkNamespace(of: pid).perform { () throws(SystemError) in try RouteConnection().links().map(\.name) }
        }
        let endpoint = try makeEndpoint(record, settings, container: found.container, interfaces: present)
        guard var state = active[found.container.id] else {
            giveBack(endpoint)
            throw DaemonError.conflict("container \(found.container.name) is not running")
        }
        let before = state
        state.endpoints.append(endpoint)
        chooseGateways(&state)
        // The first network that leads out brings the published ports along.
        if state.publications.isEmpty {
            do { try publishPorts(of: found.container, &state) } catch {
                giveBack(endpoint)
                throw error
            }
        }
        let needsResolver = record.isUserDefined && state.resolver == nil
        let plan = state.endpoints[state.endpoints.count - 1].plan
        do {
            let sockets = try await blocking { () throws(SystemError) -> ResolverSockets? in
                try EndpointSetup.attach([plan], to: NetworkNamespace(of: pid), isFresh: false, opensResolver: needsResolver)
            }
            if let sockets { state.resolver = try await ContainerResolver.start(sockets, source: source(for: state)) }
            try await settle(&state, before: before, pid: pid)
        } catch {
            giveBack(endpoint)
            if before.publications.isEmpty { ports.release(state.publications) }
            try? await blocking { () throws(SystemError) in try EndpointSetup.detach(hostInterfaces: [plan.hostInterface]) }
            throw error
        }
        names.add(endpoint.names, addresses: endpoint.addresses, network: record.id)
        found.attachment.endpoints[record.name] = endpoint.settings
        found.attachment.ports = Self.describePorts(found.container, state)
        (found.attachment.hostsFile, found.attachment.resolvConf) = try texts(found.container, state)
    }

    /// Brings default routes, published ports and the resolver to what `state` says, and makes it the container's state.
    private func settle(_ state: inout ActiveContainer, before: ActiveContainer, pid: Int32) async throws {
        let resolution = resolution(of: state)
        state.resolver?.source.update(networks: resolution.networks, upstream: resolution.upstream, links: links(of: state))
        for endpoint in state.endpoints {
            let old = before.endpoints.first { $0.networkID == endpoint.networkID }?.plan.gateways ?? []
            let new = endpoint.plan.gateways.filter { !old.contains($0) }
            if !new.isEmpty && !(before.endpoints.allSatisfy { $0.networkID != endpoint.networkID }) {
                let interface = endpoint.plan.interface
                try await blocking { () throws(SystemError) in try EndpointSetup.setDefaultRoutes(new, through: interface, in: NetworkNamespace(of: pid)) }
            }
        }
        let filtered = Self.filteredPorts(state)
        if Set(filtered) != Set(state.filtered) {
            try await filter.apply(.unpublish(state.filtered))
            try await filter.apply(.publish(filtered))
            state.filtered = filtered
            for relay in state.relays { await relay.close() }
            state.relays = Self.startRelays(state)
        }
        active[state.id] = state
    }

    // MARK: - Disconnect

    func disconnect(network term: String, container name: String, force: Bool) async throws {
        let record: NetworkRecord
        do {
            record = try find(term)
        } catch {
            // A network that is gone may still stand in a container's record.
            guard force else { throw error }
            var found = try container(name)
            guard found.container.endpoints.removeValue(forKey: term) != nil else { throw error }
            found.attachment.endpoints[term] = nil
            try await lookup?.update(found.container.id, endpoints: found.container.endpoints, attachment: found.attachment)
            return
        }
        var found = try container(name)
        if record.driver == .host { throw DaemonError.invalid("cannot disconnect container from host network - container was created in host network mode") }
        guard found.container.endpoints.removeValue(forKey: record.name) != nil || found.attachment.endpoints[record.name] != nil else {
            throw DaemonError(.permissionDenied, "container \(found.container.id) is not connected to network \(record.name)")
        }
        var left = false
        if found.pid != 0 { left = try await leave(record, &found) }
        found.attachment.endpoints[record.name] = nil
        try await lookup?.update(found.container.id, endpoints: found.container.endpoints, attachment: found.attachment)
        if left { publish("disconnect", record, container: found.container.id) }
    }

    /// Takes a running container's interface away.
    private func leave(_ record: NetworkRecord, _ found: inout Found) async throws -> Bool {
        guard var state = active[found.container.id], let index = state.endpoints.firstIndex(where: { $0.networkID == record.id }) else { return false }
        let before = state
        let endpoint = state.endpoints.remove(at: index)
        let interface = endpoint.plan.hostInterface
        names.remove(endpoint.names, addresses: endpoint.addresses, network: record.id)
        try await blocking { () throws(SystemError) in try EndpointSetup.detach(hostInterfaces: [interface]) }
        giveBack(endpoint)
        chooseGateways(&state)
        try await settle(&state, before: before, pid: found.pid)
        found.attachment.endpoints[record.name] = nil
        (found.attachment.hostsFile, found.attachment.resolvConf) = try texts(found.container, state)
        if state.filtered.isEmpty { found.attachment.ports = Self.describePorts(found.container, ActiveContainer(id: state.id, name: state.name)) }
        return true
    }

    private func container(_ name: String) throws -> Found {
        guard !name.isEmpty else { throw DaemonError.invalid("invalid name or ID supplied: \"\"") }
        guard let lookup else { throw DaemonError.notFound("No such container: \(name)") }
        return try lookup.networkContainer(name)
    }
}
