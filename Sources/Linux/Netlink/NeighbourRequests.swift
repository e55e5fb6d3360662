import CLinux
import LinuxSystem

extension NetlinkAttribute {
    static let neighbourAddress = NetlinkAttribute("NDA_DST", 1)
    static let neighbourMAC = NetlinkAttribute("NDA_LLADDR", 2)
}

/// Requests for neighbour tables and bridges' forwarding databases (RTM_NEWNEIGH).
package enum NeighbourRequests {
    /// Tells the bridge that `mac` is behind its port `index`, as if a frame had come from there.
    ///
    /// When a restarted container has its predecessor's MAC and the dead veth still hangs in the bridge, frames would go there until the new one speaks.
    package static func setForwarding(_ mac: MACAddress, port index: Int32, named name: String) -> NetlinkRequest {
        var header = ndmsg()
        header.ndm_family = 7  // AF_BRIDGE
        header.ndm_ifindex = index
        header.ndm_state = UInt16(NUD_REACHABLE)
        header.ndm_flags = UInt8(NTF_MASTER)
        var request = NetlinkRequest(
            "RTM_NEWNEIGH", Int(RTM_NEWNEIGH), flags: Int(NLM_F_CREATE | NLM_F_REPLACE), on: "forwarding entry \(mac) of link \(name)", header: header)
        request.append(.neighbourMAC, bytes: mac.bytes)
        return request
    }

    /// A fixed entry in the ARP or neighbour discovery table of a link.
    package static func setPermanent(_ address: IPAddress, mac: MACAddress, on index: Int32, named name: String) -> NetlinkRequest {
        var header = ndmsg()
        header.ndm_family = address.family.rawValue
        header.ndm_ifindex = index
        header.ndm_state = UInt16(NUD_PERMANENT)
        var request = NetlinkRequest(
            "RTM_NEWNEIGH", Int(RTM_NEWNEIGH), flags: Int(NLM_F_CREATE | NLM_F_REPLACE), on: "neighbour \(address) of link \(name)", header: header)
        request.append(.neighbourAddress, bytes: address.bytes)
        request.append(.neighbourMAC, bytes: mac.bytes)
        return request
    }
}
