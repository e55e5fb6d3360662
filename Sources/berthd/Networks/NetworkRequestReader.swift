import BerthDefaults
import DockerAPI
import Netlink

/// Reads a create request; everything that can be refused without looking at other networks is refused here, in dockerd's words.
enum NetworkRequestReader {
    static func record(from request: NetworkCreateRequest) throws -> NetworkRecord {
        let name = request.Name ?? ""
        if NetworkRecord.predefined.contains(name) || name == "default" || name == "container" {
            throw DaemonError(.permissionDenied, "operation is not permitted on predefined \(name) network ")
        }
        guard !name.isEmpty, name.trimmed() == name, !name.utf8.contains(0) else { throw DaemonError.invalid("invalid name: \(name)") }
        try refuseWhatIsMissing(request)
        var options = request.Options ?? [:]
        let enableIPv4 = try flag(request.EnableIPv4, option: NetworkOption.enableIPv4, in: &options, default: true)
        let enableIPv6 = try flag(request.EnableIPv6, option: NetworkOption.enableIPv6, in: &options, default: false)
        guard enableIPv4 || enableIPv6 else { throw DaemonError.invalid("IPv4 or IPv6 must be enabled") }
        try check(options)
        let pools = try readPools(request.IPAM?.Config ?? [], enableIPv4: enableIPv4, enableIPv6: enableIPv6)
        return NetworkRecord(
            id: Identifier.random(), name: name, driver: .bridge, created: .now(), enableIPv4: enableIPv4, enableIPv6: enableIPv6, ipamOptions: request.IPAM?.Options, pools: pools,
            hasChosenSubnet: !pools.isEmpty, isInternal: request.Internal ?? false, isAttachable: request.Attachable ?? false, options: options, labels: request.Labels ?? [:])
    }

    private static func refuseWhatIsMissing(_ request: NetworkCreateRequest) throws {
        switch request.Driver ?? "" {
        case "", "bridge", "default": break
        case "host": throw DaemonError(.permissionDenied, "only one instance of \"host\" network is allowed")
        case "null": throw DaemonError(.permissionDenied, "only one instance of \"null\" network is allowed")
        case "macvlan", "ipvlan": throw DaemonError.unimplemented("the network driver \(request.Driver ?? "")")
        case "overlay":
            throw DaemonError(.permissionDenied, "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.")
        case let other: throw DaemonError.notFound("could not find plugin \(other) in v1 plugin registry: plugin \"\(other)\" not found")
        }
        switch request.IPAM?.Driver ?? "" {
        case "", "default": break
        case let other: throw DaemonError.notFound("could not find IPAM plugin \(other): plugin \"\(other)\" not found")
        }
        if request.ConfigOnly == true || !(request.ConfigFrom?.Network ?? "").isEmpty { throw DaemonError.unimplemented("a network made of or as a configuration (config-only, config-from)") }
        if request.Ingress == true { throw DaemonError(.permissionDenied, "Ingress network can only be used in swarm mode") }
        switch request.Scope ?? "" {
        case "", "local": break
        case "swarm", "global": throw DaemonError.unimplemented("network scope \(request.Scope ?? "")")
        case let other: throw DaemonError.invalid("invalid network scope: \(other)")
        }
    }

    private static func flag(_ value: Bool?, option: String, in options: inout [String: String], default missing: Bool) throws -> Bool {
        if let value {
            options[option] = nil
            return value
        }
        guard let text = options[option] else { return missing }
        guard let parsed = NetworkOption.boolean(text) else { throw DaemonError.invalid("driver-opt \"\(option)\" is not a valid bool") }
        return parsed
    }

    private static func check(_ options: [String: String]) throws {
        for (name, value) in options {
            switch name {
            case NetworkOption.interContainer, NetworkOption.masquerade, NetworkOption.defaultBridge:
                guard NetworkOption.boolean(value) != nil else { throw DaemonError.invalid("failed to parse \(name) value: \"\(value)\": invalid syntax") }
            case NetworkOption.mtu:
                guard let mtu = Int(value), (0...65535).contains(mtu) else { throw DaemonError.invalid("failed to parse \(name) value: \"\(value)\"") }
            case NetworkOption.bridgeName:
                guard isLinkName(value) else { throw DaemonError.invalid("invalid bridge name: \"\(value)\"") }
            case NetworkOption.hostBinding:
                guard value.isEmpty || IPAddress(value) != nil else { throw DaemonError.invalid("failed to parse \(name) value: \"\(value)\"") }
            case NetworkOption.gatewayMode4, NetworkOption.gatewayMode6:
                guard value.isEmpty || value == "nat" else { throw DaemonError.unimplemented("\(name)=\(value)") }
            case NetworkOption.containerPrefix:
                guard isLinkName(value + "0") else { throw DaemonError.invalid("invalid container interface name prefix: \"\(value)\"") }
            case let other where other.hasPrefix("com.docker.network.bridge."):
                throw DaemonError.unimplemented("the bridge option \(other)")
            default: break
            }
        }
    }

    /// dev_valid_name(): 1 to 15 bytes, no slash, colon or white space, not `.` or `..`.
    static func isLinkName(_ name: String) -> Bool {
        (1...15).contains(name.utf8.count) && name != "." && name != ".." && !name.utf8.contains { $0 == 0x2F || $0 == 0x3A || $0 <= 0x20 || $0 == 0x22 || $0 == 0x7F }
    }

    // MARK: - IPAM

    private static func readPools(_ configs: [IPAMPool], enableIPv4: Bool, enableIPv6: Bool) throws -> [NetworkRecord.Pool] {
        var problems: [String] = []
        var pools: [NetworkRecord.Pool] = []
        for config in configs {
            let text = config.Subnet ?? ""
            if text.isEmpty && (config.Gateway ?? "").isEmpty && (config.IPRange ?? "").isEmpty && (config.AuxiliaryAddresses ?? [:]).isEmpty { continue }
            guard let subnet = IPNetwork(text) else {
                problems.append("invalid subnet \(text): invalid CIDR block notation")
                continue
            }
            // A pool of IPv6 in a network without is kept and shown, and not used.
            if subnet.family == .v4, !enableIPv4 { continue }
            let before = problems.count
            if subnet.masked != subnet { problems.append("invalid subnet \(subnet): it should be \(subnet.masked)") }
            problems += checkRange(config.IPRange, in: subnet)
            if let gateway = config.Gateway, !gateway.isEmpty { problems += checkAddress("gateway", gateway, in: subnet) }
            for (name, address) in (config.AuxiliaryAddresses ?? [:]).sorted(by: { $0.key < $1.key }) { problems += checkAddress("auxiliary address", address, in: subnet, label: name) }
            if problems.count > before { continue }
            let range = config.IPRange.flatMap { $0.isEmpty ? nil : $0 }
            let allocator = AddressAllocator(subnet: subnet, range: range.flatMap { IPNetwork($0) }, reserved: [])
            let gateway = config.Gateway.flatMap { $0.isEmpty ? nil : IPAddress($0) } ?? allocator.firstOfRange
            pools.append(.init(subnet: subnet.description, range: range, gateway: gateway.description, auxiliary: config.AuxiliaryAddresses ?? [:]))
        }
        guard problems.isEmpty else { throw DaemonError.invalid("invalid network config:\n" + problems.joined(separator: "\n")) }
        return pools
    }

    private static func checkRange(_ text: String?, in subnet: IPNetwork) -> [String] {
        guard let text, !text.isEmpty else { return [] }
        guard let range = IPNetwork(text) else { return ["invalid ip-range \(text): invalid CIDR block notation"] }
        guard range.family == subnet.family else { return ["invalid ip-range \(range): parent subnet is an IPv\(subnet.family == .v4 ? 4 : 6) block"] }
        var problems: [String] = []
        if range.prefixLength < subnet.prefixLength { problems.append("invalid ip-range \(range): CIDR block is bigger than its parent subnet \(subnet)") }
        if range.masked != range { problems.append("invalid ip-range \(range): it should be \(range.masked)") }
        if !subnet.contains(range.address) { problems.append("invalid ip-range \(range): parent subnet \(subnet) doesn't contain ip-range") }
        return problems
    }

    private static func checkAddress(_ what: String, _ text: String, in subnet: IPNetwork, label: String? = nil) -> [String] {
        let shown = label ?? text
        guard let address = IPAddress(text) else { return ["invalid \(what) \(shown): invalid address"] }
        guard address.family == subnet.family else { return ["invalid \(what) \(shown): parent subnet is an IPv\(subnet.family == .v4 ? 4 : 6) block"] }
        guard subnet.contains(address) else { return ["invalid \(what) \(shown): parent subnet \(subnet) doesn't contain this address"] }
        return []
    }
}
