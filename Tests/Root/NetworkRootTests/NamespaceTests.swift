@testable import berthd
import Glibc
import LinuxSystem
import Netlink
import Testing

@Suite(.serialized, .enabled(if: getuid() == 0, "needs root")) struct NamespaceTests {
    private let bridge = "bt\(getpid() % 100_000)"

    private func plan(_ number: Int, gateway: Bool = true) throws -> EndpointPlan {
        EndpointPlan(
            interface: "eth0", hostInterface: "vbt\(getpid() % 100_000)\(number)", bridge: bridge, mac: MACAddress(derivedFrom: 0x0A63_6300 + UInt32(number)),
            addresses: [IPNetwork(.v4(0x0A63_6300 + UInt32(number)), prefixLength: 24)], gateways: gateway ? [.v4(0x0A63_6301)] : [], mtu: 1400, isIsolated: false, sysctls: [])
    }

    private func withBridge(_ body: () throws -> Void) throws {
        try BridgeDriver.ensureBridge(bridge, addresses: [IPNetwork(.v4(0x0A63_6301), prefixLength: 24)], mtu: 1400, isInternal: false)
        defer { try? BridgeDriver.deleteBridge(bridge) }
        try body()
    }

    @Test func `A container gets its interface, address and route, and IPv6 stays off`() throws {
        try withBridge {
            let process = try NamespacedProcess()
            let namespace = try NetworkNamespace(of: process.pid)
            _ = try EndpointSetup.attach([try plan(2)], to: namespace, isFresh: true, opensResolver: false)
            let (links, addresses, routes, six) = try namespace.perform { () throws(SystemError) in
                let inside = try RouteConnection()
                return (try inside.links(), try inside.addresses(), try inside.routes(), Sysctl.read("net/ipv6/conf/eth0/disable_ipv6"))
            }
            #expect(links.map(\.name).contains("eth0") && links.allSatisfy { $0.name == "lo" || $0.name == "eth0" ? $0.isUp : true })
            #expect(links.first { $0.name == "eth0" }?.mac?.description == "02:42:0a:63:63:02")
            #expect(addresses.contains { $0.network.description == "10.99.99.2/24" })
            #expect(routes.contains { $0.isDefault && $0.gateway?.description == "10.99.99.1" })
            #expect(six == nil || six == "1")
        }
    }

    @Test func `The veth dies with the namespace`() throws {
        try withBridge {
            var process: NamespacedProcess? = try NamespacedProcess()
            let end = try plan(3)
            if let process { _ = try EndpointSetup.attach([end], to: try NetworkNamespace(of: process.pid), isFresh: true, opensResolver: false) }
            #expect(try RouteConnection().link(named: end.hostInterface) != nil)
            process = nil
            for _ in 0..<200 where try RouteConnection().link(named: end.hostInterface) != nil { usleep(10_000) }
            #expect(try RouteConnection().link(named: end.hostInterface) == nil)
        }
    }

    @Test func `A failed attach leaves nothing on the host`() throws {
        try withBridge {
            let process = try NamespacedProcess()
            var broken = try plan(4)
            broken.sysctls = [.init(path: "net/ipv4/conf/eth0/no_such_setting", value: "1")]
            let namespace = try NetworkNamespace(of: process.pid)
            #expect(throws: SystemError.self) { _ = try EndpointSetup.attach([broken], to: namespace, isFresh: true, opensResolver: false) }
            #expect(try RouteConnection().link(named: broken.hostInterface) == nil)
        }
    }

    @Test func `A bridge that is there is repaired, and believes no router advertisement`() throws {
        try withBridge {
            let made = try BridgeDriver.ensureBridge(bridge, addresses: [IPNetwork(.v4(0x0A63_6401), prefixLength: 24)], mtu: 1400, isInternal: false)
            #expect(!made)
            let connection = try RouteConnection()
            let index = try #require(try connection.link(named: bridge)).index
            #expect(try connection.addresses().filter { $0.linkIndex == index }.map(\.network.description) == ["10.99.100.1/24"])
            #expect(Sysctl.read("net/ipv6/conf/\(bridge)/accept_ra") ?? "0" == "0")
            #expect(Sysctl.read("net/ipv4/conf/\(bridge)/route_localnet") == "1")
        }
    }

    @Test func `A veth without a container is removed at start-up`() throws {
        try withBridge {
            let connection = try RouteConnection()
            let index = try #require(try connection.link(named: bridge)).index
            let stray = "sbt\(getpid() % 100_000)"
            try connection.perform([LinkRequests.createVeth(stray, peer: .init(name: stray + "p", mac: nil), in: -1, master: index, mtu: nil)])
            try BridgeDriver.removeStrayPorts(of: [bridge], except: [])
            #expect(try connection.link(named: stray) == nil)
        }
    }
}
