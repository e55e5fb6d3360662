import DockerAPI
import Testing

@testable import berth

/// What arrives on hijacked connections and what is typed into them.
struct StreamTests {
    @Test func `frames are taken apart wherever the pieces are cut`() throws {
        let bytes: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 3] + Array("out".utf8) + [2, 0, 0, 0, 0, 0, 0, 0] + [2, 0, 0, 0, 0, 0, 0, 4] + Array("err!".utf8)
        for size in 1...bytes.count {
            var decoder = FrameDecoder()
            var (output, errors) = ("", "")
            for start in stride(from: 0, to: bytes.count, by: size) {
                try decoder.decode(bytes[start..<min(start + size, bytes.count)]) { kind, payload in
                    if kind == .stdout { output += String(decoding: payload, as: UTF8.self) } else { errors += String(decoding: payload, as: UTF8.self) }
                }
            }
            #expect(output == "out" && errors == "err!")
        }
    }

    @Test func `an unknown stream is refused`() {
        var decoder = FrameDecoder()
        #expect(throws: CommandFailure.self) { try decoder.decode([9, 0, 0, 0, 0, 0, 0, 1, 65]) { _, _ in } }
    }

    @Test func `the detach keys are found across reads and their beginnings handed on`() throws {
        var keys = try DetachSequence("")
        #expect(keys.filter([97, 16]) == [97])
        #expect(keys.filter([98]) == [16, 98])
        #expect(keys.filter([16]) == [])
        #expect(keys.filter([17]) == nil)
        var own = try DetachSequence("ctrl-a,d")
        #expect(own.filter([1, 1]) == [1])
        #expect(own.filter([100]) == nil)
        #expect(throws: CommandFailure.self) { try DetachSequence("ctrl-1x") }
    }

    @Test func `progress is plain without a terminal`() throws {
        var shown = ""
        let messages = try [
            #"{"status":"Pulling fs layer","progressDetail":{},"id":"abc"}"#, #"{"status":"Downloading","progressDetail":{"current":5,"total":10},"id":"abc"}"#,
            #"{"status":"Pull complete","progressDetail":{},"id":"abc"}"#, #"{"stream":"Loaded image: x\n"}"#,
        ].map { try JSONParser.parse($0) }
        var display = ProgressDisplay(isTerminal: false, width: 0) { shown += $0 }
        for message in messages { try display.show(message) }
        #expect(shown == "abc: Pulling fs layer\nabc: Pull complete\nLoaded image: x\n")
    }

    @Test func `progress moves in place on a terminal`() throws {
        var shown = ""
        var display = ProgressDisplay(isTerminal: true, width: 120) { shown += $0 }
        try display.show(JSONParser.parse(#"{"status":"Downloading","progressDetail":{"current":5000,"total":10000},"id":"abc"}"#))
        let bar = "[" + String(repeating: "=", count: 25) + ">" + String(repeating: " ", count: 25) + "]      5kB/10kB"
        #expect(shown == "\n\u{1B}[1A\u{1B}[2K\rabc: Downloading \(bar)\r\u{1B}[1B")
        #expect(throws: CommandFailure.self) { try display.show(JSONParser.parse(#"{"errorDetail":{"message":"broken"},"error":"broken"}"#)) }
    }

    @Test func `neighbouring ports become a range`() throws {
        let ports = try JSONParser.parse(
            #"[{"PrivatePort":81,"Type":"tcp"},{"PrivatePort":80,"Type":"tcp"},{"IP":"0.0.0.0","PrivatePort":90,"PublicPort":8090,"Type":"tcp"},{"IP":"::","PrivatePort":53,"PublicPort":53,"Type":"udp"}]"#)
        #expect(PortColumn.text(ports.arrayValue ?? []) == "[::]:53->53/udp, 80-81/tcp, 0.0.0.0:8090->90/tcp")
    }

    @Test func `hosts are told apart`() throws {
        #expect(try EngineHost.parse("unix:///x/y.sock").description == "unix:///x/y.sock")
        #expect(try EngineHost.parse("tcp://h:1").description == "tcp://h:1")
        #expect(try EngineHost.parse("tcp://[::1]:2/base").description == "tcp://[::1]:2/base")
        for wrong in ["foo://x", "ssh://a", "https://a", "fd://", "tcp://h:x"] { #expect(throws: CommandFailure.self, "\(wrong)") { try EngineHost.parse(wrong) } }
    }
}
