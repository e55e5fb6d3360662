import Glibc

/// The subnets of a new network with the ranges, gateways and auxiliary addresses that fall into each.
struct AddressPools {
    private var pools: [(subnet: String, range: String, gateway: String, auxiliary: JSONObject)]

    init(subnets: [String], ranges: [String], gateways: [String], auxiliary: JSONObject) throws {
        if subnets.count < ranges.count || subnets.count < gateways.count {
            throw CommandFailure("every ip-range or gateway must have a corresponding subnet")
        }
        pools = []
        for subnet in subnets {
            for pool in pools where try AddressPools.contains(subnet, pool.subnet) || AddressPools.contains(pool.subnet, subnet) {
                throw CommandFailure("multiple overlapping subnet configuration is not supported")
            }
            pools.append((subnet, "", "", JSONObject()))
        }
        for range in ranges {
            let index = try pools.indices.first { try AddressPools.contains(pools[$0].subnet, range) }
            guard let index else { throw CommandFailure("no matching subnet for range \(range)") }
            let pool = pools[index]
            if !pool.range.isEmpty { throw CommandFailure("cannot configure multiple ranges (\(range), \(pool.range)) on the same subnet (\(pool.subnet))") }
            pools[index].range = range
        }
        for gateway in gateways {
            let index = try pools.indices.first { try AddressPools.contains(pools[$0].subnet, gateway) }
            guard let index else { throw CommandFailure("no matching subnet for gateway \(gateway)") }
            let pool = pools[index]
            if !pool.gateway.isEmpty {
                throw CommandFailure("cannot configure multiple gateways (\(gateway), \(pool.gateway)) for the same subnet (\(pool.subnet))")
            }
            pools[index].gateway = gateway
        }
        for member in auxiliary.members {
            let address = member.value.stringValue ?? ""
            let index = try pools.indices.first { try AddressPools.contains(pools[$0].subnet, address) }
            guard let index else { throw CommandFailure("no matching subnet for aux-address \(address)") }
            pools[index].auxiliary[member.key] = .string(address)
        }
    }

    /// IPAM.Config of the API.
    var json: JSONValue {
        .array(pools.map { pool in
            var object = JSONObject([("Subnet", .string(pool.subnet))])
            if !pool.range.isEmpty { object["IPRange"] = .string(pool.range) }
            if !pool.gateway.isEmpty { object["Gateway"] = .string(pool.gateway) }
            if !pool.auxiliary.isEmpty { object["AuxiliaryAddresses"] = .object(pool.auxiliary) }
            return .object(object)
        })
    }

    /// Whether the address, or the first address of the network `data`, lies in `subnet`.
    private static func contains(_ subnet: String, _ data: String) throws -> Bool {
        let parts = subnet.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, let length = Int(parts[1]), let network = bytes(parts[0]), length >= 0, length <= network.count * 8 else {
            throw CommandFailure("invalid subnet: invalid CIDR address: \(subnet)")
        }
        let address = data.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard let candidate = bytes(address[0]), address.count == 1 || Int(address[1]).map({ (0...candidate.count * 8).contains($0) }) ?? false else {
            if data.contains("/") { throw CommandFailure("invalid CIDR address: \(data)") }
            return false
        }
        guard candidate.count == network.count else { return false }
        return (0..<length).allSatisfy { bit in (network[bit / 8] ^ candidate[bit / 8]) & (0x80 >> UInt8(bit % 8)) == 0 }
    }

    private static func bytes(_ text: String) -> [UInt8]? {
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 { return withUnsafeBytes(of: four) { Array($0) } }
        var six = in6_addr()
        if inet_pton(AF_INET6, text, &six) == 1 { return withUnsafeBytes(of: six) { Array($0) } }
        return nil
    }
}
