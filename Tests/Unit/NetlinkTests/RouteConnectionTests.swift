import LinuxSystem
@testable import Netlink
import Testing

/// Answers with recorded bytes and keeps what was sent.
private final class ReplayTransport: NetlinkTransport {
    var sent: [[UInt8]] = []
    var answers: [[UInt8]]

    init(answers: [[UInt8]]) { self.answers = answers }

    func send(_ bytes: [UInt8]) throws(SystemError) { sent.append(bytes) }
    func receive() throws(SystemError) -> [UInt8] {
        guard !answers.isEmpty else { throw SystemError(call: "recv", subject: "replay", errno: .again) }
        return answers.removeFirst()
    }
}

private func message(type: UInt16, flags: UInt16 = 0, sequence: UInt32, body: [UInt8]) -> [UInt8] {
    func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
    return bytes(UInt32(16 + body.count)) + bytes(type) + bytes(flags) + bytes(sequence) + bytes(UInt32(0)) + body + [UInt8](repeating: 0, count: (4 - body.count % 4) % 4)
}

private func acknowledgement(_ sequence: UInt32, errno: Int32 = 0, attributes: [UInt8] = []) -> [UInt8] {
    let code = withUnsafeBytes(of: -errno) { Array($0) }
    return message(type: 2, flags: attributes.isEmpty ? 0x100 : 0x300, sequence: sequence, body: code + [UInt8](repeating: 0, count: 16) + attributes)
}

@Suite struct RouteConnectionTests {
    @Test func `A batch goes out in one datagram and waits for every acknowledgement`() throws {
        let transport = ReplayTransport(answers: [acknowledgement(1), acknowledgement(2) + acknowledgement(3)])
        let connection = RouteConnection(transport: transport)
        try connection.perform([
            LinkRequests.createBridge("b0", mac: nil), LinkRequests.change(named: "b0", .init(up: true)), LinkRequests.delete(named: "b0"),
        ])
        #expect(transport.sent.count == 1)
        let messages = NetlinkMessage.split(transport.sent[0])
        #expect(messages.map(\.type) == [16, 19, 17])
        #expect(messages.map(\.sequence) == [1, 2, 3])
        #expect(messages.allSatisfy { $0.flags & 5 == 5 })
        #expect(messages[0].attributes(after: 16)[text: .linkName] == "b0")
        #expect(messages[0].attributes(after: 16)[nested: .linkInfo]?[text: .linkKind] == "bridge")
    }

    @Test func `The first failure is thrown after all answers have come, and names link and attribute`() throws {
        // NLMSGERR_ATTR_OFFS: 32 is where the first attribute behind the 16 + 16 bytes begins.
        let attributes: [UInt8] = [8, 0, 2, 0, 32, 0, 0, 0]
        let transport = ReplayTransport(answers: [acknowledgement(1), acknowledgement(2, errno: 17, attributes: attributes), acknowledgement(3, errno: 19)])
        let connection = RouteConnection(transport: transport)
        let error = #expect(throws: SystemError.self) {
            try connection.perform([LinkRequests.delete(named: "a"), LinkRequests.createDummy("d0"), LinkRequests.delete(named: "c")])
        }
        #expect(error?.description == "RTM_NEWLINK dummy d0, IFLA_IFNAME: File exists")
        #expect(transport.answers.isEmpty)
    }

    @Test func `A dump that a change interrupted is asked again`() throws {
        let done = message(type: 3, sequence: 1, body: [0, 0, 0, 0])
        let interrupted = message(type: 3, flags: 0x10, sequence: 1, body: [0, 0, 0, 0])
        let again = message(type: 3, sequence: 2, body: [0, 0, 0, 0])
        let transport = ReplayTransport(answers: [interrupted, again])
        #expect(try RouteConnection(transport: transport).links().isEmpty)
        #expect(transport.sent.count == 2)
        #expect(try RouteConnection(transport: ReplayTransport(answers: [done])).links().isEmpty)
    }

    @Test func `A veth pair names the peer's namespace inside of the peer's part`() throws {
        let mac = try #require(MACAddress("02:42:0a:00:00:02"))
        let request = LinkRequests.createVeth("veth0", peer: .init(name: "eth0", mac: mac), in: 7, master: 3, mtu: 1400)
        let messages = NetlinkMessage.split(request.encoded(sequence: 1, extraFlags: 0))
        let link = try #require(messages.first).attributes(after: 16)
        #expect(link[.linkMaster, as: Int32.self] == 3)
        #expect(link[.linkNamespace, as: Int32.self] == nil)
        let data = try #require(link[nested: .linkInfo]?[nested: .linkData])
        let peer = NetlinkAttributes(bytes: try #require(data[bytes: .vethPeer]).dropFirst(16))
        #expect(peer[text: .linkName] == "eth0")
        #expect(peer[.linkNamespace, as: Int32.self] == 7)
        #expect(peer[bytes: .linkAddress].map(Array.init) == mac.bytes)
    }

    @Test func `Truncated and lying messages end the list instead of the program`() {
        #expect(NetlinkMessage.split([1, 2, 3]).isEmpty)
        #expect(NetlinkMessage.split([255, 0, 0, 0] + [UInt8](repeating: 0, count: 12)).isEmpty)
        #expect(NetlinkMessage.split([UInt8](repeating: 0, count: 64)).isEmpty)
        #expect(NetlinkAttributes(bytes: [200, 0, 1, 0])[bytes: .linkName] == nil)
    }
}
