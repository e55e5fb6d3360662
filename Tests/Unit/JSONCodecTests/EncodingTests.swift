import Foundation
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
        struct Inner: Encodable {
            let text = "a\"\n\u{1}é", list = ["x", "y"]
            func write(to object: inout JSONObjectWriter) {
                object.add("text", text)
                object.add("list", list)
            }
        }
        struct Outer: Encodable {
            let number: Int64 = -1, large = UInt64.max, flag = true, map = ["b": "2", "a": "1"], none: String? = nil, inner = Inner(), inners = [Inner(), Inner()]
            func write(to object: inout JSONObjectWriter) {
                object.add("number", number)
                object.add("large", large)
                object.add("flag", flag)
                object.add("map", map)
                object.add("none", none)
                object.add("inner", inner.write(to:))
                object.add("inners", count: inners.count) { inners[$1].write(to: &$0) }
            }
        }
        let expected = try text(Outer())
        #expect(String(decoding: JSON.write(Outer().write(to:)), as: UTF8.self) == expected)
    }

    @Test func `numbers look as Go writes them`() throws {
        let numbers = [0, -0.5, 1e20, 1e21, 123456789.125, 0.000001, 0.00000012, 1.5e300, -2.5e-7, 100, 0.1, 1e15 + 0.5]
        #expect(try text(numbers) == "[0,-0.5,100000000000000000000,1e+21,123456789.125,0.000001,1.2e-7,1.5e+300,-2.5e-7,100,0.1,1000000000000000.5]")
        #expect(try text([Float(0.1), 16777216]) == "[0.1,16777216]")
        #expect(try text([Int64.min, .max]) == "[-9223372036854775808,9223372036854775807]")
    }

    @Test func `every number reads back as it was`() throws {
        var random = Seeded(state: 1)
        for _ in 0..<20_000 {
            let value = Double(bitPattern: random.next())
            if value.isFinite { #expect(Double(try text(value)) == value) }
            let single = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
            if single.isFinite { #expect(Float(try text(single)) == single) }
        }
    }

    @Test func `texts are escaped as Go does without SetEscapeHTML`() throws {
        #expect(try text("</a>&\u{7f}\u{2028}\u{2029}\u{2027}é🐳\u{1f}\u{8}\u{c}\r\t\0") == #""</a>&\#u{7f}\u2028\u2029\#u{2027}é🐳\u001f\b\f\r\t\u0000""#)
    }

    @Test func `what stays open beside other fields stands where it was opened`() throws {
        struct Parts: Encodable {
            enum Key: String, CodingKey { case first, second, third, list }
            func encode(to encoder: any Encoder) throws {
                var own = encoder.container(keyedBy: Key.self)
                var first = own.nestedContainer(keyedBy: Key.self, forKey: .first)
                var list = own.nestedUnkeyedContainer(forKey: .list)
                try own.encode("own", forKey: .second)
                try first.encode(1, forKey: .second)
                try list.encode("a")
                var inner = list.nestedContainer(keyedBy: Key.self)
                var innerList = list.nestedUnkeyedContainer()
                try innerList.encode(true)
                try inner.encode(["b": 1, "a": 2], forKey: .third)
                try list.encodeNil()
                try own.superEncoder().singleValueContainer().encodeOnce("above")
                try 7.encode(to: own.superEncoder(forKey: .third))
                try [3].encode(to: list.superEncoder())
                #expect(list.count == 5)
            }
        }
        #expect(try text(["x": Parts()]) == #"{"x":{"first":{"second":1},"list":["a",{"third":{"a":2,"b":1}},[true],null,[3]],"second":"own","super":"above","third":7}}"#)
        #expect(try text([Parts()], layout: .indented(" ")).hasPrefix("[\n {\n  \"first\": {\n   \"second\": 1\n  },\n  \"list\": [\n   \"a\",\n   {\n    \"third\": {\n     \"a\": 2,"))
    }

    @Test func `a type may ask for its container again, as for the fields of what it extends`() throws {
        struct Both: Encodable {
            func encode(to encoder: any Encoder) throws {
                try ["b": 1].encode(to: encoder)
                var more = encoder.container(keyedBy: CodingKeys.self)
                try more.encode(2, forKey: .more)
            }
            enum CodingKeys: String, CodingKey { case more }
        }
        #expect(try text([Both()]) == #"[{"b":1,"more":2}]"#)
    }

    @Test func `a type that contradicts itself is an error and not half a document`() {
        struct Twice: Encodable {
            func encode(to encoder: any Encoder) throws {
                var list = encoder.unkeyedContainer()
                try list.encode(1)
                var object = encoder.container(keyedBy: PathName.self)
                try object.encode(2, forKey: PathName(stringValue: "x"))
            }
        }
        #expect(throws: JSONError.self) { try JSON.encode(Twice()) }
        #expect(throws: JSONError.self) { try JSON.encode(["a": Twice()]) }
    }

    @Test func `maps with other keys than texts, enumerations and absent values are as Foundation has them`() throws {
        enum Choice: Codable { case one(Int, name: String), none }
        #expect(try text([10: "b", 9: "a"]) == #"{"10":"b","9":"a"}"#)
        #expect(try text([Choice.one(1, name: "x"), .none]) == #"[{"one":{"_0":1,"name":"x"}},{"none":{}}]"#)
        #expect(try text(["a": nil, "b": 1] as [String: Int?]) == #"{"a":null,"b":1}"#)
        #expect(try text(nil as Int?) == "null")
        #expect(try text("x") == #""x""#)
        #expect(try text(Data([1, 2])) == "[1,2]")
    }

    /// Foundation's encoder and ours must say the same, whatever the value.
    @Test(arguments: 0..<200) func `random values mean what Foundation's encoder writes`(seed: UInt64) throws {
        var random = Seeded(state: seed)
        let value = Value.random(depth: 0, &random)
        for layout in [JSON.Layout.compact, .indented("\t")] {
            let ours = try JSONSerialization.jsonObject(with: Data(JSON.encode(value, layout: layout)), options: .fragmentsAllowed)
            let theirs = try JSONSerialization.jsonObject(with: JSONEncoder().encode(value), options: .fragmentsAllowed)
            #expect((ours as? NSObject) == (theirs as? NSObject), "seed \(seed)")
        }
        #expect(try JSON.encode(value) == JSON.encode(value))
    }
}

extension SingleValueEncodingContainer {
    fileprivate func encodeOnce(_ text: String) throws {
        var container = self
        try container.encode(text)
    }
}

private struct PathName: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

private struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// A value of any shape, with every way of encoding.
private indirect enum Value: Encodable {
    case null, bool(Bool), int(Int64), unsigned(UInt64), small(Int8), number(Double), single(Float), text(String), texts([String]), map([String: String])
    case list([Value]), object([String: Value]), fields(Value, Value?), open(Value, Value)

    private enum Key: String, CodingKey { case a, b, slash = "with/slash \" é" }

    func encode(to encoder: any Encoder) throws {
        var plain: any SingleValueEncodingContainer { encoder.singleValueContainer() }
        switch self {
        case .null:
            var plain = plain
            try plain.encodeNil()
        case .bool(let value): try value.encode(to: encoder)
        case .int(let value): try value.encode(to: encoder)
        case .unsigned(let value): try value.encode(to: encoder)
        case .small(let value): try value.encode(to: encoder)
        case .number(let value): try value.encode(to: encoder)
        case .single(let value): try value.encode(to: encoder)
        case .text(let value): try plain.encodeOnce(value)
        case .texts(let value):
            var plain = plain
            try plain.encode(value)
        case .map(let value):
            var plain = plain
            try plain.encode(value)
        case .list(let values):
            var list = encoder.unkeyedContainer()
            for value in values { try list.encode(value) }
        case .object(let values): try values.encode(to: encoder)
        case .fields(let first, let second):
            var fields = encoder.container(keyedBy: Key.self)
            try fields.encode(first, forKey: .slash)
            try fields.encodeIfPresent(second, forKey: .b)
        case .open(let first, let second):
            var fields = encoder.container(keyedBy: Key.self)
            var list = fields.nestedUnkeyedContainer(forKey: .a)
            try fields.encode(second, forKey: .b)
            try list.encode(first)
            try second.encode(to: list.superEncoder())
        }
    }

    static func random(depth: Int, _ random: inout Seeded) -> Value {
        func text() -> String {
            let pieces = ["a", "\"", "\\", "/", "é", "🐳", "\n", "\u{2028}", "\u{1}", "<&>", "long enough to be on the heap", ""]
            return (0..<Int.random(in: 0...4, using: &random)).map { _ in pieces.randomElement(using: &random)! }.joined()
        }
        func values() -> [Value] { (0..<Int.random(in: 0...4, using: &random)).map { _ in Value.random(depth: depth + 1, &random) } }
        switch Int.random(in: 0...(depth > 4 ? 9 : 13), using: &random) {
        case 0: return .null
        case 1: return .bool(.random(using: &random))
        case 2: return .int(.random(in: .min ... .max, using: &random))
        case 3: return .unsigned(.random(in: 0 ... .max, using: &random))
        case 4: return .small(.random(in: .min ... .max, using: &random))
        case 5: return .number(Double(Int.random(in: -99999...99999, using: &random)) / 16)
        case 6: return .single(Float(Int.random(in: -9999...9999, using: &random)) / 8)
        case 7: return .text(text())
        case 8: return .texts(values().map { _ in text() })
        case 9: return .map(Dictionary(values().map { _ in (text(), text()) }, uniquingKeysWith: { $1 }))
        case 10: return .list(values())
        case 11: return .object(Dictionary(values().map { (text(), $0) }, uniquingKeysWith: { $1 }))
        case 12: return .fields(.random(depth: depth + 1, &random), values().first)
        default: return .open(.random(depth: depth + 1, &random), .random(depth: depth + 1, &random))
        }
    }
}
