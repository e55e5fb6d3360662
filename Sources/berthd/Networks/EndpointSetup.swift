import Glibc
import LinuxSystem
import Netlink

/// One interface of a container, with everything decided.
struct EndpointPlan: Sendable, Equatable {
    /// In the container: eth0.
    var interface: String
    /// On the host: veth1a2b3c4.
    var hostInterface: String
    var bridge: String
    var mac: MACAddress
    var addresses: [IPNetwork]
    /// Where the default routes go; empty when another network has them or the network is internal.
    var gateways: [IPAddress]
    var mtu: UInt32?
    /// The container may not talk to the bridge's other ports.
    var isIsolated: Bool
    /// `net.ipv4.conf.IFNAME.x=y`, already as path and value.
    var sysctls: [Setting]

    struct Setting: Sendable, Equatable {
        var path: String
        var value: String
    }
}

/// Gives a network namespace its interfaces: the veth pairs with one message each from the host's side, everything inside in one batch.
enum EndpointSetup {
    /// Carries the plans out and leaves `lo` up. Blocks for about a millisecond, nearly all of it in the kernel.
    ///
    /// - Parameters:
    ///   - isFresh: the namespace has nothing but `lo` yet. False for a container that runs and gets one more interface.
    ///   - opensResolver: whether the embedded resolver's sockets are opened inside.
    /// - Returns: these sockets, the caller's to close.
    /// - Throws: `SystemError` naming link and attribute. The ends on the host are gone then; what is inside goes with the namespace or with them.
    static func attach(
        _ plans: [EndpointPlan], to namespace: borrowing NetworkNamespace, isFresh: Bool, opensResolver: Bool
    ) throws(SystemError) -> ResolverSockets? {
        let host = try RouteConnection()
        var ports: [(plan: EndpointPlan, bridge: Int32)] = []
        for plan in plans {
            guard let bridge = try host.link(named: plan.bridge) else { throw SystemError(call: "RTM_GETLINK", subject: "bridge \(plan.bridge)", errno: .noDevice) }
            ports.append((plan, bridge.index))
        }
        let descriptor = namespace.descriptor
        // Safety: the connection is used by this thread, and by the namespace's thread while this one waits for it.
        nonisolated(unsafe) let hostConnection = host
        let prepared = ports
        // With br_netfilter (which Docker loads) a published port is translated while the frame is still in the bridge. A container that calls its own then has to get
        // the frame back through its port. Without br_netfilter the packet is routed, and reflected broadcasts would only be noise.
        let isHairpin = Sysctl.read("net/bridge/bridge-nf-call-iptables") == "1"
        do throws(SystemError) {
            return try namespace.perform { () throws(SystemError) -> ResolverSockets? in
                // Interfaces inherit this: IPv6 is off until one of them is told otherwise. Cheaper than a word to each, and never on for a moment.
                if isFresh { Sysctl.write("net/ipv6/conf/default/disable_ipv6", "1") }
                for (plan, bridge) in prepared { try createPair(plan, bridge: bridge, namespace: descriptor, isHairpin: isHairpin, through: hostConnection) }
                try configure(plans, isFresh: isFresh)
                try announce(prepared.map(\.plan), through: hostConnection)
                return opensResolver ? try ResolverSockets.open() : nil
            }
        } catch {
            for plan in plans { try? host.perform([LinkRequests.delete(named: plan.hostInterface)]) }
            throw error
        }
    }

    private static func createPair(_ plan: EndpointPlan, bridge: Int32, namespace: CInt, isHairpin: Bool, through host: RouteConnection) throws(SystemError) {
        var requests = [LinkRequests.createVeth(plan.hostInterface, peer: .init(name: plan.interface, mac: plan.mac), in: namespace, master: bridge, mtu: plan.mtu)]
        // A link with a smaller MTU has no IPv6 that could be told anything.
        if plan.mtu ?? .max >= minimumMTUOfIPv6 { requests.append(LinkRequests.withoutLinkLocalAddress(named: plan.hostInterface)) }
        if plan.isIsolated || isHairpin {
            requests.append(LinkRequests.changePort(named: plan.hostInterface, .init(isIsolated: plan.isIsolated, isHairpin: isHairpin)))
        }
        requests.append(LinkRequests.change(named: plan.hostInterface, .init(up: true)))
        do throws(SystemError) { try host.perform(requests) } catch where error.errno == .fileExists {
            // dockerd gives the link its name afterwards, and says so.
            throw SystemError(call: "error renaming interface", subject: "\(plan.hostInterface) to \(plan.interface)", errno: error.errno)
        }
    }

    /// RFC 8200, section 5.
    private static let minimumMTUOfIPv6: UInt32 = 1280

    /// Tells the bridges where the MACs are. A port takes this only when it forwards, and it does when its other end is up.
    private static func announce(_ plans: [EndpointPlan], through host: RouteConnection) throws(SystemError) {
        for plan in plans {
            guard let port = try host.link(named: plan.hostInterface) else { throw SystemError(call: "RTM_GETLINK", subject: "link \(plan.hostInterface)", errno: .noDevice) }
            // Only a help for the first frames: where the bridge refuses, as with spanning tree, it learns by itself.
            try? host.perform([NeighbourRequests.setForwarding(plan.mac, port: port.index, named: plan.hostInterface)])
        }
    }

    /// Runs inside the namespace.
    private static func configure(_ plans: [EndpointPlan], isFresh: Bool) throws(SystemError) {
        let inside = try RouteConnection()
        var requests: [NetlinkRequest] = []
        if isFresh { requests.append(LinkRequests.change(1, named: "lo", .init(up: true))) }
        for plan in plans {
            let name = plan.interface
            guard let link = try inside.link(named: name) else { throw SystemError(call: "RTM_GETLINK", subject: "link \(name)", errno: .noDevice) }
            if plan.addresses.contains(where: { $0.family == .v6 }) {
                Sysctl.write("net/ipv6/conf/\(name)/accept_ra", "0")
                Sysctl.write("net/ipv6/conf/\(name)/disable_ipv6", "0")
            } else if !isFresh {
                Sysctl.write("net/ipv6/conf/\(name)/disable_ipv6", "1")
            }
            for setting in plan.sysctls where !Sysctl.write(setting.path, setting.value) {
                throw SystemError(call: "write", subject: "/proc/sys/\(setting.path)", errno: Errno(rawValue: errno))
            }
            requests += plan.addresses.map { AddressRequests.set($0, on: link.index, named: name) }
            requests.append(LinkRequests.change(link.index, named: name, .init(up: true)))
            requests += plan.gateways.map {
                RouteRequests.set(IPNetwork($0.family == .v4 ? .any4 : .any6, prefixLength: 0), gateway: $0, through: link.index, named: name)
            }
        }
        try inside.perform(requests)
    }

    /// Takes interfaces out of a container that goes on running.
    static func detach(hostInterfaces: [String]) throws(SystemError) {
        let host = try RouteConnection()
        for name in hostInterfaces {
            do throws(SystemError) { try host.perform([LinkRequests.delete(named: name)]) } catch where error.errno == .noDevice {}
        }
    }

    /// Points the default routes of a running container elsewhere.
    static func setDefaultRoutes(_ gateways: [IPAddress], through interface: String, in namespace: borrowing NetworkNamespace) throws(SystemError) {
        try namespace.perform { () throws(SystemError) in
            let inside = try RouteConnection()
            guard let link = try inside.link(named: interface) else { throw SystemError(call: "RTM_GETLINK", subject: "link \(interface)", errno: .noDevice) }
            try inside.perform(
                gateways.map { RouteRequests.set(IPNetwork($0.family == .v4 ? .any4 : .any6, prefixLength: 0), gateway: $0, through: link.index, named: interface) })
        }
    }
}
