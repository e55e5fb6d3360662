@testable import berthd
import BerthDefaults
import DockerAPI
import NIOCore
import NIOHTTP1
import Testing

private func message(_ body: () throws -> Void) -> String? {
    do {
        try body()
        return nil
    } catch {
        return (error as? DaemonError)?.message ?? "\(error)"
    }
}

@Test func `the version prefix is taken off and old and new ones are refused in Docker's words`() throws {
    let (version, path) = try EngineAPI.splitVersion("/v1.43/containers/json")
    #expect(version == .v(43))
    #expect(path == "/containers/json")
    #expect(try EngineAPI.splitVersion("/info").0 == .newest)
    #expect(try EngineAPI.splitVersion("/volumes").1 == "/volumes")
    #expect(message { _ = try EngineAPI.splitVersion("/v1.10/info") } == "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version")
    #expect(message { _ = try EngineAPI.splitVersion("/v1.99/info") } == "client version 1.99 is too new. Maximum supported API version is 1.51")
}

@Test func `names with slashes are found between fixed words`() {
    var router = Router()
    router.add(.GET, "/images/{name...}/json") { _ in .noContent }
    router.add(.GET, "/containers/{name}/json") { _ in .noContent }
    router.add(.GET, "/later", since: .v(40)) { _ in .noContent }
    #expect(router.match(.GET, path: "/images/127.0.0.1:5000/a/b/json", version: .newest)?.1["name"] == "127.0.0.1:5000/a/b")
    #expect(router.match(.GET, path: "/containers//web/json", version: .newest)?.1["name"] == "web")
    #expect(router.match(.GET, path: "/containers/%2Fweb/json", version: .newest)?.1["name"] == "/web")
    #expect(router.match(.POST, path: "/containers/web/json", version: .newest) == nil)
    #expect(router.match(.GET, path: "/later", version: .v(39)) == nil)
}

@Test func `malformed JSON is told as Go tells it`() {
    func decode(_ text: String) -> String? { message { _ = try JSONBody.decode(ContainerCreateRequest.self, from: ByteBuffer(string: text)) } }
    #expect(decode(#"{"Image":5}"#) == "invalid JSON: json: cannot unmarshal number into Go struct field ContainerCreateRequest.Image of type string")
    #expect(decode(#"{"HostConfig":{"Memory":"x"}}"#) == "invalid JSON: json: cannot unmarshal string into Go struct field ContainerCreateRequest.HostConfig.Memory of type int64")
    #expect(decode(#"{"Image":"x"} trailing"#) == "unexpected content after JSON")
    #expect(decode("{not")?.hasPrefix("invalid JSON: ") == true)
}

@Test func `syntax errors of JSON are worded as Go words them`() {
    func fault(_ text: String) -> String? { if case .invalid(let text) = GoJSONSyntax.check(Array(text.utf8)) { text } else { nil } }
    #expect(fault("{not json") == "invalid character 'n' looking for beginning of object key string")
    #expect(fault(#"{"a""#) == "unexpected EOF")
    #expect(fault(#"{"a":1,}"#) == "invalid character '}' looking for beginning of object key string")
    #expect(fault(#"{"a":1 "b":2}"#) == "invalid character '\"' after object key:value pair")
    #expect(fault(#"{"a" 1}"#) == "invalid character '1' after object key")
    #expect(fault("[1 2]") == "invalid character '2' after array element")
    #expect(fault(#"{"a":truX}"#) == "invalid character 'X' in literal true (expecting 'e')")
    #expect(fault(#"{"a":-}"#) == "invalid character '}' in numeric literal")
    #expect(fault(#"{"a":1.x}"#) == "invalid character 'x' after decimal point in numeric literal")
    #expect(fault(#"{"a":"\u12G4"}"#) == "invalid character 'G' in \\u hexadecimal character escape")
    #expect(fault("{\"a\":\"\u{1}\"}") == "invalid character '\\x01' in string literal")
    #expect(fault(String(repeating: "[", count: 20000)) == "exceeded max depth")
    #expect(GoJSONSyntax.check(Array(" \n".utf8)) == .empty)
    #expect(GoJSONSyntax.check(Array(#"{"a":[1,-0.5e+3,null,"\u00e9"]} "#.utf8)) == .valid(hasMore: false))
    #expect(GoJSONSyntax.check(Array("{} x".utf8)) == .valid(hasMore: true))
}

@Test func `fields are known in any spelling, keys of maps are kept`() throws {
    #expect(CanonicalKeys.name("detachKeys") == "DetachKeys")
    #expect(CanonicalKeys.name("hostconfig") == "HostConfig")
    let text = #"{"image":"x","labels":{"tty":"a"},"HOSTCONFIG":{"memory":7000000}}"#
    let request = try JSONBody.decode(ContainerCreateRequest.self, from: ByteBuffer(string: text), fields: CanonicalKeys.name)
    #expect(request.config.Image == "x" && request.config.Labels == ["tty": "a"] && request.HostConfig?.Memory == 7_000_000)
}

@Test func `frames are added and taken off whatever the pieces are`() {
    var adding = OutputFraming(.add), removing = OutputFraming(.remove)
    let framed = adding.apply(to: ByteBuffer(string: "hello"))
    #expect(Array(framed.readableBytesView) == [1, 0, 0, 0, 0, 0, 0, 5] + Array("hello".utf8))
    var text = ""
    for byte in framed.readableBytesView { text += String(buffer: removing.apply(to: ByteBuffer(bytes: [byte]))) }
    #expect(text == "hello")
}

@Test func `a query's flags follow Go's reading`() throws {
    let query = Query("a=1&b=0&c=false&d&e=True&n=12&x=a%20b+c")
    #expect(query.flag("a") && query.flag("e"))
    #expect(!query.flag("b") && !query.flag("c") && !query.flag("d") && !query.flag("none"))
    #expect(query.flag("none", default: true))
    #expect(try query.integer("n") == 12)
    #expect(query["x"] == "a b c")
    #expect(throws: DaemonError.self) { _ = try query.integer("e") }
}

@Test func `container names are Docker's`() throws {
    #expect(try CreateValidation.name("/web.1_a-b") == "web.1_a-b")
    for bad in ["", "a", "-web", "we b", "web/x", "wéb", String(repeating: "x", count: 300)] {
        #expect(throws: DaemonError.self) { _ = try CreateValidation.name(bad) }
    }
}

@Test func `limits are refused in Docker's words`() {
    func check(_ change: (inout HostConfig) -> Void) -> String? {
        var host = HostConfig()
        change(&host)
        return message { _ = try CreateValidation(daemon: DaemonConfig()).settle(&host) }
    }
    #expect(check { _ in } == nil)
    #expect(check { $0.Memory = 1 } == "Minimum memory limit allowed is 6MB")
    #expect(check { $0.MemorySwap = 9 } == "You should always set the Memory limit when using Memoryswap limit, see usage")
    #expect(check { $0.CpuPeriod = 1 } == "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    #expect(check { $0.CpusetCpus = "0-4294967295" }?.hasPrefix("Requested CPUs are not available") == true)
    #expect(check { $0.RestartPolicy = RestartPolicy(Name: "sometimes") }?.hasPrefix("invalid restart policy: unknown policy 'sometimes'") == true)
    #expect(check { $0.IpcMode = "odd" } == "invalid IPC mode: odd")
    #expect(check { $0.Sysctls = ["kernel.panic": "1"] } == "sysctl 'kernel.panic' is not allowed: it is not in a separate namespace")
    #expect(check { $0.Sysctls = ["net.ipv4.x": "1\nkernel.panic=1"] } == "invalid sysctl \"net.ipv4.x\": control characters are not allowed")
    #expect(check { $0.SecurityOpt = ["seccomp=nonsense"] } == "Decoding seccomp profile failed: the profile is not a JSON object")
    #expect(check { $0.LogConfig = LogConfig(Type: "nosuch") } == "error looking up logging plugin nosuch: plugin \"nosuch\" not found")
    #expect(check { $0.CapAdd = ["FLY"] } == "invalid CapAdd: unknown capability: \"FLY\"")
}

@Test func `detach keys are parsed and matched across pieces without losing a byte`() throws {
    #expect(try DetachScanner.parse("ctrl-p,ctrl-q") == [16, 17])
    #expect(try DetachScanner.parse("a,ctrl-@") == [97, 0])
    #expect(throws: DaemonError.self) { _ = try DetachScanner.parse("ctrl-ab") }
    var scanner = DetachScanner(keys: [16, 17])
    let first = scanner.scan(ByteBuffer(bytes: [1, 16]))
    #expect(Array(first.forwarded.readableBytesView) == [1])
    let second = scanner.scan(ByteBuffer(bytes: [2, 16, 16, 17]))
    #expect(Array(second.forwarded.readableBytesView) == [16, 2, 16])
    #expect(second.detach)
}
