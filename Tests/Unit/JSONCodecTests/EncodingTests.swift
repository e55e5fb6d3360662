import JSONCodec
import Testing

private func text(_ value: some Encodable, layout: JSON.Layout = .compact) throws -> String {
    String(decoding: try JSON.encode(value, layout: layout), as: UTF8.self)
}

@Suite struct EncodingTests {
    private struct Sample: Codable {
        var zebra = 1
        var apple: [String]? = ["a\"\\\n\u{1}é"]
        var none: Int?
        var mask = UInt64.max
        var map = ["b": [1, 2], "a": []]
        var half = 0.5
        var whole = 3.0
    }

    @Test func `fields keep their order and maps are sorted`() throws {
        #expect(try text(Sample()) == #"{"zebra":1,"apple":["a\"\\\n\u0001é"],"mask":18446744073709551615,"map":{"a":[],"b":[1,2]},"half":0.5,"whole":3}"#)
    }

    @Test func `an indented document looks as Go writes it`() throws {
        struct Empty: Codable {}
        let value = ["list": ["x", "y"], "none": []]
        #expect(try text(value, layout: .indented("  ")) == "{\n  \"list\": [\n    \"x\",\n    \"y\"\n  ],\n  \"none\": []\n}")
        #expect(try text(Empty(), layout: .indented("\t")) == "{}")
    }

    @Test func `a number that is not finite is refused with its path`() {
        #expect(throws: JSONError.self) { try JSON.encode(["a": [1.0, Double.infinity]]) }
        do {
            _ = try JSON.encode(["a": [1.0, Double.infinity]])
        } catch {
            #expect(error.description == "a[1]: inf has no form in JSON")
        }
    }

    @Test func `a type that writes itself gives the same text`() throws {
        struct Inner: Encodable, JSONWritable {
            let text = "a\"\n\u{1}é", list = ["x", "y"]
            func write(to object: inout JSONObjectWriter) {
                object.add("text", text)
                object.add("list", list)
            }
        }
        struct Outer: Encodable, JSONWritable {
            let number: Int64 = -1, large = UInt64.max, flag = true, map = ["b": "2", "a": "1"], none: String? = nil, inner = Inner(), inners = [Inner(), Inner()]
            func write(to object: inout JSONObjectWriter) {
                object.add("number", number)
                object.add("large", large)
                object.add("flag", flag)
                object.add("map", map)
                object.add("none", none)
                object.add("inner", inner)
                object.add("inners", inners)
            }
        }
        let expected = try text(Outer())
        #expect(String(decoding: JSON.write(Outer()), as: UTF8.self) == expected)
    }
}
