@testable import berthd
@testable import Netlink
import Testing

@Suite struct FilterRulesTests {
    private let table = NFTablesTable(.inet, "berth")

    private func model(_ changes: FilterModel.Change...) -> FilterModel {
        var model = FilterModel(rules: FilterRules(bridge: "berth0"))
        for change in changes { _ = model.apply(change) }
        return model
    }

    private func port(_ host: String, _ number: UInt16, to container: String = "172.18.0.2") throws -> PublishedPort {
        PublishedPort(
            proto: .tcp, hostAddress: try #require(IPAddress(host)), hostPort: number, containerAddress: try #require(IPAddress(container)), containerPort: 80)
    }

    /// What a transaction says, as bytes: equal transactions do equal things.
    private func bytes(_ transaction: NFTablesTransaction) -> [[UInt8]] { transaction.requests.map { $0.encoded(sequence: 0, extraFlags: 0) } }

    private func bytes(_ fill: (inout NFTablesTransaction) throws -> Void) rethrows -> [[UInt8]] {
        var transaction = NFTablesTransaction()
        try fill(&transaction)
        return bytes(transaction)
    }

    private func subjects(_ transaction: NFTablesTransaction) -> [String] { transaction.requests.map { "\($0.name) \($0.subject)" } }

    @Test func `Ports of every address and of one address go into different maps`() throws {
        var model = model()
        let transaction = model.apply(.publish([try port("0.0.0.0", 8080), try port("127.0.0.1", 8081), try port("::", 8080, to: "fd00::2")]))
        let six = try #require(IPAddress("fd00::2")).bytes
        #expect(
            bytes(transaction)
                == bytes {
                    $0.add([NFTablesElement([[127, 0, 0, 1], [6], [0x1F, 0x91]], value: [[172, 18, 0, 2], [0, 80]])], to: "publish4", in: table)
                    $0.add([NFTablesElement([[6], [0x1F, 0x90]], value: [[172, 18, 0, 2], [0, 80]])], to: "publish4any", in: table)
                    $0.add([NFTablesElement([[6], [0x1F, 0x90]], value: [six, [0, 80]])], to: "publish6any", in: table)
                })
    }

    @Test func `A thousand ports are one message`() throws {
        var model = model()
        let transaction = model.apply(.publish(try (1...1000).map { try port("0.0.0.0", UInt16($0)) }))
        #expect(subjects(transaction) == ["NFT_MSG_NEWSETELEM 1000 elements of set publish4any of table inet berth"])
    }

    @Test func `What is there is not added and what is not there is not deleted`() throws {
        var model = model(.publish([try port("0.0.0.0", 80)]))
        #expect(model.apply(.publish([try port("0.0.0.0", 80)])).isEmpty)
        #expect(model.apply(.unpublish([try port("0.0.0.0", 81)])).isEmpty)
        #expect(bytes(model.apply(.unpublish([try port("0.0.0.0", 80)]))) == bytes { $0.delete([NFTablesElement([[6], [0, 80]])], from: "publish4any", in: table) })
        #expect(model.apply(.removeBridge("br-0")).isEmpty)
    }

    @Test func `An internal network is not masqueraded`() throws {
        var model = model()
        let subnet = try #require(IPNetwork("10.1.0.0/16"))
        let name = NFTablesElement.name("br-1")
        let transaction = model.apply(.addBridge(FilteredBridge(name: "br-1", subnets: [subnet], isInternal: true, masquerades: true)))
        #expect(
            bytes(transaction)
                == bytes {
                    $0.add([NFTablesElement([name])], to: "bridges", in: table)
                    $0.add([NFTablesElement([name, name])], to: "within", in: table)
                    $0.add([NFTablesElement([name])], to: "internal", in: table)
                    $0.add([.range([name], subnet)], to: "own4", in: table)
                })
    }

    @Test func `A bridge that changes is taken out and put in again in one transaction`() throws {
        var bridge = FilteredBridge(name: "br-1", subnets: [try #require(IPNetwork("fd00:1::/64"))], isInternal: false, masquerades: true)
        var model = model(.addBridge(bridge))
        #expect(model.apply(.addBridge(bridge)).isEmpty)
        bridge.masquerades = false
        #expect(
            subjects(model.apply(.addBridge(bridge))) == [
                "NFT_MSG_DELSETELEM an element of set bridges of table inet berth", "NFT_MSG_DELSETELEM an element of set within of table inet berth",
                "NFT_MSG_DELSETELEM an element of set own6 of table inet berth", "NFT_MSG_DELSETELEM 2 elements of set masquerade6 of table inet berth",
                "NFT_MSG_NEWSETELEM an element of set bridges of table inet berth", "NFT_MSG_NEWSETELEM an element of set within of table inet berth",
                "NFT_MSG_NEWSETELEM an element of set own6 of table inet berth",
            ])
    }

    @Test func `The whole table replaces what was there in one transaction`() throws {
        let subjects = subjects(model(.publish([try port("0.0.0.0", 80)])).everything)
        // A table must be there to be deleted: the first message sees to that.
        #expect(Array(subjects.prefix(3)) == ["NFT_MSG_NEWTABLE table inet berth", "NFT_MSG_DELTABLE table inet berth", "NFT_MSG_NEWTABLE table inet berth"])
        #expect(subjects.contains("NFT_MSG_NEWSET map publish4any of table inet berth"))
        #expect(subjects.filter { $0 == "NFT_MSG_NEWRULE rule in chain intoBridge of table inet berth" }.count == 6)
        #expect(subjects.last == "NFT_MSG_NEWSETELEM an element of set publish4any of table inet berth")
    }

    @Test func `A second engine has a table of its own`() {
        #expect("\(FilterRules(bridge: "berth1").table)" == "inet berth-berth1")
        #expect("\(FilterRules(bridge: "none").table)" == "inet berth")
    }
}

@Suite struct DockerUserChainTests {
    private let table = NFTablesTable(.ip, "filter")
    /// As nft writes the name, and as iptables does.
    private let wide = NFTablesElement.name("berth0")
    private let narrow = Array("berth0".utf8) + [0]

    private func rule(_ handle: UInt64, _ expressions: NFTablesExpression?...) -> NFTablesRule { NFTablesRule(handle: handle, expressions: expressions) }

    @Test func `Only what is missing is added`() {
        let rules = [
            rule(75, .meta(.outgoingInterfaceName, to: .first), .compare(.first, .equal, wide), .counter, .verdict(.accept)),
            rule(8, .counter, .verdict(.return)),
        ]
        let transaction = DockerUserChain.missing(table, bridges: ["berth0"], rules: rules)
        #expect(transaction.requests.map(\.subject) == ["rule in chain DOCKER-USER of table ip filter"])
        var expected = NFTablesTransaction()
        expected.insert(
            rule: [.meta(.incomingInterfaceName, to: .first), .compare(.first, .equal, wide), .counter, .verdict(.accept)], into: "DOCKER-USER", in: table)
        #expect(transaction.requests.map(\.body) == expected.requests.map(\.body))
    }

    @Test func `A bridge that a rule names already is left to that rule, a rule for names that begin alike is none`() {
        let own = [
            rule(1, .meta(.incomingInterfaceName, to: .first), .compare(.first, .equal, narrow), nil, .verdict(.drop)),
            rule(2, nil, .meta(.outgoingInterfaceName, to: .first), .compare(.first, .equal, narrow), .verdict(.accept)),
        ]
        #expect(DockerUserChain.missing(table, bridges: ["berth0"], rules: own).isEmpty)
        let others = [
            rule(1, .meta(.incomingInterfaceName, to: .first), .compare(.first, .equal, Array("berth0".utf8)), .verdict(.accept)),
            rule(2, .meta(.outgoingInterfaceName, to: .first), .compare(.first, .notEqual, wide), .verdict(.accept)),
        ]
        #expect(DockerUserChain.missing(table, bridges: ["berth0"], rules: others).requests.count == 2)
    }

    @Test func `What is stale is deleted by its handle, and a user's own rules about the bridge stay`() {
        let rules = [
            rule(1, .meta(.incomingInterfaceName, to: .first), .compare(.first, .equal, wide), .counter, .verdict(.accept)),
            rule(2, .meta(.outgoingInterfaceName, to: .first), .compare(.first, .equal, narrow), .counter, .verdict(.accept)),
            rule(3, .meta(.outgoingInterfaceName, to: .first), .compare(.first, .equal, NFTablesElement.name("berth01")), .counter, .verdict(.accept)),
            rule(4, .meta(.outgoingInterfaceName, to: .first), .compare(.first, .equal, wide), .counter, .verdict(.drop)),
            rule(5, .meta(.outgoingInterfaceName, to: .first), .compare(.first, .equal, wide), nil, .counter, .verdict(.accept)),
        ]
        #expect(
            DockerUserChain.stale(table, bridge: "berth0", rules: rules).requests.map(\.subject) == [
                "rule 1 in chain DOCKER-USER of table ip filter", "rule 2 in chain DOCKER-USER of table ip filter",
            ])
    }
}
