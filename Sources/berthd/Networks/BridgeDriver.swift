import Glibc
import LinuxSystem
import Netlink

/// Bridges, veth pairs and what is inside of a container's network namespace, through netlink. Every call blocks.
enum BridgeDriver {
    /// Makes the bridge of a network or repairs the one that is there: address, MTU, settings, up.
    ///
    /// - Returns: true when the link was made by this call.
    /// - Throws: `SystemError` naming link and attribute; a bridge made by this call is gone again then.
    @discardableResult
    static func ensureBridge(_ name: String, addresses: [IPNetwork], mtu: UInt32?, isInternal: Bool) throws(SystemError) -> Bool {
        let connection = try RouteConnection()
        let existing = try connection.link(named: name)
        if existing == nil {
            // A MAC of its own from the start: otherwise the bridge takes the lowest of its ports', and changes it when that container ends.
            try connection.perform([LinkRequests.createBridge(name, mac: .random(), mtu: mtu)])
        } else if existing?.kind != "bridge" {
            throw SystemError(call: "RTM_NEWLINK", subject: "bridge \(name): a link of this name is no bridge", errno: .fileExists)
        }
        do throws(SystemError) {
            let hasIPv6 = addresses.contains { $0.family == .v6 }
            // Before it comes up, so that it never has an address that nobody asked for, nor believes a container's router advertisement.
            Sysctl.write("net/ipv6/conf/\(name)/accept_ra", "0")
            Sysctl.write("net/ipv6/conf/\(name)/disable_ipv6", hasIPv6 ? "0" : "1")
            if !isInternal { Sysctl.write("net/ipv4/conf/\(name)/route_localnet", "1") }
            guard let link = try connection.link(named: name) else { throw SystemError(call: "RTM_GETLINK", subject: "bridge \(name)", errno: .noDevice) }
            let stale = try connection.addresses().filter { $0.linkIndex == link.index && !addresses.contains($0.network) && !$0.network.address.isLinkLocal }
            var requests = stale.map { AddressRequests.delete($0.network, on: link.index, named: name) }
            requests += addresses.map { AddressRequests.set($0, on: link.index, named: name) }
            requests.append(LinkRequests.change(link.index, named: name, .init(up: true, mtu: mtu)))
            try connection.perform(requests)
        } catch {
            if existing == nil { try? connection.perform([LinkRequests.delete(named: name)]) }
            throw error
        }
        return existing == nil
    }

    static func deleteBridge(_ name: String) throws(SystemError) {
        let connection = try RouteConnection()
        do throws(SystemError) {
            try connection.perform([LinkRequests.delete(named: name)])
        } catch where error.errno == .noDevice {}
    }

    /// The networks that this host can reach without its default route: none of them is free for a new network.
    static func occupiedNetworks() throws(SystemError) -> [IPNetwork] {
        let connection = try RouteConnection()
        let routes = try connection.routes().filter { !$0.isDefault && $0.table != 255 }.map(\.destination)
        return routes + (try connection.addresses().map(\.network.masked))
    }

    /// Removes veth ends without a container from our bridges: what a crash between two steps left behind.
    /// - Parameter known: names of the ends that belong to running containers.
    static func removeStrayPorts(of bridges: [String], except known: Set<String>) throws(SystemError) {
        let connection = try RouteConnection()
        let links = try connection.links()
        let indexes = Set(links.filter { bridges.contains($0.name) && $0.kind == "bridge" }.map(\.index))
        for link in links where link.kind == "veth" && link.masterIndex.map({ indexes.contains($0) }) == true && !known.contains(link.name) {
            try? connection.perform([LinkRequests.delete(named: link.name)])
        }
    }
}

/// Settings under /proc/sys. The calling thread's network namespace decides whose `net` they are.
enum Sysctl {
    /// Best effort: a kernel without IPv6 has no such file, and then there is nothing to protect from.
    @discardableResult
    static func write(_ name: String, _ value: String) -> Bool {
        let file = open("/proc/sys/" + name, O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return value.utf8CString.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count - 1) } > 0
    }

    static func read(_ name: String) -> String? {
        let file = open("/proc/sys/" + name, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = Glibc.read(file, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count].prefix { $0 != 10 }, as: UTF8.self) : nil
    }
}
