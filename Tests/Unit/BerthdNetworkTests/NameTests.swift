@testable import berthd
import Netlink
import Testing

@Suite struct NameTests {
    private func question(_ name: String, type: UInt16) -> [UInt8] {
        var bytes: [UInt8] = [0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]
        for label in name.split(separator: ".") { bytes += [UInt8(label.utf8.count)] + Array(label.utf8) }
        return bytes + [0, UInt8(type >> 8), UInt8(type & 255), 0, 1]
    }

    @Test func `A question is read and answered`() throws {
        let query = try #require(DNSQuery(question("Web.example", type: 1)))
        #expect(query.name == "Web.example" && query.kind == .a && query.wantsRecursion)
        let answer = query.answer(addresses: [try #require(IPAddress("10.0.0.2")), try #require(IPAddress("fd00::1"))])
        #expect(Array(answer[0..<4]) == [0x12, 0x34, 0x81, 0x80])
        #expect(Array(answer[6..<8]) == [0, 1])
        #expect(Array(answer.suffix(4)) == [10, 0, 0, 2])
    }

    @Test func `A name that has no address of the family exists all the same`() throws {
        let query = try #require(DNSQuery(question("web", type: 28)))
        let answer = query.answer(addresses: [try #require(IPAddress("10.0.0.2"))])
        #expect(answer[3] & 15 == 0 && answer[7] == 0)
        #expect(query.noSuchName[3] & 15 == 3)
    }

    @Test(arguments: [[], [0], [UInt8](repeating: 0, count: 17), [UInt8](repeating: 255, count: 100), [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63, 65, 0, 0, 1]])
    func `What is no question is dropped`(bytes: [UInt8]) { #expect(DNSQuery(bytes) == nil) }

    @Test func `Compression pointers and endless names in a question are refused`() {
        #expect(DNSQuery([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 12, 0, 1, 0, 1]) == nil)
        #expect(DNSQuery([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + (0..<100).flatMap { _ in [2, 65, 65] as [UInt8] } + [0, 0, 1, 0, 1]) == nil)
    }

    @Test func `Reverse questions name an address`() throws {
        #expect(DNSQuery(question("3.0.19.172.in-addr.arpa", type: 12))?.reverseAddress?.description == "172.19.0.3")
        let six = "1." + String(repeating: "0.", count: 29) + "d.f.ip6.arpa"
        #expect(DNSQuery(question(six, type: 12))?.reverseAddress?.description == "fd00::1")
    }

    @Test func `Names belong to networks`() throws {
        let table = NameTable()
        let one = try #require(IPAddress("10.0.0.2")), two = try #require(IPAddress("10.0.0.3"))
        table.add(["web", "alias"], addresses: [one], network: "n1")
        table.add(["web2", "alias"], addresses: [two], network: "n1")
        #expect(table.addresses(of: "ALIAS", in: [("n1", "front")]) == [one, two])
        #expect(table.addresses(of: "web.front", in: [("n1", "front")]) == [one])
        #expect(table.addresses(of: "web", in: [("n2", "back")]) == nil)
        #expect(table.name(of: two, in: [("n1", "front")]) == "web2.front")
        table.remove(["web", "alias"], addresses: [one], network: "n1")
        #expect(table.addresses(of: "alias", in: [("n1", "front")]) == [two])
        #expect(table.addresses(of: "web", in: [("n1", "front")]) == nil)
    }

    @Test func `The host's loopback servers are not for containers that ask themselves`() throws {
        let host = ResolvConf(parsing: "# x\nnameserver 127.0.0.53\nnameserver 192.0.2.1 \nsearch a b\noptions edns0 ndots:2\n")
        #expect(host.reachable.nameservers.map(\.description) == ["192.0.2.1"])
        #expect(ResolvConf(parsing: "nameserver ::1").reachable.nameservers.map(\.description) == ["8.8.8.8", "8.8.4.4"])
        #expect(host.throughEmbedded.text.hasSuffix("\nnameserver 127.0.0.11\nsearch a b\noptions edns0 ndots:2\n"))
        #expect(host.overriding(nameservers: [], search: ["."], options: []).search.isEmpty)
    }

    @Test func `Extra hosts are name and address, and cannot smuggle in a line`() throws {
        let gateway = try #require(IPAddress("172.18.0.1"))
        #expect(try HostsFile.extraHosts(["db:10.0.0.1", "six=[::1]", "host:host-gateway"], hostGateway: [gateway]).map(\.address.description) == ["10.0.0.1", "::1", "172.18.0.1"])
        for bad in ["db", ":10.0.0.1", "db:1.2.3", "a\nb:10.0.0.1"] { #expect(throws: DaemonError.self) { try HostsFile.extraHosts([bad], hostGateway: []) } }
    }

    @Test func `Endpoint sysctls stay below their interface`() {
        #expect(EndpointValidator.readSysctls("net.ipv4.conf.IFNAME.forwarding=1", interface: "eth0") == [.init(path: "net/ipv4/conf/eth0/forwarding", value: "1")])
        for bad in ["net.ipv4.conf.eth0.x=1", "net.core.conf.IFNAME.x=1", "net.ipv4.conf.IFNAME.x", "net.ipv4.../.IFNAME.x=1", "net.ipv4.conf.IFNAME.a/b=1"] {
            #expect(EndpointValidator.readSysctls(bad, interface: "eth0") == nil)
        }
    }
}
