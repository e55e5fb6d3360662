import JSONCodec
import Testing

private struct Sample: Codable, Equatable {
    var name: String
    var small: UInt8?
    var mask: UInt64?
    var signed: Int64?
    var ratio: Double?
    var list: [Int]?
    var nested: [String: Inner]?

    struct Inner: Codable, Equatable {
        var on: Bool
        var words: [String]
    }
}

private func decode(_ text: String, limits: JSON.Limits = .standard) throws -> Sample {
    try JSON.decode(Sample.self, from: Array(text.utf8), limits: limits)
}

private func message(_ text: String, limits: JSON.Limits = .standard) -> String {
    do {
        _ = try decode(text, limits: limits)
        return "accepted"
    } catch {
        return "\(error)"
    }
}

@Suite struct DecodingTests {
    @Test func `values of every kind are read`() throws {
        let sample = try decode(
            #" {"name":"a\"\u00e9\ud83d\ude00\n/","small":255,"ratio":-1.5e3,"list":[1,-2,3],"unknown":[{"x":null}],"nested":{"k":{"on":true,"words":["x",""]}}} "#)
        #expect(sample.name == "a\"é😀\n/")
        #expect(sample.small == 255)
        #expect(sample.ratio == -1500)
        #expect(sample.list == [1, -2, 3])
        #expect(sample.nested == ["k": .init(on: true, words: ["x", ""])])
    }

    @Test func `null and absent are the same for an optional`() throws {
        #expect(try decode(#"{"name":"","small":null}"#) == decode(#"{"name":""}"#))
    }

    @Test func `a name in another case is read where the exact one is missing`() throws {
        #expect(try decode(#"{"NAME":"a","Nested":{"k":{"ON":true,"words":[]}}}"#) == Sample(name: "a", nested: ["k": .init(on: true, words: [])]))
        #expect(try decode(#"{"Name":"other","name":"exact","NAME":"other"}"#).name == "exact")
        // Letters alone have a case, and keys of a map are what they are.
        #expect(message(#"{"n@me":"a"}"#).contains("required field is missing"))
        #expect(try JSON.decode([String: Int].self, from: Array(#"{"a":1,"A":2}"#.utf8)) == ["a": 1, "A": 2])
        let many = (0..<40).map { "\"other\($0)\":0" }.joined(separator: ",")
        #expect(try decode("{\(many),\"Name\":\"a\"}").name == "a")
    }

    @Test func `integers are exact in 64 bits`() throws {
        #expect(try decode(#"{"name":"","mask":18446744073709551615}"#).mask == .max)
        #expect(try decode(#"{"name":"","signed":-9223372036854775808}"#).signed == .min)
        #expect(try decode(#"{"name":"","signed":9223372036854775807}"#).signed == .max)
        #expect(try decode(#"{"name":"","signed":-0}"#).signed == 0)
    }

    @Test(arguments: [
        (#"{"name":5}"#, "name: expected a string, found a number"),
        (#"{}"#, "name: required field is missing"),
        (#"{"name":"","list":[1,"x"]}"#, "list[1]: expected an integer, found a string"),
        (#"{"name":"","list":{}}"#, "list: expected an array, found an object"),
        (#"{"name":"","nested":{"a":{"on":1,"words":[]}}}"#, "nested.a.on: expected true or false, found a number"),
        (#"{"name":"","nested":{"io.x/y":{"on":true,"words":[null]}}}"#, #"nested["io.x/y"].words[0]: expected a string, found null"#),
        (#"{"name":"","small":256}"#, "small: 256 is not between 0 and 255"),
        (#"{"name":"","small":-1}"#, "small: -1 is not between 0 and 255"),
        (#"{"name":"","mask":18446744073709551616}"#, "mask: 18446744073709551616 is not between 0 and 18446744073709551615"),
        (#"{"name":"","small":1.0}"#, "small: expected an integer, found 1.0"),
        (#"{"name":"","ratio":1e999}"#, "ratio: number is too large"),
        (#"[]"#, "expected an object, found an array"),
    ])
    func `a wrong value is named by its path`(text: String, expected: String) {
        #expect(message(text) == expected)
    }

    @Test(arguments: [
        ("", "line 1, column 1: the document ends too early"),
        (#"{"name":"a"} x"#, "line 1, column 14: unexpected text after the end of the document"),
        ("{\n  \"name\" \"a\"}", "line 2, column 10: expected ':' after a key, found '\"'"),
        (#"{"name":"a",}"#, "line 1, column 13: expected a key in quotes, found '}'"),
        (#"{"name":tru}"#, "line 1, column 9: expected a value, found 't'"),
        (#"{"name":"a"#, "line 1, column 9: string without an end"),
        (#"{"name":01}"#, "line 1, column 9: a number may not begin with 0"),
        (#"{"name":-}"#, "line 1, column 10: expected a digit, found '}'"),
        (#"{"name":"a","name":"b"}"#, #"line 1, column 13: duplicate key "name""#),
        (#"{"name":"a","n\u0061me":"b"}"#, #"line 1, column 13: duplicate key "name""#),
        (#"{"name":"a\u0000b"}"#, "line 1, column 11: NUL character in a string"),
        (#"{"name":"\ud800"}"#, "line 1, column 10: lone surrogate in a string"),
        (#"{"name":"\x"}"#, "line 1, column 10: unknown escape in a string"),
        ("{\"name\":\"a\u{0}\"}", "line 1, column 11: NUL character in a string"),
        ("{\"name\":\"a\tb\"}", "line 1, column 11: control character in a string"),
    ])
    func `broken syntax is named by its place`(text: String, expected: String) {
        #expect(message(text) == expected)
    }

    @Test(arguments: [[0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0x80], [0xE2, 0x82], [0xF0, 0x80, 0x80, 0x80]] as [[UInt8]])
    func `invalid UTF-8 is refused`(bytes: [UInt8]) {
        #expect(throws: JSONError.self) {
            try JSON.decode([String].self, from: Array("[\"".utf8) + bytes + Array("\"]".utf8))
        }
    }

    @Test func `duplicate keys are found in objects with many members`() {
        let members = (0..<1000).map { #""k\#($0)":"""# }.joined(separator: ",")
        #expect(throws: Never.self) { try JSON.decode([String: String].self, from: Array("{\(members)}".utf8)) }
        #expect(throws: JSONError.self) { try JSON.decode([String: String].self, from: Array("{\(members),\"k500\":\"\"}".utf8)) }
    }

    @Test func `size, depth and number of values are bounded`() {
        let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
        #expect(message(#"{"name":"","x":"# + deep + "}") == "line 1, column 79: nested deeper than the allowed 64 levels")
        #expect(message(#"{"name":""}"#, limits: .init(bytes: 5)) == "document of 11 bytes is larger than the allowed 5")
        #expect(message(#"{"name":"","list":[1,2,3,4]}"#, limits: .init(values: 6)) == "line 1, column 23: more than the allowed 6 values")
    }
}

/// The parser goes over strings in steps of eight bytes.
@Suite struct StringTests {
    @Test(arguments: 0...18) func `every byte at every place of a string is what it is`(_ length: Int) throws {
        for place in 0..<length {
            for byte in UInt8.min ... .max {
                var text = [UInt8](repeating: UInt8(ascii: "x"), count: length)
                text[place] = byte
                let read = try? JSON.decode([String].self, from: Array("[\"".utf8) + text + Array("\",\"y\"]".utf8))
                switch byte {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), ..<0x20, 0x80...: #expect(read == nil, "\(byte) at \(place)")
                default: #expect(read == [String(decoding: text, as: UTF8.self), "y"], "\(byte) at \(place)")
                }
            }
        }
    }

    @Test(arguments: 0...18) func `what stands for a character is read at every place`(_ length: Int) throws {
        for (written, read) in [("\\\"", "\""), ("\\\\", "\\"), ("\\u00e9", "é"), ("é", "é"), ("🙂", "🙂"), ("\\ud83d\\ude42", "🙂")] {
            let padding = String(repeating: "-", count: length)
            #expect(try JSON.decode([String].self, from: Array("[\"\(padding)\(written)\(padding)\"]".utf8)) == ["\(padding)\(read)\(padding)"])
        }
    }
}

/// A document has as many values as its length allows, and no more: room for them is made beforehand.
@Suite struct DenseDocumentTests {
    @Test(arguments: [("[", "]"), ("[1,", ""), ("[[],", ""), ("{\"\":", "}"), ("{\"\":[", ""), ("[{\"\":1},", "")]) func `containers that are not closed are refused for that`(_ open: String, _ close: String) {
        for count in 1...200 {
            let text = String(repeating: open, count: count)
            do throws(JSONError) {
                _ = try JSON.root(of: Array(text.utf8))
                Issue.record("accepted")
            } catch { #expect(error.problem.contains("ends too early") || error.problem.contains("deeper than the allowed 64") || error.problem.contains("in quotes"), "\(count): \(error)") }
            if !close.isEmpty, count <= 60 {
                #expect((try? JSON.root(of: Array((text + (open == "[" ? "" : "1") + String(repeating: close, count: count)).utf8))) != nil)
            }
        }
    }

    @Test func `short values side by side are all there`() throws {
        for count in 1...300 {
            #expect(try JSON.decode([Int].self, from: Array("[\(Array(repeating: "1", count: count).joined(separator: ","))]".utf8)).count == count)
            #expect(try JSON.decode([[Int]].self, from: Array("[\(Array(repeating: "[]", count: count).joined(separator: ","))]".utf8)).count == count)
            #expect(try JSON.decode([String].self, from: Array("[\(Array(repeating: "\"\"", count: count).joined(separator: ","))]".utf8)).count == count)
        }
    }

    @Test func `the limit of values holds`() {
        let limits = JSON.Limits(values: 10)
        #expect((try? JSON.root(of: Array("[1,1,1,1,1,1,1,1,1]".utf8), limits: limits)) != nil)
        #expect(throws: JSONError.self) { try JSON.root(of: Array("[1,1,1,1,1,1,1,1,1,1]".utf8), limits: limits) }
    }
}
