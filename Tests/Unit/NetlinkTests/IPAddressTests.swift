import Netlink
import Testing

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("1:0:0:2:0:0:0:3", "1:0:0:2::3"), ("::ffff:192.0.2.1", "::ffff:192.0.2.1"), ("fe80::42:acff:fe11:2", "fe80::42:acff:fe11:2"),
    ])
    func `IPv6 addresses are written as RFC 5952 wants them`(text: String, canonical: String) {
        #expect(IPAddress(text)?.description == canonical)
    }

    @Test(arguments: ["", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.+4", ":", ":::", "1::2::3", "12345::", "g::", "1:2:3:4:5:6:7:8:9", "::1%eth0", "1:2:3:4:5:6:7::8"])
    func `What is no address is refused`(text: String) { #expect(IPAddress(text) == nil) }

    @Test func `A network knows its borders`() throws {
        let network = try #require(IPNetwork("172.18.5.6/16"))
        #expect(network.masked.description == "172.18.0.0/16")
        #expect(network.last == IPAddress("172.18.255.255"))
        #expect(try network.overlaps(#require(IPNetwork("172.0.0.0/8"))))
        #expect(try !network.overlaps(#require(IPNetwork("172.19.0.0/16"))))
        #expect(try #require(IPNetwork("::/0")).contains(#require(IPAddress("ffff::1"))))
        #expect(IPNetwork("10.0.0.0/33") == nil && IPNetwork("10.0.0.0") == nil && IPNetwork("10.0.0.0/+8") == nil)
    }

    @Test func `A MAC derived from an address is always the same`() throws {
        #expect(MACAddress(derivedFrom: 0xAC11_0002).description == "02:42:ac:11:00:02")
        #expect(MACAddress("02:42:AC:11:00:02") == MACAddress(derivedFrom: 0xAC11_0002))
        #expect(MACAddress("02:42:ac:11:00") == nil)
        #expect(MACAddress.random().bytes[0] & 3 == 2)
    }
}
