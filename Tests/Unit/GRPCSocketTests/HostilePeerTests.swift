import ContainerdAPI
import GRPCSocket
import SwiftProtobuf
import Testing

/// Bytes that no proper client sends: the connection ends with GOAWAY, the server lives on.
@Suite struct `Broken and hostile peers` {
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    private static let settings = frame(4, 0, 0, [])

    private static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags]
            + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: stream >> UInt32($0)) } + payload
    }

    /// The error code of the GOAWAY in an answer, nil when there is none.
    private static func goAwayCode(_ answer: [UInt8]) -> UInt32? {
        var rest = answer[...]
        while rest.count >= 9 {
            let header = Array(rest.prefix(9))
            let length = Int(header[0]) << 16 | Int(header[1]) << 8 | Int(header[2])
            let payload = Array(rest.dropFirst(9).prefix(length))
            if header[3] == 7, payload.count >= 8 { return payload[4..<8].reduce(0) { $0 << 8 | UInt32($1) } }
            rest = rest.dropFirst(9 + length)
        }
        return nil
    }

    @Test(arguments: [
        ("a frame that is too large", [0x10, 0, 0, 0, 0, 0, 0, 0, 1] as [UInt8], UInt32(6)),
        ("data on stream 0", frame(0, 0, 0, [1]), 1),
        ("data on a stream that was never opened", frame(0, 0, 7, [1]), 1),
        ("continuation without headers", frame(9, 4, 1, []), 1),
        ("a header block that is garbage", frame(1, 5, 1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), 9),
        ("more padding than frame", frame(1, 0xd, 1, [200, 0]), 1),
        ("a ping of the wrong size", frame(6, 0, 0, [1, 2]), 6),
        ("push promise", frame(5, 4, 1, [0, 0, 0, 2]), 1),
        ("a window that overflows", frame(8, 0, 0, [0x7f, 0xff, 0xff, 0xff]), 3),
        ("an even stream", frame(1, 5, 2, [0x83]), 1),
    ])
    func `the connection ends with the right code`(what: String, bytes: [UInt8], code: UInt32) async throws {
        try await TestServer.with { test in
            let answer = talkRaw(to: test.path, Self.preface + Self.settings + bytes)
            #expect(Self.goAwayCode(answer) == code, "\(what)")
            _ = try await test.client.unary(VersionAPI.version, .init())
        }
    }

    @Test func `HTTP 1 is turned away`() async throws {
        try await TestServer.with { test in
            let answer = talkRaw(to: test.path, Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8))
            #expect(Self.goAwayCode(answer) == 1)
        }
    }

    @Test func `continuation frames cannot fill the memory`() async throws {
        try await TestServer.with { test in
            let part = Self.frame(9, 0, 1, [UInt8](repeating: 0x40, count: 16_000))
            let answer = talkRaw(to: test.path, Self.preface + Self.settings + Self.frame(1, 0, 1, []) + [[UInt8]](repeating: part, count: 100).flatMap { $0 })
            #expect(Self.goAwayCode(answer) == 11)
        }
    }

    @Test func `thousands of pings are answered, as grpc-go needs it`() async throws {
        try await TestServer.with { test in
            let ping = Self.frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8])
            let answer = talkRaw(to: test.path, Self.preface + Self.settings + [[UInt8]](repeating: ping, count: 2000).flatMap { $0 })
            #expect(Self.goAwayCode(answer) == nil)
            #expect(answer.count >= 2000 * ping.count)
        }
    }

    @Test func `streams opened and reset at once cost nothing that stays`() async throws {
        try await TestServer.with { test in
            var bytes = Self.preface + Self.settings
            for index in 0..<5000 {
                let stream = UInt32(index * 2 + 1)
                // :method POST, no path: refused as no gRPC call, and reset by us before we could read that.
                bytes += Self.frame(1, 4, stream, [0x83, 0x86]) + Self.frame(3, 0, stream, [0, 0, 0, 8])
            }
            _ = talkRaw(to: test.path, bytes)
            _ = try await test.client.unary(VersionAPI.version, .init())
        }
    }
}
