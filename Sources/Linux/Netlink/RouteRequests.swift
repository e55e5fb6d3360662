import CLinux
package import LinuxSystem

/// A unicast route as a dump shows it.
package struct Route: Sendable, Equatable {
    /// 0.0.0.0/0 or ::/0 for the default route.
    package let destination: IPNetwork
    package let gateway: IPAddress?
    package let linkIndex: Int32?
    /// RT_TABLE_MAIN (254), RT_TABLE_LOCAL (255)…
    package let table: UInt32

    package var isDefault: Bool { destination.prefixLength == 0 }

    package init?(_ message: NetlinkMessage) {
        guard Int(message.type) == Int(RTM_NEWROUTE), message.body.count >= MemoryLayout<rtmsg>.size,
            let family = IPAddress.Family(rawValue: message.body.load(UInt8.self, at: 0)), message.body.load(UInt8.self, at: 7) == UInt8(RTN_UNICAST)
        else { return nil }
        let attributes = message.attributes(after: MemoryLayout<rtmsg>.size)
        let prefix = Int(message.body.load(UInt8.self, at: 1))
        guard prefix <= family.bitWidth else { return nil }
        destination = IPNetwork(attributes[address: .destination] ?? IPAddress(0, family: family), prefixLength: prefix)
        gateway = attributes[address: .gateway]
        linkIndex = attributes[.outputLink, as: Int32.self]
        table = attributes[.table, as: UInt32.self] ?? UInt32(message.body.load(UInt8.self, at: 4))
    }
}

extension NetlinkAttribute {
    static let destination = NetlinkAttribute("RTA_DST", 1)
    static let outputLink = NetlinkAttribute("RTA_OIF", 4)
    static let gateway = NetlinkAttribute("RTA_GATEWAY", 5)
    static let priority = NetlinkAttribute("RTA_PRIORITY", 6)
    static let table = NetlinkAttribute("RTA_TABLE", 15)
}

/// Requests for the main routing table (RTM_NEWROUTE, RTM_DELROUTE).
package enum RouteRequests {
    /// Sends `destination` to `gateway`, which must be reachable through the link, or directly to the link when there is no gateway. Replaces the route if it is there.
    package static func set(_ destination: IPNetwork, gateway: IPAddress?, through index: Int32, named name: String, metric: UInt32? = nil) -> NetlinkRequest {
        request("RTM_NEWROUTE", Int(RTM_NEWROUTE), flags: Int(NLM_F_CREATE | NLM_F_REPLACE), destination, gateway, index, name, metric)
    }

    package static func delete(_ destination: IPNetwork, gateway: IPAddress?, through index: Int32, named name: String) -> NetlinkRequest {
        request("RTM_DELROUTE", Int(RTM_DELROUTE), flags: 0, destination, gateway, index, name, nil)
    }

    private static func request(
        _ call: StaticString, _ type: Int, flags: Int, _ destination: IPNetwork, _ gateway: IPAddress?, _ index: Int32, _ name: String, _ metric: UInt32?
    ) -> NetlinkRequest {
        var header = rtmsg()
        header.rtm_family = destination.family.rawValue
        header.rtm_dst_len = UInt8(destination.prefixLength)
        header.rtm_table = 254  // RT_TABLE_MAIN
        header.rtm_protocol = UInt8(RTPROT_BOOT)
        header.rtm_scope = 0  // RT_SCOPE_UNIVERSE
        if gateway == nil && destination.family == .v4 { header.rtm_scope = 253 }  // RT_SCOPE_LINK
        header.rtm_type = UInt8(RTN_UNICAST)
        let via = gateway.map { " via \($0)" } ?? ""
        var request = NetlinkRequest(call, type, flags: flags, on: "route \(destination)\(via) through link \(name)", header: header)
        if destination.prefixLength > 0 { request.append(.destination, bytes: destination.base.bytes) }
        if let gateway { request.append(.gateway, bytes: gateway.bytes) }
        request.append(.outputLink, index)
        if let metric { request.append(.priority, metric) }
        return request
    }

    package static func dump() -> NetlinkRequest { NetlinkRequest("RTM_GETROUTE", Int(RTM_GETROUTE), on: "all routes", header: rtmsg()) }
}

extension RouteConnection {
    /// All unicast routes of both families, in every table.
    package func routes() throws(SystemError) -> [Route] { try dump(RouteRequests.dump()).compactMap { Route($0) } }
}
