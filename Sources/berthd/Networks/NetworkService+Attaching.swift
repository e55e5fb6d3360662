import DockerAPI
import LinuxSystem
import Netlink

/// What the container services ask of networks; see the protocol for when each is called.
extension NetworkService: NetworkAttaching {
    // MARK: - Validate

    func validate(_ container: NetworkContainer) async throws -> [String: EndpointSettings] {
        _ = try HostsFile.extraHosts(container.extraHosts, hostGateway: [.loopback4])
        for server in container.dns where IPAddress(server) == nil { throw DaemonError.invalid("bad parameter: \(server) is not a valid IP address") }
        _ = try portRequests(of: container, address4: .any4, address6: nil, network: nil)
        let mode = mode(of: container)
        if mode.hasPrefix("container:") { return [:] }
        var result: [String: EndpointSettings] = [:]
        for (name, settings) in container.endpoints {
            // A network that is not there yet is asked for again at the start, as for dockerd.
            guard let record = try? find(Self.normalized(name)) else {
                result[name] = settings.asRequested
                continue
            }
            try EndpointValidator.check(settings, in: record)
            result[record.name] = settings.asRequested
        }
        // Networks that the request names stand for themselves: the mode's is only joined where it names none, as in dockerd.
        if result.isEmpty || mode == "none" || mode == "host" {
            let own = (try? find(mode))?.name ?? mode
            if result[own] == nil { result[own] = EndpointSettings() }
        }
        try EndpointValidator.check(combination: result.keys.compactMap { network(named: $0) })
        return result
    }

    static func normalized(_ mode: String) -> String { mode == "default" || mode.isEmpty ? "bridge" : mode }

    /// Without a default bridge (`--bridge none`) its containers have no network.
    func mode(of container: NetworkContainer) -> String {
        let mode = Self.normalized(container.networkMode)
        return mode == "bridge" && network(named: mode) == nil ? "none" : mode
    }

    // MARK: - Prepare

    func prepare(_ container: NetworkContainer) async throws -> NetworkAttachment {
        if active[container.id] != nil { await release(container.id) }
        let mode = mode(of: container)
        if mode.hasPrefix("container:") { return NetworkAttachment() }
        var attachment = NetworkAttachment(sandboxID: Identifier.random())
        if mode == "host" || mode == "none" { return try withoutBridge(container, mode: mode, attachment) }
        var state = ActiveContainer(id: container.id, name: container.name)
        do {
            for (record, settings) in try order(container) {
                try EndpointValidator.check(settings, in: record)
                state.endpoints.append(try makeEndpoint(record, settings, container: container, interfaces: state.endpoints.map(\.plan.interface)))
            }
            chooseGateways(&state)
            try publishPorts(of: container, &state)
        } catch {
            giveBack(state)
            throw error
        }
        state.upstream = upstream(of: container)
        for endpoint in state.endpoints { attachment.endpoints[endpoint.networkName] = endpoint.settings }
        attachment.ports = Self.describePorts(container, state)
        do {
            (attachment.hostsFile, attachment.resolvConf) = try texts(container, state)
        } catch {
            giveBack(state)
            throw error
        }
        active[container.id] = state
        return attachment
    }

    /// `host` and `none`: an endpoint in name only.
    private func withoutBridge(_ container: NetworkContainer, mode: String, _ attachment: NetworkAttachment) throws -> NetworkAttachment {
        var attachment = attachment
        let record = try find(mode)
        var settings = container.endpoints[record.name] ?? EndpointSettings()
        settings.NetworkID = record.id
        settings.EndpointID = Identifier.random()
        attachment.endpoints[record.name] = settings.filled
        let extra = try HostsFile.extraHosts(container.extraHosts, hostGateway: hostGateway)
        let wanted = hostResolvConf(for: container)
        if mode == "none" {
            attachment.hostsFile = HostsFile.text(extra: extra, own: [])
            attachment.resolvConf = wanted.reachable.text
        } else {
            attachment.resolvConf = wanted.text
            attachment.hostsFile = ((try? Files.readText("/etc/hosts")) ?? "") + HostsFile.lines(extra)
        }
        return attachment
    }

    /// The network of the mode first, so that it is eth0; the others by name.
    private func order(_ container: NetworkContainer) throws -> [(NetworkRecord, EndpointSettings)] {
        let mode = mode(of: container)
        var result: [(NetworkRecord, EndpointSettings)] = []
        var taken: Set<String> = []
        let own = container.endpoints.isEmpty ? try find(mode) : try? find(mode)
        if let own, let settings = container.endpoints[own.name] ?? container.endpoints[mode] ?? (container.endpoints.isEmpty ? EndpointSettings() : nil) {
            result.append((own, settings))
            taken = [own.name, mode]
        }
        for (name, settings) in container.endpoints.sorted(by: { $0.key < $1.key }) where !taken.contains(name) {
            // A network that was removed since is an error of the start, as for dockerd.
            result.append((try find(name), settings))
        }
        return result
    }

    // MARK: - Connect

    func makeSandbox(_ container: NetworkContainer) async throws -> NetworkSandbox? {
        let mode = mode(of: container)
        if mode.hasPrefix("container:") || mode == "host" { return nil }
        return try await blocking { () throws(SystemError) in try NetworkSandbox() }
    }

    func connect(_ container: NetworkContainer, attachment: NetworkAttachment, sandbox: NetworkSandbox?) async throws -> NetworkAttachment {
        guard let sandbox else { return attachment }
        guard var state = active[container.id] else {
            // `none`: nothing but lo.
            try await blocking { () throws(SystemError) in
                _ = try EndpointSetup.attach([], to: sandbox.namespace, isFresh: true, opensResolver: false)
            }
            return attachment
        }
        let plans = state.endpoints.map(\.plan)
        let needsResolver = state.endpoints.contains { network(named: $0.networkName)?.isUserDefined == true }
        let filtered = Self.filteredPorts(state)
        async let rules: Void = filtered.isEmpty ? () : filter.apply(.publish(filtered))
        let sockets: ResolverSockets?
        do {
            sockets = try await blocking { () throws(SystemError) -> ResolverSockets? in
                try EndpointSetup.attach(plans, to: sandbox.namespace, isFresh: true, opensResolver: needsResolver)
            }
        } catch {
            // `release` takes the rules back, so it has to know of them.
            active[container.id]?.filtered = filtered
            try? await rules
            throw error
        }
        state.filtered = filtered
        active[container.id] = state
        if let sockets {
            state.resolver = try await ContainerResolver.start(sockets, source: source(for: state))
            active[container.id] = state
        }
        try await rules
        state.relays = Self.startRelays(state)
        active[container.id] = state
        for endpoint in state.endpoints {
            names.add(endpoint.names, addresses: endpoint.addresses, network: endpoint.networkID)
            if let record = networks[endpoint.networkID] { publish("connect", record, container: container.id) }
        }
        return attachment
    }

    // MARK: - Release

    func release(_ containerID: String) async {
        guard let state = active.removeValue(forKey: containerID) else { return }
        for endpoint in state.endpoints { names.remove(endpoint.names, addresses: endpoint.addresses, network: endpoint.networkID) }
        for relay in state.relays { await relay.close() }
        // The sockets keep the namespace alive: without them it dies, and with it the veth.
        await state.resolver?.close()
        if !state.filtered.isEmpty {
            do { try await filter.apply(.unpublish(state.filtered)) } catch { Log.error("container \(containerID): \(error)") }
        }
        giveBack(state)
        for endpoint in state.endpoints { if let record = networks[endpoint.networkID] { publish("disconnect", record, container: containerID) } }
    }

    /// Addresses and ports only.
    func giveBack(_ state: ActiveContainer) {
        ports.release(state.publications)
        for endpoint in state.endpoints { giveBack(endpoint) }
    }

    func giveBack(_ endpoint: ActiveEndpoint) {
        for address in endpoint.addresses { releaseAddress(address, network: endpoint.networkID) }
    }

    // MARK: - Rename

    func rename(_ containerID: String, to name: String) {
        guard var state = active[containerID] else { return }
        let old = state.name
        state.name = name
        for index in state.endpoints.indices where !state.endpoints[index].names.isEmpty {
            let endpoint = state.endpoints[index]
            names.remove(endpoint.names, addresses: endpoint.addresses, network: endpoint.networkID)
            state.endpoints[index].names = endpoint.names.map { $0 == old ? name : $0 }
            state.endpoints[index].settings.DNSNames = state.endpoints[index].names
            names.add(state.endpoints[index].names, addresses: endpoint.addresses, network: endpoint.networkID)
        }
        active[containerID] = state
    }

    // MARK: - Restore

    func restore(_ running: [(container: NetworkContainer, attachment: NetworkAttachment, pid: Int32)]) async throws {
        var unresolved: [(String, Int32)] = []
        for (container, attachment, pid) in running {
            let mode = mode(of: container)
            if mode == "host" || mode == "none" || mode.hasPrefix("container:") { continue }
            var state = ActiveContainer(id: container.id, name: container.name)
            for (name, settings) in attachment.endpoints.sorted(by: { $0.key < $1.key }) {
                guard let record = network(named: name), record.driver == .bridge else { continue }
                do {
                    state.endpoints.append(try makeEndpoint(record, settings, container: container, interfaces: [], restored: true))
                } catch {
                    Log.warning("container \(container.name): its address in network \(name) cannot be reserved again: \(error)")
                }
            }
            chooseGateways(&state)
            do {
                state.publications = try ports.publish(restoredRequests(attachment, state), tolerant: true)
            } catch {
                Log.warning("container \(container.name): \(error.message)")
            }
            state.upstream = upstream(of: container)
            state.filtered = Self.filteredPorts(state)
            state.relays = Self.startRelays(state)
            for endpoint in state.endpoints { names.add(endpoint.names, addresses: endpoint.addresses, network: endpoint.networkID) }
            active[container.id] = state
            if state.endpoints.contains(where: { networks[$0.networkID]?.isUserDefined == true }) { unresolved.append((container.id, pid)) }
            // The table is not written yet: this only fills the model.
            try await filter.apply(.publish(state.filtered))
        }
        try await filter.reinstall()
        let bridges = networks.values.filter { $0.driver == .bridge }.map(\.linkName)
        let known = Set(active.values.flatMap { $0.endpoints.map(\.plan.hostInterface) })
        try await blocking { () throws(SystemError) in try BridgeDriver.removeStrayPorts(of: bridges, except: known) }
        for (id, pid) in unresolved { await reopenResolver(of: id, pid: pid) }
    }

    private func reopenResolver(of id: String, pid: Int32) async {
        guard let state = active[id] else { return }
        do {
            let sockets = try await blocking { () throws(SystemError) in
                try NetworkNamespace(of: pid).perform { () throws(SystemError) in try ResolverSockets.open() }
            }
            let resolver = try await ContainerResolver.start(sockets, source: source(for: state))
            if active[id] == nil { await resolver.close() } else { active[id]?.resolver = resolver }
        } catch {
            Log.warning("container \(state.name): names do not resolve until it starts again: \(error)")
        }
    }
}
