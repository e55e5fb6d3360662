import CLinux
package import LinuxSystem

/// Requests that create, change and remove links (rtnetlink(7), RTM_NEWLINK and RTM_DELLINK).
package enum LinkRequests {
    /// Longest name of a link: IFNAMSIZ without the NUL.
    package static let maximumNameLength = 15

    private static func header(index: Int32 = 0, up: Bool? = nil) -> ifinfomsg {
        var header = ifinfomsg()
        header.ifi_index = index
        if let up {
            header.ifi_change = 1  // IFF_UP
            header.ifi_flags = up ? 1 : 0
        }
        return header
    }

    private static let create = Int(NLM_F_CREATE | NLM_F_EXCL)

    /// A bridge, still down.
    package static func createBridge(_ name: String, mac: MACAddress?, mtu: UInt32? = nil) -> NetlinkRequest {
        var request = NetlinkRequest("RTM_NEWLINK", Int(RTM_NEWLINK), flags: create, on: "bridge \(name)", header: header())
        request.append(.linkName, text: name)
        if let mac { request.append(.linkAddress, bytes: mac.bytes) }
        if let mtu { request.append(.linkMTU, mtu) }
        request.nest(.linkInfo) { $0.append(.linkKind, text: "bridge") }
        return request
    }

    /// A link without a wire: keeps an address alive, stands in for hardware in tests.
    package static func createDummy(_ name: String) -> NetlinkRequest {
        var request = NetlinkRequest("RTM_NEWLINK", Int(RTM_NEWLINK), flags: create, on: "dummy \(name)", header: header())
        request.append(.linkName, text: name)
        request.nest(.linkInfo) { $0.append(.linkKind, text: "dummy") }
        return request
    }

    /// What the far end of a veth pair looks like from the start.
    package struct VethPeer: Sendable {
        package var name: String
        package var mac: MACAddress?

        package init(name: String, mac: MACAddress?) {
            self.name = name
            self.mac = mac
        }
    }

    /// A veth pair in one message: the near end here, a port of bridge `master`; the far end in the namespace behind `namespace`. Both still down.
    ///
    /// The pair dies with the namespace, so a container that is gone leaves none.
    /// - Parameters:
    ///   - master: index of the bridge, nil for none.
    ///   - namespace: a descriptor of the far end's network namespace; borrowed until the request is answered. -1 keeps it here.
    package static func createVeth(_ name: String, peer: VethPeer, in namespace: CInt, master: Int32?, mtu: UInt32?) -> NetlinkRequest {
        var request = NetlinkRequest(
            "RTM_NEWLINK", Int(RTM_NEWLINK), flags: create, on: "veth \(name) with peer \(peer.name)", header: header())
        request.append(.linkName, text: name)
        if let mtu { request.append(.linkMTU, mtu) }
        if let master { request.append(.linkMaster, master) }
        request.nest(.linkInfo) { info in
            info.append(.linkKind, text: "veth")
            info.nest(.linkData) { data in
                data.nest(.vethPeer) { far in
                    far.append(structure: header())
                    far.append(.linkName, text: peer.name)
                    if let mac = peer.mac { far.append(.linkAddress, bytes: mac.bytes) }
                    if let mtu { far.append(.linkMTU, mtu) }
                    if namespace >= 0 { far.append(.linkNamespace, namespace) }
                }
            }
        }
        return request
    }

    /// Keeps a link that is still down from giving itself an fe80:: address when it comes up, and from asking for routers then.
    ///
    /// A request of its own: the kernel takes IFLA_AF_SPEC neither with the creation nor before IFF_UP of the same message.
    package static func withoutLinkLocalAddress(named name: String) -> NetlinkRequest {
        var request = NetlinkRequest("RTM_SETLINK", Int(RTM_SETLINK), on: "link \(name)", header: header())
        request.append(.linkName, text: name)
        request.nest(.linkAFSpec, flagged: true) { spec in
            spec.nest(.afInet6, flagged: true) { $0.append(.addressGeneration, UInt8(1)) }  // IN6_ADDR_GEN_MODE_NONE
        }
        return request
    }

    /// What `change` sets; nil leaves it as it is.
    package struct Change: Sendable {
        package var up: Bool?
        package var name: String?
        package var mtu: UInt32?
        package var mac: MACAddress?
        /// Index of the bridge, 0 takes the link out of its bridge.
        package var master: Int32?
        /// A descriptor of the namespace to move the link to; borrowed.
        package var namespace: CInt?

        package init(up: Bool? = nil, name: String? = nil, mtu: UInt32? = nil, mac: MACAddress? = nil, master: Int32? = nil, namespace: CInt? = nil) {
            self.up = up
            self.name = name
            self.mtu = mtu
            self.mac = mac
            self.master = master
            self.namespace = namespace
        }
    }

    package static func change(_ index: Int32, named name: String, _ change: Change) -> NetlinkRequest {
        var request = NetlinkRequest("RTM_SETLINK", Int(RTM_SETLINK), on: "link \(name)", header: header(index: index, up: change.up))
        if let name = change.name { request.append(.linkName, text: name) }
        if let mtu = change.mtu { request.append(.linkMTU, mtu) }
        if let mac = change.mac { request.append(.linkAddress, bytes: mac.bytes) }
        if let master = change.master { request.append(.linkMaster, master) }
        if let namespace = change.namespace { request.append(.linkNamespace, namespace) }
        return request
    }

    /// Changes a link found by its name. `change.name` is not used here: the name is what finds it.
    package static func change(named name: String, _ change: Change) -> NetlinkRequest {
        var change = change
        change.name = name
        return self.change(0, named: name, change)
    }

    /// How a bridge treats one of its ports.
    package struct PortChange: Sendable {
        /// The port may not talk to the bridge's other isolated ports; host and gateway stay reachable. This is `enable_icc=false`.
        package var isIsolated = false
        /// Frames may leave through the port that they came in by.
        package var isHairpin = false

        package init(isIsolated: Bool = false, isHairpin: Bool = false) {
            self.isIsolated = isIsolated
            self.isHairpin = isHairpin
        }
    }

    /// RTM_NEWLINK of an existing link: the only request that takes a port's settings together with a name (AF_BRIDGE's wants the index).
    package static func changePort(named name: String, _ change: PortChange) -> NetlinkRequest {
        var request = NetlinkRequest("RTM_NEWLINK", Int(RTM_NEWLINK), on: "bridge port \(name)", header: header())
        request.append(.linkName, text: name)
        request.nest(.linkInfo) { info in
            info.append(.portKind, text: "bridge")
            info.nest(.portInfo) { port in
                if change.isHairpin { port.append(.portHairpin, UInt8(1)) }
                if change.isIsolated { port.append(.portIsolated, UInt8(1)) }
            }
        }
        return request
    }

    package static func delete(named name: String) -> NetlinkRequest {
        var request = NetlinkRequest("RTM_DELLINK", Int(RTM_DELLINK), on: "link \(name)", header: header())
        request.append(.linkName, text: name)
        return request
    }

    package static func get(named name: String) -> NetlinkRequest {
        var request = NetlinkRequest("RTM_GETLINK", Int(RTM_GETLINK), on: "link \(name)", header: header())
        request.append(.linkName, text: name)
        return request
    }

    package static func dump() -> NetlinkRequest { NetlinkRequest("RTM_GETLINK", Int(RTM_GETLINK), on: "all links", header: header()) }
}

extension RouteConnection {
    /// The link of this name, nil when there is none.
    package func link(named name: String) throws(SystemError) -> Link? {
        do {
            return Link(try query(LinkRequests.get(named: name)))
        } catch where error.errno == .noDevice {
            return nil
        }
    }

    package func links() throws(SystemError) -> [Link] { try dump(LinkRequests.dump()).compactMap { Link($0) } }
}
