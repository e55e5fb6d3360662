import CLinux
import LinuxSystem

/// A network interface as a dump shows it.
package struct Link: Sendable, Equatable {
    package let index: Int32
    package let name: String
    /// "bridge", "veth", "dummy"…; nil for a physical one and lo.
    package let kind: String?
    /// The bridge it is a port of.
    package let masterIndex: Int32?
    package let mtu: UInt32
    package let mac: MACAddress?
    /// IFF_UP: what the administrator asked for, not the carrier.
    package let isUp: Bool
    /// The peer's index for a veth, in the peer's namespace.
    package let peerIndex: Int32?

    /// Reads an RTM_NEWLINK message; nil for another type or a message without a name.
    package init?(_ message: NetlinkMessage) {
        guard Int(message.type) == Int(RTM_NEWLINK), message.body.count >= MemoryLayout<ifinfomsg>.size else { return nil }
        let attributes = message.attributes(after: MemoryLayout<ifinfomsg>.size)
        guard let name = attributes[text: .linkName] else { return nil }
        self.name = name
        index = message.body.load(Int32.self, at: 4)
        isUp = message.body.load(UInt32.self, at: 8) & 1 != 0
        kind = attributes[nested: .linkInfo]?[text: .linkKind]
        masterIndex = attributes[.linkMaster, as: Int32.self]
        mtu = attributes[.linkMTU, as: UInt32.self] ?? 0
        mac = attributes[bytes: .linkAddress].flatMap { MACAddress(bytes: $0) }
        peerIndex = attributes[.linkPeer, as: Int32.self]
    }
}

extension NetlinkAttribute {
    static let linkAddress = NetlinkAttribute("IFLA_ADDRESS", 1)
    static let linkName = NetlinkAttribute("IFLA_IFNAME", 3)
    static let linkMTU = NetlinkAttribute("IFLA_MTU", 4)
    static let linkPeer = NetlinkAttribute("IFLA_LINK", 5)
    static let linkMaster = NetlinkAttribute("IFLA_MASTER", 10)
    static let portKind = NetlinkAttribute("IFLA_INFO_SLAVE_KIND", 4)
    static let portInfo = NetlinkAttribute("IFLA_INFO_SLAVE_DATA", 5)
    static let portHairpin = NetlinkAttribute("IFLA_BRPORT_MODE", 4)
    static let portIsolated = NetlinkAttribute("IFLA_BRPORT_ISOLATED", 33)
    static let linkInfo = NetlinkAttribute("IFLA_LINKINFO", 18)
    static let linkAFSpec = NetlinkAttribute("IFLA_AF_SPEC", 26)
    static let linkNamespace = NetlinkAttribute("IFLA_NET_NS_FD", 28)
    static let linkKind = NetlinkAttribute("IFLA_INFO_KIND", 1)
    static let linkData = NetlinkAttribute("IFLA_INFO_DATA", 2)
    static let vethPeer = NetlinkAttribute("VETH_INFO_PEER", 1)
    static let afInet6 = NetlinkAttribute("AF_INET6", 10)
    static let addressGeneration = NetlinkAttribute("IFLA_INET6_ADDR_GEN_MODE", 8)
}
