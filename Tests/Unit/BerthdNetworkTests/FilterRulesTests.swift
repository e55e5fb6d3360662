@testable import berthd
import Netlink
import Testing

@Suite struct FilterRulesTests {
    private func model(_ changes: FilterModel.Change...) -> FilterModel {
        var model = FilterModel(rules: FilterRules(bridge: "berth0"))
        for change in changes { _ = model.apply(change) }
        return model
    }

    private func port(_ host: String, _ number: UInt16, to container: String = "172.18.0.2") throws -> PublishedPort {
        PublishedPort(
            proto: .tcp, hostAddress: try #require(IPAddress(host)), hostPort: number, containerAddress: try #require(IPAddress(container)), containerPort: 80)
    }

    @Test func `Ports of every address and of one address go into different maps`() throws {
        var model = model()
        let commands = model.apply(.publish([try port("0.0.0.0", 8080), try port("127.0.0.1", 8081), try port("::", 8080, to: "fd00::2")]))
        #expect(commands.contains("add element inet berth publish4any { tcp . 8080 : 172.18.0.2 . 80 }"))
        #expect(commands.contains("add element inet berth publish4 { 127.0.0.1 . tcp . 8081 : 172.18.0.2 . 80 }"))
        #expect(commands.contains("add element inet berth publish6any { tcp . 8080 : fd00::2 . 80 }"))
    }

    @Test func `A thousand ports are one element command`() throws {
        var model = model()
        let commands = model.apply(.publish(try (1...1000).map { try port("0.0.0.0", UInt16($0)) }))
        #expect(commands.split(separator: "\n").count == 1)
    }

    @Test func `What is there is not added and what is not there is not deleted`() throws {
        var model = model(.publish([try port("0.0.0.0", 80)]))
        #expect(model.apply(.publish([try port("0.0.0.0", 80)])).isEmpty)
        #expect(model.apply(.unpublish([try port("0.0.0.0", 81)])).isEmpty)
        #expect(model.apply(.unpublish([try port("0.0.0.0", 80)])) == "delete element inet berth publish4any { tcp . 80 }\n")
        #expect(model.apply(.removeBridge("br-0")).isEmpty)
    }

    @Test func `An internal network is not masqueraded`() throws {
        var model = model()
        let subnet = try #require(IPNetwork("10.1.0.0/16"))
        let commands = model.apply(.addBridge(FilteredBridge(name: "br-1", subnets: [subnet], isInternal: true, masquerades: true)))
        #expect(commands.contains("internal { \"br-1\" }"))
        #expect(!commands.contains("masquerade4"))
        #expect(commands.contains("own4 { \"br-1\" . 10.1.0.0/16 }"))
    }

    @Test func `The whole table replaces what was there in one transaction`() throws {
        let model = model(.publish([try port("0.0.0.0", 80)]))
        #expect(model.everything.hasPrefix("table inet berth\ndelete table inet berth\n"))
        #expect(model.everything.contains("publish4any { tcp . 80"))
    }

    @Test func `A second engine has a table of its own`() {
        #expect(FilterRules(bridge: "berth1").table == "inet berth-berth1")
        #expect(FilterRules(bridge: "none").table == "inet berth")
    }

    @Test func `In DOCKER-USER only what is missing is added, and by handle what is stale is deleted`() {
        let listing = "chain DOCKER-USER { # handle 7\n\toifname \"berth0\" counter packets 1 bytes 2 accept # handle 75\n\tcounter packets 36 bytes 2844 return # handle 8\n}"
        #expect(DockerUserChain.missing(family: "ip", bridges: ["berth0"], listing: listing) == "insert rule ip filter DOCKER-USER iifname \"berth0\" counter accept\n")
        #expect(DockerUserChain.stale(family: "ip", bridge: "berth0", listing: listing) == "delete rule ip filter DOCKER-USER handle 75\n")
    }
}
