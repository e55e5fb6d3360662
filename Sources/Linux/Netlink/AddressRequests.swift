import CLinux
package import LinuxSystem

/// An address of an interface as a dump shows it.
package struct InterfaceAddress: Sendable, Equatable {
    package let linkIndex: Int32
    /// The address with its prefix length; host bits set.
    package let network: IPNetwork
    /// Valid everywhere (RT_SCOPE_UNIVERSE) and given for good (IFA_F_PERMANENT), not learned from a router.
    package let isLasting: Bool

    package init?(_ message: NetlinkMessage) {
        guard Int(message.type) == Int(RTM_NEWADDR), message.body.count >= MemoryLayout<ifaddrmsg>.size else { return nil }
        let attributes = message.attributes(after: MemoryLayout<ifaddrmsg>.size)
        // On a point-to-point link IFA_ADDRESS is the other end; IFA_LOCAL is ours.
        guard let address = attributes[address: .local] ?? attributes[address: .address] else { return nil }
        let prefix = Int(message.body.load(UInt8.self, at: 1))
        guard prefix <= address.family.bitWidth else { return nil }
        network = IPNetwork(address, prefixLength: prefix)
        linkIndex = message.body.load(Int32.self, at: 4)
        let flags = attributes[.addressFlags, as: UInt32.self] ?? UInt32(message.body.load(UInt8.self, at: 2))
        isLasting = message.body.load(UInt8.self, at: 3) == 0 && flags & 0x80 != 0
    }
}

extension NetlinkAttribute {
    static let address = NetlinkAttribute("IFA_ADDRESS", 1)
    static let local = NetlinkAttribute("IFA_LOCAL", 2)
    static let broadcast = NetlinkAttribute("IFA_BROADCAST", 4)
    static let addressFlags = NetlinkAttribute("IFA_FLAGS", 8)
}

/// Requests for the addresses of a link (RTM_NEWADDR, RTM_DELADDR).
package enum AddressRequests {
    /// Gives `network` to a link; nothing happens when it has it already.
    ///
    /// IPv6 addresses are usable at once: engines hand out addresses themselves, so duplicate address detection would only cost its second.
    package static func set(_ network: IPNetwork, on index: Int32, named name: String) -> NetlinkRequest {
        request("RTM_NEWADDR", Int(RTM_NEWADDR), flags: Int(NLM_F_CREATE | NLM_F_REPLACE), network, index, name)
    }

    package static func delete(_ network: IPNetwork, on index: Int32, named name: String) -> NetlinkRequest {
        request("RTM_DELADDR", Int(RTM_DELADDR), flags: 0, network, index, name)
    }

    private static func request(_ call: StaticString, _ type: Int, flags: Int, _ network: IPNetwork, _ index: Int32, _ name: String) -> NetlinkRequest {
        var header = ifaddrmsg()
        header.ifa_family = network.family.rawValue
        header.ifa_prefixlen = UInt8(network.prefixLength)
        header.ifa_index = UInt32(bitPattern: index)
        var request = NetlinkRequest(call, type, flags: flags, on: "address \(network) of link \(name)", header: header)
        request.append(.local, bytes: network.address.bytes)
        request.append(.address, bytes: network.address.bytes)
        switch network.family {
        case .v4: if network.prefixLength < 31 { request.append(.broadcast, bytes: network.last.bytes) }
        case .v6: request.append(.addressFlags, UInt32(2))  // IFA_F_NODAD
        }
        return request
    }

    package static func dump() -> NetlinkRequest { NetlinkRequest("RTM_GETADDR", Int(RTM_GETADDR), on: "all addresses", header: ifaddrmsg()) }
}

extension RouteConnection {
    package func addresses() throws(SystemError) -> [InterfaceAddress] { try dump(AddressRequests.dump()).compactMap { InterfaceAddress($0) } }
}
