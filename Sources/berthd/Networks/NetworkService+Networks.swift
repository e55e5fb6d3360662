import BerthDefaults
import DockerAPI
import LinuxSystem
import Netlink

/// Creating, listing and removing networks.
extension NetworkService {
    // MARK: - Create

    /// - Returns: the ID.
    /// - Throws: `DaemonError` with dockerd's status and text; nothing is left of a failed create.
    func create(_ request: NetworkCreateRequest) async throws -> String {
        var request = request
        if ["", "bridge", "default"].contains(request.Driver ?? "") { request.Options = configuration.defaultOptions.merging(request.Options ?? [:]) { $1 } }
        var record = try NetworkRequestReader.record(from: request)
        guard network(named: record.name) == nil, reservedNames.insert(record.name).inserted else {
            throw DaemonError.conflict("network with name \(record.name) already exists")
        }
        defer { reservedNames.remove(record.name) }
        try await settlePools(&record, request: request)
        if networks.values.contains(where: { $0.driver == .bridge && $0.linkName == record.linkName }) {
            throw DaemonError(.permissionDenied, "cannot create network \(record.id) (\(record.linkName)): conflicts with another network: a network with bridge name \(record.linkName) exists")
        }
        // From here on the subnet is taken for everybody else.
        adopt(record)
        do {
            try await raiseBridge(of: record)
            try await store.insert([record])
        } catch {
            forget(record)
            try? await lowerBridge(of: record)
            throw error
        }
        publish("create", record)
        return record.id
    }

    /// Chooses subnets where the user named none, and checks the others against all networks.
    private func settlePools(_ record: inout NetworkRecord, request: NetworkCreateRequest) async throws {
        for family in IPAddress.Family.allCases where family == .v4 ? record.enableIPv4 : record.enableIPv6 {
            guard !record.pools.contains(where: { IPNetwork($0.subnet)?.family == family }) else { continue }
            record.pools.append(pool(for: try await freeSubnet(family: family)))
        }
        let others = networks.values.flatMap(\.subnets)
        for (index, subnet) in record.subnets.enumerated() {
            guard !others.contains(where: { $0.overlaps(subnet) }), !record.subnets[..<index].contains(where: { $0.overlaps(subnet) }) else {
                throw DaemonError(.permissionDenied, "invalid pool request: Pool overlaps with other one on this address space")
            }
        }
    }

    func forget(_ record: NetworkRecord) {
        networks[record.id] = nil
        allocators[record.id] = nil
    }

    // MARK: - Remove

    /// - Throws: `.notFound`; `.permissionDenied` for predefined networks and for those with running containers.
    func remove(_ term: String) async throws {
        let record = try find(term)
        guard !record.isPredefined else { throw DaemonError(.permissionDenied, "\(record.name) is a pre-defined network and cannot be removed") }
        await lookup?.settle(activeContainers(of: record).map(\.container.id))
        let users = activeContainers(of: record).map { "name:\"\($0.container.name)\" id:\"\(($0.endpoint.settings.EndpointID ?? "").prefix(12))\"" }
        guard users.isEmpty else {
            throw DaemonError(.permissionDenied, "error while removing network: network \(record.name) has active endpoints (\(users.sorted().joined(separator: ", ")))")
        }
        forget(record)
        do {
            try await store.delete(id: record.id)
        } catch {
            adopt(record)
            throw error
        }
        do { try await lowerBridge(of: record) } catch { Log.warning("network \(record.name): \(error)") }
        publish("destroy", record)
    }

    /// Removes every user-defined network that no container uses, running or not.
    ///
    /// - Returns: the names of the removed.
    func prune(_ filters: ListFilters) async throws -> [String] {
        let until = try filters.until()
        var removed: [String] = []
        for record in networks.values.sorted(by: { $0.name < $1.name }) where !record.isPredefined && filters.matchesLabels(record.labels) {
            if let until, record.created >= until { continue }
            guard activeContainers(of: record).isEmpty, lookup?.containers(usingNetwork: record.name).isEmpty ?? true else { continue }
            do {
                try await remove(record.id)
                removed.append(record.name)
            } catch {
                Log.warning("cannot prune network \(record.name): \(error)")
            }
        }
        events.publish(type: "network", action: "prune", id: "", attributes: ["reclaimed": "0"])
        return removed
    }

    // MARK: - List and inspect

    static let listFilters: Set<String> = ["dangling", "driver", "id", "label", "label!", "name", "scope", "type"]

    func list(_ filters: ListFilters) throws -> [NetworkInspect] {
        let dangling = try filters.boolean("dangling")
        for type in filters["type"] where type != "custom" && type != "builtin" {
            throw DaemonError.invalid("invalid filter: 'type'='\(type)'")
        }
        return networks.values.sorted { ($0.created, $0.name) < ($1.created, $1.name) }.filter { record in
            if let dangling {
                let isUnused = !record.isPredefined && (lookup?.containers(usingNetwork: record.name).isEmpty ?? true)
                if dangling != isUnused { return false }
            }
            return filters.matchesPattern("name", record.name) && filters.matches("id") { record.id.hasPrefix($0) }
                && filters.matchesExactly("driver", record.driver.rawValue) && filters.matchesExactly("scope", "local") && filters.matchesLabels(record.labels)
                && filters.matches("type") { ($0 == "builtin") == record.isPredefined }
        }.map { describe($0, withContainers: false) }
    }

    func inspect(_ term: String, scope: String?) throws -> NetworkInspect {
        if let scope, !scope.isEmpty, scope != "local" { throw DaemonError.notFound("network \(term) not found") }
        return describe(try find(term), withContainers: true)
    }

    func activeContainers(of record: NetworkRecord) -> [(container: ActiveContainer, endpoint: ActiveEndpoint)] {
        active.values.flatMap { container in container.endpoints.filter { $0.networkID == record.id }.map { (container, $0) } }
    }

    private func describe(_ record: NetworkRecord, withContainers: Bool) -> NetworkInspect {
        var answer = NetworkInspect()
        answer.Name = record.name
        answer.Id = record.id
        answer.Created = record.created.rfc3339
        answer.Scope = "local"
        answer.Driver = record.driver.rawValue
        answer.EnableIPv4 = record.enableIPv4
        answer.EnableIPv6 = record.enableIPv6
        answer.IPAM = describeIPAM(record)
        answer.Internal = record.isInternal
        answer.Attachable = record.isAttachable
        answer.Ingress = false
        answer.ConfigFrom = ConfigReference(Network: "")
        answer.ConfigOnly = false
        answer.Options = record.options
        answer.Labels = record.labels
        var containers: [String: NetworkInspect.Endpoint] = [:]
        if withContainers {
            for (container, endpoint) in activeContainers(of: record) {
                var item = NetworkInspect.Endpoint()
                item.Name = container.name
                item.EndpointID = endpoint.settings.EndpointID
                item.MacAddress = endpoint.settings.MacAddress
                item.IPv4Address = endpoint.plan.addresses.first { $0.family == .v4 }?.description ?? ""
                item.IPv6Address = endpoint.plan.addresses.first { $0.family == .v6 }?.description ?? ""
                containers[container.id] = item
            }
            // Containers in host mode and without a network have no endpoint of ours, but belong to these networks.
            if record.driver != .bridge {
                for user in lookup?.containers(usingNetwork: record.name) ?? [] where user.pid != 0 {
                    var item = NetworkInspect.Endpoint()
                    item.Name = user.container.name
                    item.EndpointID = user.attachment.endpoints[record.name]?.EndpointID ?? ""
                    item.MacAddress = ""
                    item.IPv4Address = ""
                    item.IPv6Address = ""
                    containers[user.container.id] = item
                }
            }
        }
        answer.Containers = containers
        return answer
    }

    private func describeIPAM(_ record: NetworkRecord) -> IPAMConfiguration {
        var ipam = IPAMConfiguration()
        ipam.Driver = "default"
        ipam.Options = record.ipamOptions
        ipam.Config = record.driver == .bridge ? record.pools.map { pool in
            var item = IPAMPool()
            item.Subnet = pool.subnet
            item.IPRange = pool.range
            item.Gateway = pool.gateway
            item.AuxiliaryAddresses = pool.auxiliary.isEmpty ? nil : pool.auxiliary
            return item
        } : nil
        return ipam
    }

    // MARK: - Events

    func publish(_ action: String, _ record: NetworkRecord, container: String? = nil) {
        var attributes = ["name": record.name, "type": record.driver.rawValue]
        attributes["container"] = container
        events.publish(type: "network", action: action, id: record.id, attributes: attributes)
    }
}
