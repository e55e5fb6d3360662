@testable import Netlink
import Testing

/// What this module writes, compared byte by byte with what nft 1.0.6 sends for the same commands (`strace -xx`), without the numbers of sets beside their names:
/// the kernel finds a set by its name.
@Suite struct NFTablesMessageTests {
    private let table = NFTablesTable(.inet, "berth")

    /// The message's attributes behind the netfilter header and the table's name, which all messages have.
    private func attributes(_ fill: (inout NFTablesTransaction) -> Void) throws -> String {
        var transaction = NFTablesTransaction()
        fill(&transaction)
        try #require(transaction.requests.count == 1)
        let hex = hexadecimal(transaction.requests[0].body)
        let head = "01000000" + "0a0001006265727468000000"
        try #require(hex.hasPrefix(head))
        return String(hex.dropFirst(head.count))
    }

    private func hexadecimal(_ bytes: some Sequence<UInt8>) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }

    @Test func `A base chain has a hook, a priority that may be negative, and the policy to accept`() throws {
        let bytes = try attributes { $0.add(NFTablesChain("prerouting", base: .init(.nat, .prerouting, priority: -100)), in: table) }
        #expect(
            bytes == "0f000300707265726f7574696e670000" + "080007006e617400" + "0800050000000001" + "14000480" + "0800010000000000" + "08000200ffffff9c")
        #expect(try attributes { $0.add(NFTablesChain("publish"), in: table) } == "0c0003007075626c69736800")
    }

    @Test func `A map of concatenated keys and values carries its types twice: as numbers and in the notes that nft prints from`() throws {
        let map = NFTablesSet("publish4", key: [.ipv4Address, .inetProtocol, .inetService], value: [.ipv4Address, .inetService])
        #expect(
            try attributes { $0.add(map, in: table) } == "0d0002007075626c69736834000000000800030000000008080004000000730d080005000000000c"
                + "08000600000001cd080007000000000808000a0000000001"
                + "2a000d00000400000000010400000000030800040d0000000100040800040d00000001000604000000000000")
    }

    @Test func `A set of ranges says so, and for concatenations how long each field is`() throws {
        #expect(
            try attributes { $0.add(NFTablesSet("masquerade4", key: [.ipv4Address], isInterval: true), in: table) }
                == "100002006d617371756572616465340008000300000000040800040000000007080005000000000408000a00000000010a000d000004020000000000")
        #expect(
            try attributes { $0.add(NFTablesSet("own4", key: [.interfaceName, .ipv4Address], isInterval: true), in: table) }
                == "090002006f776e340000000008000300000000840800040000000a47080005000000001408000a0000000001"
                + "200009801c0002800c00018008000100000000100c0001800800010000000004" + "14000d00000400000000030800040d0000000100")
    }

    @Test func `A range of addresses is where it begins and where it has ended, or only a begin at the very end`() throws {
        let network = try #require(IPNetwork("172.18.0.0/16"))
        #expect(
            try attributes { $0.add(NFTablesElement.range(network), to: "masquerade4", in: table) }
                == "100002006d6173717565726164653400" + "2c000380100001800c00018008000100ac1200001800018008000300000000010c00018008000100ac130000")
        let last = try #require(IPNetwork("255.0.0.0/8"))
        #expect(
            try attributes { $0.add(NFTablesElement.range(last), to: "masquerade4", in: table) }
                == "100002006d6173717565726164653400" + "200003801c0001800c00018008000100ff0000000a0006000104010000000000")
    }

    @Test func `A range behind an interface's name has a first and a last key`() throws {
        let network = try #require(IPNetwork("172.18.0.0/16"))
        #expect(
            try attributes { $0.add([.range([NFTablesElement.name("berth0")], network)], to: "own4", in: table) }
                == "090002006f776e3400000000400003803c0001801c0001801800010062657274683000000000000000000000ac120000"
                + "1c000a801800010062657274683000000000000000000000ac12ffff")
    }

    @Test func `A published port is a key and a value, its fields padded to words`() throws {
        let element = NFTablesElement([[127, 0, 0, 1], [6], [0x1F, 0x90]], value: [[172, 18, 0, 2], [0, 80]])
        #expect(
            try attributes { $0.add([element], to: "publish4", in: table) }
                == "0d0002007075626c69736834000000002c0003802800018014000180100001007f000001060000001f900000100002800c000100ac12000200500000")
    }

    @Test func `A rule is the list of its expressions`() throws {
        let rule: [NFTablesExpression] = [
            .meta(.networkProtocol, to: .first), .compare(.first, .equal, [2]), .payload(.network, offset: 16, length: 4, to: .first),
            .meta(.transportProtocol, to: NFTablesRegister(word: 1)), .payload(.transport, offset: 2, length: 2, to: NFTablesRegister(word: 2)),
            .lookup(.first, in: "publish4", value: .first), .destinationNAT(.v4, address: .first, port: NFTablesRegister(word: 1)),
        ]
        #expect(
            try attributes { $0.append(rule: rule, to: "publish", in: table) } == "0c0002007075626c69736800" + "44010480"
                + "24000180090001006d6574610000000014000280080002000000000f0800010000000001"
                + "2c00018008000100636d700020000280080001000000000108000200000000000c0003800500010002000000"
                + "340001800c0001007061796c6f616400240002800800010000000001080002000000000108000300000000100800040000000004"
                + "24000180090001006d657461000000001400028008000200000000100800010000000009"
                + "340001800c0001007061796c6f61640024000280080001000000000a080002000000000208000300000000020800040000000002"
                + "340001800b0001006c6f6f6b7570000024000280080002000000000108000300000000010d0001007075626c6973683400000000"
                + "30000180080001006e617400240002800800010000000001080002000000000208000300000000010800050000000009")
    }

    @Test func `Conditions on addresses and connections, jumps and masquerading are what nft writes`() throws {
        func expressions(_ rule: [NFTablesExpression]) throws -> String {
            // Behind the chain's name (8 bytes) and the list's header (4 bytes).
            String(try attributes { $0.append(rule: rule, to: "raw", in: table) }.dropFirst(24))
        }
        #expect(
            try expressions([.destinationType(to: .first), .compare(.first, .equal, [2, 0, 0, 0]), .verdict(.jump("publish"))])
                == "2800018008000100666962001c0002800800030000000002080002000000000308000100000000012c00018008000100636d70002000028008000100000000010800020000000000"
                + "0c00038008000100020000003c0001800e000100696d6d6564696174650000002800028008000100000000001c0002801800028008000100fffffffd0c0002007075626c69736800")
        #expect(
            try expressions([.connection(.status, to: .first), .mask(.first, [0x20, 0, 0, 0]), .compare(.first, .notEqual, [0, 0, 0, 0]), .masquerade])
                == "2000018007000100637400001400028008000200000000020800010000000001440001800c0001006269747769736500340002800800010000000001080002000000000108000300"
                + "000000040c00048008000100200000000c00058008000100000000002c00018008000100636d700020000280080001000000000108000200000000010c000380080001000000000014"
                + "000180090001006d6173710000000004000280")
        #expect(try expressions([.verdict(.return)]) == "300001800e000100696d6d6564696174650000001c0002800800010000000000100002800c00028008000100fffffffb")
    }

    @Test func `Rules go behind the last or before the first, and are deleted by their handle`() {
        var transaction = NFTablesTransaction()
        transaction.append(rule: [.verdict(.drop)], to: "a", in: table)
        transaction.insert(rule: [.verdict(.drop)], into: "a", in: table)
        transaction.deleteRule(handle: 0x0102, from: "a", in: table)
        #expect(transaction.requests.map(\.type) == [0xA06, 0xA06, 0xA08])
        #expect(transaction.requests.map(\.flags) == [0xC00, 0x400, 0])
        #expect(hexadecimal(transaction.requests[2].body.suffix(12)) == "0c0003000000000000000102")
    }

    @Test func `Ten thousand elements are several messages, each within the length of an attribute`() {
        let elements = (0..<10_000).map { NFTablesElement([[6], [UInt8($0 >> 8), UInt8($0 & 255)]], value: [[172, 18, 0, 2], [0, 80]]) }
        var transaction = NFTablesTransaction()
        transaction.add(elements, to: "publish4any", in: table)
        #expect((2...20).contains(transaction.requests.count))
        #expect(transaction.requests.allSatisfy { $0.body.count < 65_535 })
        let lists = transaction.requests.map { NetlinkAttributes(bytes: $0.body.dropFirst(4)).list(NetlinkAttribute("NFTA_SET_ELEM_LIST_ELEMENTS", 3)).count }
        #expect(lists.reduce(0, +) == 10_000)
        #expect(lists.allSatisfy { $0 > 0 })
        var request = table.request(.newElements, on: "")
        for element in NFTablesElement.range(IPNetwork(.v4(0xAC12_0000), prefixLength: 16)) + NFTablesElement.range(IPNetwork(.v4(0xFF00_0000), prefixLength: 8)) + elements.prefix(1) {
            let before = request.body.count
            element.encode(into: &request)
            #expect(request.body.count - before == element.encodedSize)
        }
    }
}
