@testable import Registry
@testable import berth_supervisor
import BerthDefaults
import LinuxSystem
import NIOCore
import Testing

@Suite struct `hosts.toml and certs.d` {
    private let origin = RegistryHost(authority: "registry.example", schemes: ["https"])

    private func hosts(_ text: String, for domain: String = "registry.example") throws -> [RegistryHost] {
        try HostsFile(table: try TOMLReader.read(text), directory: "/certs").hosts(for: domain, default: origin)
    }

    @Test func `mirrors come in the order of the file and the server last`() throws {
        let found = try hosts(
            """
            server = "https://upstream.example"   # the real one
            [host."https://b.example"]
              capabilities = ["pull", "resolve"]
            [host."http://a.example:5000/proxy"]
              capabilities = [
                "pull", # only by digest
              ]
              [host."http://a.example:5000/proxy".header]
                x-team = ["one", "two"]
            """)
        #expect(found.map(\.authority) == ["b.example", "a.example:5000", "upstream.example"])
        #expect(found.map(\.path) == ["/v2", "/proxy/v2", "/v2"])
        #expect(found.map(\.schemes) == [["https"], ["http"], ["https"]])
        #expect(found.map(\.capabilities) == [[.pull, .resolve], .pull, .all])
        #expect(found.map(\.isOrigin) == [false, false, true])
        #expect(found[1].headers.map(\.value) == ["one", "two"])
        #expect(found.map(\.proxied) == ["registry.example", "registry.example", "registry.example"])
    }

    @Test func `certificates may be one file, several, or pairs`() throws {
        let tls = try hosts(#"ca = "ca.pem""# + "\n" + #"client = [["c.pem", "/k.pem"], "both.pem"]"# + "\nskip_verify = true\n")[0].tls
        #expect(tls.authorities == ["/certs/ca.pem"])
        #expect(tls.clientPairs == [.init(certificate: "/certs/c.pem", key: "/k.pem"), .init(certificate: "/certs/both.pem", key: "/certs/both.pem")])
        #expect(tls.skipsVerification)
    }

    @Test func `a path that is overridden stays as it is`() throws {
        let found = try hosts("[host.\"https://m.example/v2/prefix\"]\noverride_path = true\n[host.\"https://m.example/x/v2/\"]\n")
        #expect(found[0].path == "/v2/prefix")
        #expect(found[1].path == "/x/v2")
    }

    @Test func `a dial timeout is a duration as Go writes it`() throws {
        #expect(try hosts("dial_timeout = \"1m1s\"")[0].connectTimeout == .seconds(61))
        #expect(HostsFile.duration("250ms") == .milliseconds(250))
        #expect(HostsFile.duration("3") == nil)
        #expect(HostsFile.duration("s") == nil)
    }

    @Test(arguments: [
        "server = 1", "colour = \"red\"", "capabilities = [\"fly\"]", "[host.\"ftp://x\"]", "[host.\"https://user@x\"]", "dial_timeout = \"soon\"", "skip_verify = \"yes\"",
        "host = 1",
    ])
    func `what is not understood is refused`(text: String) { #expect(throws: StorageError.self) { try hosts(text) } }

    @Test func `flags decide where there is no file`() throws {
        var options = RegistryOptions()
        #expect(try options.hosts(for: "registry.example")[0].schemes == ["https"])
        #expect(try options.hosts(for: "localhost:5000")[0].schemes == ["http", "https"])
        #expect(try options.hosts(for: "docker.io")[0].authority == "registry-1.docker.io")
        options.mirrors = ["http://127.0.0.1:5050", "https://m.example/hub"]
        let found = try options.hosts(for: "docker.io")
        #expect(found.map(\.description) == ["http://127.0.0.1:5050", "https://m.example/hub/v2", "https://registry-1.docker.io"])
        #expect(found.map(\.isOrigin) == [false, false, true])
        options.isInsecure = true
        #expect(try options.hosts(for: "registry.example").last?.schemes == ["https", "http"])
        #expect(try options.hosts(for: "registry.example").last?.tls.skipsVerification == true)
    }
}

@Suite struct `TOML` {
    @Test func `every form of key, string and table is read`() throws {
        let table = try TOMLReader.read(
            #"""
            a.b = 'literal \n'  # comment
            "quoted key" = "tab\t\u00e9 # no comment"
            number = 1_000
            hex = 0x1f
            yes = true
            list = [[1, 2], ["x",],]
            inline = { x = 1, y.z = "2" }
            text = """
            two
            lines"""
            [[item]]
            n = 1
            [[item]]
            n = 2
            """#)
        #expect(table["a"] == .table(try TOMLReader.read("b = 'literal \\n'")))
        #expect(table["quoted key"] == .string("tab\té # no comment"))
        #expect(table["number"] == .integer(1000))
        #expect(table["hex"] == .integer(31))
        #expect(table["yes"] == .boolean(true))
        #expect(table["list"] == .array([.array([.integer(1), .integer(2)]), .array([.string("x")])]))
        #expect(table["text"] == .string("two\nlines"))
        #expect(table["item"] == .array([.table(try TOMLReader.read("n = 1")), .table(try TOMLReader.read("n = 2"))]))
    }

    @Test(arguments: ["a", "a =", "a = b", "a = \"x", "[a", "a = 1\na = 2", "a = 1 2", "a = [1", "a = {x = 1", "a = 1\n[a]\nb = 1", "a = 1.5", "a = \"\\q\""])
    func `a mistake is told with its line`(text: String) {
        let error = #expect(throws: StorageError.self) { try TOMLReader.read(text) }
        #expect(error?.message.hasPrefix("line ") == true)
    }
}

@Suite struct `Retry-After` {
    @Test func `seconds and dates are understood`() {
        #expect(RetryAfter.seconds("7", now: 0) == 7)
        #expect(RetryAfter.seconds("Wed, 21 Oct 2015 07:28:00 GMT", now: 1_445_412_470) == 10)
        #expect(RetryAfter.seconds("Thu, 01 Jan 1970 00:00:05 GMT", now: 9) == 0)
        #expect(RetryAfter.seconds("soon", now: 0) == nil)
        #expect(RetryAfter.seconds("-1", now: 0) == nil)
    }
}
