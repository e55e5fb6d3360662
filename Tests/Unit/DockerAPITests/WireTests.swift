import DockerAPI
import FoundationEssentials
import Testing

private func decode<T: Decodable>(_ type: T.Type, _ json: String) throws -> T { try JSONDecoder().decode(type, from: Data(json.utf8)) }
private func encode(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}

@Test func `a create request has the configuration's fields beside HostConfig`() throws {
    let request = try decode(ContainerCreateRequest.self, #"{"Image":"a","Cmd":["x"],"HostConfig":{"Memory":6,"Binds":null},"NetworkingConfig":{"EndpointsConfig":{"n":null}}}"#)
    #expect(request.config.Image == "a")
    #expect(request.config.Cmd == ["x"])
    #expect(request.HostConfig?.Memory == 6)
    #expect(request.HostConfig?.Binds == nil)
    #expect(request.NetworkingConfig?.EndpointsConfig?.keys.contains("n") == true)
}

@Test func `an empty object is a create request`() throws {
    #expect(try decode(ContainerCreateRequest.self, "{}") == ContainerCreateRequest(config: ContainerConfig()))
}

@Test func `a command may be one string`() throws {
    #expect(try decode(ContainerConfig.self, #"{"Cmd":"date","Entrypoint":null}"#).Cmd == ["date"])
}

@Test func `what Go writes as null is written as null`() throws {
    let json = try encode(HostConfig())
    #expect(json.contains(#""Binds":null"#))
    #expect(json.contains(#""PidsLimit":null"#))
    #expect(!json.contains(#""Memory""#))
}

@Test func `a port may be a number or a string`() throws {
    let host = try decode(HostConfig.self, #"{"PortBindings":{"80/tcp":[{"HostPort":8080},{"HostIp":"","HostPort":"90"}],"81/tcp":null}}"#)
    #expect(host.PortBindings?["80/tcp"]??.map(\.HostPort) == ["8080", "90"])
    #expect(host.PortBindings?.keys.contains("81/tcp") == true)
}

@Test func `a wrong type names its field`() {
    #expect {
        _ = try decode(ContainerCreateRequest.self, #"{"HostConfig":{"Memory":"x"}}"#)
    } throws: { error in
        guard case DecodingError.typeMismatch(_, let context) = error else { return false }
        return context.codingPath.map(\.stringValue) == ["HostConfig", "Memory"]
    }
}

@Test func `a stream frame survives its header`() {
    let frame = StreamFrame(kind: .stderr, length: 0x0102_0304)
    #expect(frame.header == [2, 0, 0, 0, 1, 2, 3, 4])
    #expect(StreamFrame(header: frame.header) == frame)
    #expect(StreamFrame(header: [9, 0, 0, 0, 0, 0, 0, 1]) == nil)
    #expect(StreamFrame(header: [1, 0, 0]) == nil)
}
