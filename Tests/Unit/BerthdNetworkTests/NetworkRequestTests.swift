@testable import berthd
import DockerAPI
import Testing

@Suite struct NetworkRequestTests {
    private func request(_ name: String, _ change: (inout NetworkCreateRequest) -> Void = { _ in }) -> NetworkCreateRequest {
        var request = NetworkCreateRequest()
        request.Name = name
        change(&request)
        return request
    }

    private func pool(_ subnet: String, gateway: String? = nil, range: String? = nil) -> IPAMConfiguration {
        var pool = IPAMPool()
        pool.Subnet = subnet
        pool.Gateway = gateway
        pool.IPRange = range
        var ipam = IPAMConfiguration()
        ipam.Config = [pool]
        return ipam
    }

    @Test func `A network with a subnet gets its first address as gateway`() throws {
        let record = try NetworkRequestReader.record(from: request("n") { $0.IPAM = pool("10.1.0.0/16") })
        #expect(record.pools.first?.gateway == "10.1.0.1" && record.hasChosenSubnet && record.isUserDefined)
        #expect(record.linkName == "br-" + record.id.prefix(12))
    }

    @Test(arguments: [
        ("172.28.0/17", nil, nil, "invalid network config:\ninvalid subnet 172.28.0/17: invalid CIDR block notation"),
        ("172.29.0.1/17", nil, nil, "invalid network config:\ninvalid subnet 172.29.0.1/17: it should be 172.29.0.0/17"),
        ("10.0.0.0/24", "10.0.1.1", nil, "invalid network config:\ninvalid gateway 10.0.1.1: parent subnet 10.0.0.0/24 doesn't contain this address"),
        ("10.0.0.0/24", nil, "10.0.0.0/16", "invalid network config:\ninvalid ip-range 10.0.0.0/16: CIDR block is bigger than its parent subnet 10.0.0.0/24"),
    ] as [(String, String?, String?, String)])
    func `Bad address plans are refused in dockerd's words`(subnet: String, gateway: String?, range: String?, message: String) {
        let error = #expect(throws: DaemonError.self) { try NetworkRequestReader.record(from: request("n") { $0.IPAM = pool(subnet, gateway: gateway, range: range) }) }
        #expect(error?.message == message)
    }

    @Test func `What is not built is refused and not ignored`() {
        #expect(throws: DaemonError.self) { try NetworkRequestReader.record(from: request("n") { $0.Driver = "macvlan" }) }
        #expect(throws: DaemonError.self) { try NetworkRequestReader.record(from: request("n") { $0.ConfigOnly = true }) }
        #expect(throws: DaemonError.self) { try NetworkRequestReader.record(from: request("n") { $0.Options = ["com.docker.network.bridge.inhibit_ipv4": "1"] }) }
        #expect(throws: DaemonError.self) { try NetworkRequestReader.record(from: request("bridge")) }
        #expect(throws: DaemonError.self) { try NetworkRequestReader.record(from: request("")) }
    }

    @Test func `Filters are read in both forms`() throws {
        #expect(try ListFilters("{\"label\":[\"a=b\"]}", accepted: ["label"]) == ListFilters("{\"label\":{\"a=b\":true}}", accepted: ["label"]))
        #expect(throws: DaemonError.self) { try ListFilters("{\"foo\":[\"x\"]}", accepted: ["label"]) }
        #expect(throws: DaemonError.self) { try ListFilters("{", accepted: ["label"]) }
        #expect(throws: DaemonError.self) { try ListFilters("{\"dangling\":[\"maybe\"]}", accepted: ["dangling"]).boolean("dangling") }
        #expect(try ListFilters("{\"label\":[\"a\",\"c=d\"]}", accepted: ["label"]).matchesLabels(["a": "1", "c": "d"]))
        #expect(GoDuration.nanoseconds("1h30m") == 5_400_000_000_000 && GoDuration.nanoseconds("5") == nil)
    }
}
