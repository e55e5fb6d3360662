import Testing

@testable import berth

/// Numbers, times, names and JSON as users and engines write them.
struct ValueTests {
    @Test func `sizes print like go-units`() {
        #expect(Sizes.human(0) == "0B")
        #expect(Sizes.human(1_984_000, precision: 3) == "1.98MB")
        #expect(Sizes.human(999_999) == "1e+03kB" || Sizes.human(999_999) == "1000kB")
        #expect(Sizes.binary(25_274_793_984) == "23.54GiB")
    }

    @Test func `sizes are read in powers of 1024`() throws {
        #expect(try Sizes.parse("64m") == 64 << 20)
        #expect(try Sizes.parse("1.5GiB") == 3 << 29)
        #expect(try Sizes.parse("512") == 512)
        for wrong in ["", "x", "5x", "-1", "5kk", "1 2"] { #expect(throws: InvalidValue.self) { try Sizes.parse(wrong) } }
    }

    @Test func `cpus are billionths`() throws {
        #expect(try Sizes.parseNanoCPUs("1.5") == 1_500_000_000)
        #expect(try Sizes.parseNanoCPUs(".25") == 250_000_000)
        for wrong in ["", ".", "x", "-1", "1.0000000001", "1.2.3"] { #expect(throws: InvalidValue.self) { try Sizes.parseNanoCPUs(wrong) } }
    }

    @Test func `durations go both ways`() throws {
        #expect(try Durations.parse("1h30m") == 5_400_000_000_000)
        #expect(try Durations.parse("1.5s") == 1_500_000_000)
        for wrong in ["", "5", "5q", "h"] { #expect(throws: InvalidValue.self) { try Durations.parse(wrong) } }
        let second: Int64 = 1_000_000_000
        #expect(Durations.human(nanoseconds: second / 2) == "Less than a second")
        #expect(Durations.human(nanoseconds: 90 * second) == "About a minute")
        #expect(Durations.human(nanoseconds: 5400 * second) == "2 hours")
        #expect(Durations.human(nanoseconds: 3 * 86400 * second) == "3 days")
        #expect(Durations.human(nanoseconds: 800 * 86400 * second) == "2 years")
    }

    @Test func `times of RFC 3339 keep their nanoseconds`() throws {
        let time = try #require(Timestamp(rfc3339: "2026-01-02T03:04:05.678901234Z"))
        #expect(time.seconds == 1_767_323_045)
        #expect(time.nanoseconds == 678_901_234)
        #expect(try #require(Timestamp(rfc3339: "2026-01-02T05:04:05+02:00")).seconds == 1_767_323_045)
        #expect(Timestamp(rfc3339: "yesterday") == nil)
        #expect(time.goStringUTC == "2026-01-02 03:04:05.678901234 +0000 UTC")
    }

    @Test func `image names are completed and shortened`() throws {
        #expect(try ImageReference("busybox").familiar == "busybox")
        #expect(try ImageReference("docker.io/library/busybox:1").familiar == "busybox:1")
        let local = try ImageReference("127.0.0.1:5000/a/b:c")
        #expect(local.domain == "127.0.0.1:5000" && local.path == "a/b" && local.tag == "c")
        #expect(try ImageReference("localhost/x").domain == "localhost")
        for wrong in ["", "UPPER", "a b", "a:", "a..b", "-a", "a/", "x@sha256:12", String(repeating: "a", count: 64)] {
            #expect(throws: CommandFailure.self, "\(wrong)") { try ImageReference(wrong) }
        }
    }

    @Test func `JSON keeps order, digits and escapes`() throws {
        let text = #"{"b":1.50,"a":[true,null,"x\n\u00e9\ud83d\ude00"],"c":{}}"#
        let value = try JSONParser.parse(text)
        #expect(value.text == #"{"b":1.50,"a":[true,null,"x\né😀"],"c":{}}"#)
        for wrong in ["", "{", "[1,]", "{\"a\"}", "tru", "\"x", "1 2", String(repeating: "[", count: 5000)] {
            #expect(throws: JSONParser.SyntaxError.self, "\(wrong.prefix(10))") { try JSONParser.parse(wrong) }
        }
    }

    @Test func `indenting does not touch strings and numbers`() {
        let source = #"{"a":[],"b":{},"c":[1.0,"x{,}\""],"d":"\u003c"}"#
        let expected = "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1.0,\n    \"x{,}\\\"\"\n  ],\n  \"d\": \"\\u003c\"\n}"
        #expect(String(decoding: JSONIndenter.indent(Array(source.utf8), by: "  "), as: UTF8.self) == expected)
    }

    @Test func `a stream of JSON may arrive in any pieces`() throws {
        var stream = JSONStream()
        var found: [String] = []
        for byte in Array("{\"a\":\"}{\"}\r\n{\"b\":[1]}".utf8) { found += try stream.append([byte]).map(\.text) }
        #expect(found == ["{\"a\":\"}{\"}", "{\"b\":[1]}"])
    }

    @Test func `base64 goes both ways`() {
        for text in ["", "a", "ab", "abc", "user:pässword"] {
            #expect(Base64.decode(Base64.encode(Array(text.utf8))) ?? [] == Array(text.utf8))
        }
        #expect(Base64.encode(Array("{}".utf8), urlSafe: true) == "e30=")
    }

    @Test func `names sort naturally`() {
        #expect(["web10", "web2", "web", "Web"].sorted(by: naturallyPrecedes) == ["Web", "web", "web2", "web10"])
    }
}
