import LinuxSystem
@testable import Netlink
import Testing

/// A kernel that has its answers ready when the batch was sent.
private final class ReplayTransport: NFTablesTransport {
    var sent: [[UInt8]] = []
    var answers: [[UInt8]]
    var reserved: (bytes: Int, answers: Int) = (0, 0)

    init(answers: [[UInt8]]) { self.answers = answers }

    func send(_ bytes: [UInt8]) throws(SystemError) { sent.append(bytes) }
    func receive() throws(SystemError) -> [UInt8] {
        guard let next = try receiveQueued() else { throw SystemError(call: "recv", subject: "replay", errno: .again) }
        return next
    }
    func receiveQueued() throws(SystemError) -> [UInt8]? { answers.isEmpty ? nil : answers.removeFirst() }
    func reserve(bytes: Int, answers: Int) { reserved = (bytes, answers) }
}

private func message(type: UInt16, flags: UInt16 = 0, sequence: UInt32, body: [UInt8]) -> [UInt8] {
    func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
    return bytes(UInt32(16 + body.count)) + bytes(type) + bytes(flags) + bytes(sequence) + bytes(UInt32(0)) + body
}

private func answer(_ sequence: UInt32, errno: Int32 = 0) -> [UInt8] {
    message(type: 2, flags: 0x100, sequence: sequence, body: withUnsafeBytes(of: -errno) { Array($0) } + [UInt8](repeating: 0, count: 16))
}

@Suite struct NFTablesConnectionTests {
    private let table = NFTablesTable(.inet, "berth")

    private var two: NFTablesTransaction {
        var transaction = NFTablesTransaction()
        transaction.add(table)
        transaction.append(rule: [.verdict(.drop)], to: "raw", in: table)
        return transaction
    }

    @Test func `A transaction is one datagram between a begin and an end, and only its last message asks for an acknowledgement`() throws {
        let transport = ReplayTransport(answers: [answer(3)])
        try NFTablesConnection(transport: transport).commit(two)
        #expect(transport.sent.count == 1)
        let messages = NetlinkMessage.split(transport.sent[0])
        #expect(messages.map(\.type) == [16, 0xA00, 0xA06, 17])
        #expect(messages.map(\.sequence) == [1, 2, 3, 4])
        #expect(messages.map { $0.flags & 4 } == [0, 0, 4, 0])
        #expect(messages[0].body.elementsEqual([0, 0, 0, 10]))
        #expect(transport.reserved.bytes == transport.sent[0].count)
        try NFTablesConnection(transport: transport).commit(NFTablesTransaction())
        #expect(transport.sent.count == 1)
    }

    @Test func `The first refused message is the one that is told, with what it was about`() {
        let transport = ReplayTransport(answers: [answer(2, errno: 1) + answer(3, errno: 2)])
        let error = #expect(throws: SystemError.self) { try NFTablesConnection(transport: transport).commit(two) }
        #expect(error?.description == "NFT_MSG_NEWTABLE table inet berth: Operation not permitted")
    }

    @Test func `A batch that is refused as a whole is answered under the number of its begin`() {
        let transport = ReplayTransport(answers: [answer(1, errno: 1)])
        let error = #expect(throws: SystemError.self) { try NFTablesConnection(transport: transport).commit(two) }
        #expect(error?.description == "NFNL_MSG_BATCH_BEGIN transaction of 2 messages: Operation not permitted")
    }

    @Test func `Silence is no success`() {
        let error = #expect(throws: SystemError.self) { try NFTablesConnection(transport: ReplayTransport(answers: [])).commit(two) }
        #expect(error?.call == "NFNL_MSG_BATCH_END")
    }

    @Test func `Answers to an earlier transaction are not taken for this one's`() throws {
        let transport = ReplayTransport(answers: [answer(3)])
        let connection = NFTablesConnection(transport: transport)
        try connection.commit(two)
        transport.answers = [answer(2, errno: 2), answer(7)]
        try connection.commit(two)
        #expect(transport.answers.isEmpty)
    }

    /// What a kernel 6.18 shows of `iptables-nft -A DOCKER-USER -i eth0 -o berth0 -j ACCEPT`.
    private static let listed = bytes(
        "24000100090001006d6574610000000014000200080002000000000608000100000000013000010008000100636d7000"
            + "240002000800010000000001080002000000000010000300090001006574683000000000"
            + "24000100090001006d6574610000000014000200080002000000000708000100000000013000010008000100636d7000"
            + "2400020008000100000000010800020000000000100003000b00010062657274683000002c0001000c000100636f756e746572001c000200"
            + "0c00010000000000000000000c0002000000000000000000300001000e000100696d6d6564696174650000001c000200"
            + "0800010000000000100002000c0002000800010000000001")

    private static func bytes(_ text: String) -> [UInt8] {
        var result: [UInt8] = []
        var rest = text[...]
        while !rest.isEmpty {
            result.append(UInt8(rest.prefix(2), radix: 16) ?? 0)
            rest = rest.dropFirst(2)
        }
        return result
    }

    private func rule(handle: UInt8, expressions: [UInt8]) -> [UInt8] {
        let size = expressions.count + 4
        let list = [UInt8(size & 255), UInt8(size >> 8), 4, 0] + expressions
        return message(type: 0xA06, flags: 2, sequence: 1, body: [2, 0, 0, 1] + [12, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, handle] + list)
    }

    @Test func `Rules of a chain are read as far as they are known`() throws {
        let unknown = rule(handle: 5, expressions: [16, 0, 1, 0, 10, 0, 1, 0] + Array("match".utf8) + [0, 0, 0])
        let done = message(type: 3, sequence: 1, body: [0, 0, 0, 0])
        let known = rule(handle: 8, expressions: Self.listed)
        let connection = NFTablesConnection(transport: ReplayTransport(answers: [known + unknown, done]))
        let rules = try connection.rules(of: "DOCKER-USER", in: NFTablesTable(.ip, "filter"))
        #expect(rules.map(\.handle) == [8, 5])
        #expect(
            rules.first?.expressions == [
                .meta(.incomingInterfaceName, to: .first), .compare(.first, .equal, Array("eth0".utf8) + [0]),
                .meta(.outgoingInterfaceName, to: .first), .compare(.first, .equal, Array("berth0".utf8) + [0]), .counter, .verdict(.accept),
            ])
        #expect(rules.last?.expressions == [nil])
    }

    @Test func `A chain that does not exist is no error`() throws {
        let connection = NFTablesConnection(transport: ReplayTransport(answers: [answer(1, errno: 2)]))
        #expect(try !connection.hasChain("DOCKER-USER", in: NFTablesTable(.ip, "filter")))
    }
}
