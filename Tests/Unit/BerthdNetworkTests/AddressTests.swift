@testable import berthd
import Netlink
import Testing

@Suite struct AddressTests {
    private func network(_ text: String) throws -> IPNetwork { try #require(IPNetwork(text)) }
    private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

    @Test func `Addresses are handed out from the lowest and come back`() throws {
        var allocator = AddressAllocator(subnet: try network("10.0.0.0/29"), reserved: [try address("10.0.0.1")])
        #expect(try allocator.allocate().description == "10.0.0.2")
        #expect(try allocator.allocate().description == "10.0.0.3")
        allocator.release(try address("10.0.0.2"))
        #expect(try allocator.allocate().description == "10.0.0.2")
        for _ in 0..<3 { _ = try allocator.allocate() }
        #expect(throws: AddressAllocator.Failure.exhausted) { try allocator.allocate() }
    }

    @Test func `Network and broadcast address are nobody's`() throws {
        var allocator = AddressAllocator(subnet: try network("10.0.0.0/29"))
        let first = try address("10.0.0.0"), last = try address("10.0.0.7"), outside = try address("10.0.0.8"), inside = try address("10.0.0.3")
        #expect(throws: AddressAllocator.Failure.outOfRange) { try allocator.take(first) }
        #expect(throws: AddressAllocator.Failure.outOfRange) { try allocator.take(last) }
        #expect(throws: AddressAllocator.Failure.outOfRange) { try allocator.take(outside) }
        try allocator.take(inside)
        #expect(throws: AddressAllocator.Failure.alreadyInUse) { try allocator.take(inside) }
    }

    @Test func `An ip-range limits what is handed out but not what may be asked for`() throws {
        var allocator = AddressAllocator(subnet: try network("10.0.0.0/16"), range: try network("10.0.5.0/30"))
        #expect(allocator.firstOfRange.description == "10.0.5.0")
        for _ in 0..<4 { _ = try allocator.allocate() }
        #expect(throws: AddressAllocator.Failure.exhausted) { try allocator.allocate() }
        try allocator.take(try address("10.0.9.9"))
    }

    @Test func `A network is chosen that no route of the host leads to`() throws {
        let used = try [network("172.18.0.0/16"), network("172.19.128.0/24"), network("172.20.0.0/14")]
        #expect(AddressPool.firstFree(in: AddressPool.defaults, family: .v4, used: used)?.description == "172.24.0.0/16")
        #expect(AddressPool.firstFree(in: AddressPool.defaults, family: .v4, used: [try network("172.16.0.0/12"), try network("192.168.0.0/20")])?.description == "192.168.16.0/20")
        #expect(AddressPool.firstFree(in: AddressPool.defaults, family: .v4, used: [try network("0.0.0.0/0")]) == nil)
        let own = AddressPool.uniqueLocal(engineID: "x")
        #expect(own.base.description.hasPrefix("fd") && AddressPool.firstFree(in: [own], family: .v6, used: [])?.prefixLength == 64)
    }

    @Test(arguments: [("80", true), ("8000-8010", true), ("0", true), ("", false), ("-1", false), ("80-", false), ("90-80", false), ("65536", false), ("+80", false), ("8 0", false)])
    func `Ports are numbers or ranges of them`(text: String, isValid: Bool) { #expect((PortRange(text) != nil) == isValid) }

    @Test func `A port of a container has a protocol`() {
        #expect(ContainerPort("80")?.description == "80/tcp")
        #expect(ContainerPort("53/UDP")?.description == "53/udp")
        #expect(ContainerPort("53/icmp") == nil && ContainerPort("0/tcp") == nil && ContainerPort("1-2/tcp") == nil)
    }

    @Test func `Two containers cannot have one port of the host`() throws {
        var ports = PortPublisher()
        let port = try #require(ContainerPort("80"))
        let first = try ports.publish([.init(port: port, hostAddresses: [.loopback4], range: nil)])
        let number = first[0].hostPort
        let again = PortPublisher.Request(port: port, hostAddresses: [.any4], range: PortRange("\(number)"))
        let error = #expect(throws: PortPublisher.Failure.self) { try ports.publish([again]) }
        #expect(error?.message == "Bind for 0.0.0.0:\(number) failed: port is already allocated")
        ports.release(first)
    }

    @Test func `A port that a program of the host has is refused with its name`() throws {
        let holder = try HostPortReservation(.tcp, .loopback4, port: 39_613)
        var ports = PortPublisher()
        let request = PortPublisher.Request(port: try #require(ContainerPort("80")), hostAddresses: [.loopback4], range: PortRange("39613"))
        let error = #expect(throws: PortPublisher.Failure.self) { try ports.publish([request]) }
        #expect(error?.message == "failed to bind host port 127.0.0.1:39613/tcp: address already in use")
        withExtendedLifetime(holder) {}
    }
}
