import Glibc
import LinuxSystem
import Testing

@testable import berth_shim

@Suite struct LogFormatTests {
    private func escape(_ bytes: [UInt8]) -> String {
        let out = [UInt8](unsafeUninitializedCapacity: bytes.count * JSONEscape.largestExpansion + JSONEscape.slack) { buffer, count in
            bytes.withUnsafeBufferPointer { source in
                count = source.isEmpty ? 0 : JSONEscape.escape(source.baseAddress!, count: source.count, to: buffer.baseAddress!) - buffer.baseAddress!
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    @Test func `text is escaped as Go escapes it`() {
        #expect(escape(Array("plain".utf8)) == "plain")
        #expect(escape(Array("a\"b\\c\r\n\t<&>\u{7f}".utf8)) == "a\\\"b\\\\c\\r\\n\\u0009\\u003c\\u0026\\u003e\u{7f}")
        #expect(escape([0, 0x1f]) == "\\u0000\\u001f")
        #expect(escape(Array("größe 漢字 🚢 \u{2028}\u{2029}".utf8)) == "größe 漢字 🚢 \\u2028\\u2029")
    }

    @Test func `what is not UTF-8 becomes one replacement per byte`() {
        #expect(escape([0x61, 0xff, 0x62]) == "a\\ufffdb")
        #expect(escape([0xc0, 0x80]) == "\\ufffd\\ufffd")  // overlong
        #expect(escape([0xed, 0xa0, 0x80]) == "\\ufffd\\ufffd\\ufffd")  // surrogate
        #expect(escape([0xf4, 0x90, 0x80, 0x80]) == "\\ufffd\\ufffd\\ufffd\\ufffd")  // beyond U+10FFFF
        #expect(escape([0xe6, 0xbc]) == "\\ufffd\\ufffd")  // cut off
    }

    /// Every byte at every place of a block: the fast path and the slow one must agree.
    @Test func `blocks and single bytes escape alike`() {
        for value in UInt8.min...UInt8.max {
            let alone = escape([value])
            for place in [0, 1, 7, 8, 15, 16, 30] {
                var line = Array(repeating: UInt8(ascii: "x"), count: 40)
                line[place] = value
                let expected = String(repeating: "x", count: place) + alone + String(repeating: "x", count: 39 - place)
                #expect(escape(line) == expected)
            }
        }
    }

    /// Runs `body` with a sink on a fresh file and returns what the file holds at the end.
    private func log(
        _ encoder: any LogEncoder, policy: LogFile.Policy = .init(), clock: @escaping () -> (seconds: Int, nanoseconds: Int) = Clock.now, _ body: (LogSink) -> Void
    ) throws -> [UInt8] {
        let path = "/tmp/berth-test-\(getpid())-\(UInt32.random(in: 0 ... .max)).log"
        defer { for suffix in ["", ".1", ".2", ".3"] { unlink(path + suffix) } }
        let sink = LogSink(file: try LogFile(path: path, policy: policy, loop: EventLoop()), encoder: encoder, buffers: SharedBuffers(), clock: clock)
        body(sink)
        sink.close()
        return try Files.readAll(path)
    }

    private func feed(_ sink: LogSink, _ text: String, _ stream: OutputStream = .stdout) { Array(text.utf8).withUnsafeBytes { sink.accept($0, from: stream) } }

    private func withoutTime(_ bytes: [UInt8]) -> [String] {
        String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { line in
            String(line[..<(line.firstRange(of: ",\"time\"")?.lowerBound ?? line.endIndex)])
        }
    }

    @Test func `lines are Docker's, however they arrive`() throws {
        let lines = try withoutTime(
            log(JSONFileEncoder(attributes: [])) { sink in
                feed(sink, "one\ntw")
                feed(sink, "err\n", .stderr)
                feed(sink, "o\n\nend")
                sink.end(.stdout)
                sink.end(.stderr)
            })
        #expect(lines == [
            #"{"log":"one\n","stream":"stdout""#, #"{"log":"err\n","stream":"stderr""#, #"{"log":"two\n","stream":"stdout""#,
            #"{"log":"\n","stream":"stdout""#, #"{"log":"end","stream":"stdout""#,
        ])
    }

    @Test func `long lines are cut after sixteen kibibytes`() throws {
        let text = String(repeating: "a", count: 40_000)
        let lines = try withoutTime(log(JSONFileEncoder(attributes: [])) { sink in
            feed(sink, String(text.prefix(10_000)))
            feed(sink, String(text.dropFirst(10_000)) + "\nnext\n")
        })
        #expect(lines.map(\.utf8.count) == [16384, 16384, 7232 + 2, 6].map { $0 + #"{"log":"","stream":"stdout""#.utf8.count })
        #expect(lines[1].hasSuffix(#"aa","stream":"stdout""#) && lines[2].hasSuffix(#"a\n","stream":"stdout""#))
    }

    @Test func `attributes stand in every line`() throws {
        let lines = try withoutTime(log(JSONFileEncoder(attributes: [("a", "<1>"), ("b", "2")])) { feed($0, "x\n") })
        #expect(lines == [#"{"log":"x\n","stream":"stdout","attrs":{"a":"\u003c1\u003e","b":"2"}"#])
    }

    @Test func `a file is rotated before it grows beyond its size, and the oldest goes`() throws {
        let path = "/tmp/berth-test-\(getpid())-rotate.log"
        defer { for suffix in ["", ".1", ".2", ".3"] { unlink(path + suffix) } }
        let sink = LogSink(
            file: try LogFile(path: path, policy: .init(maxSize: 200, maxFiles: 3), loop: EventLoop()), encoder: JSONFileEncoder(attributes: []),
            buffers: SharedBuffers())
        for number in 0..<20 { feed(sink, "line \(number)\n") }
        sink.close()
        let all = try ["\(path).2", "\(path).1", path].flatMap { try withoutTime(Files.readAll($0)) }
        #expect(all.last == #"{"log":"line 19\n","stream":"stdout""#)
        #expect(all == (20 - all.count..<20).map { "{\"log\":\"line \($0)\\n\",\"stream\":\"stdout\"" })
        #expect(!Files.exists("\(path).3"))
    }

    @Test func `the local format frames protobuf entries`() throws {
        let bytes = try log(LocalEncoder(attributes: [("k", "v")])) { feed($0, "hi\n", .stderr) }
        let size = Int(bytes[3])
        #expect(bytes.count == size + 8 && Array(bytes.suffix(4)) == Array(bytes.prefix(4)))
        #expect(Array(bytes[4..<12]) == [0x0a, 6] + Array("stderr".utf8))
        #expect(Array(bytes.dropLast(4).suffix(12)) == [0x1a, 2, 0x68, 0x69, 0x32, 6, 0x0a, 1, 0x6b, 0x12, 1, 0x76])
    }

    @Test func `a clock that jumps changes the times in the log and nothing else`() throws {
        // Forwards by centuries, back before 1970, and on.
        let jumps = [1_767_323_045, 95_617_584_000, -86_400, 0, 1_767_323_046]
        for isLocal in [false, true] {
            var times = jumps.makeIterator()
            let encoder: any LogEncoder = isLocal ? LocalEncoder(attributes: []) : JSONFileEncoder(attributes: [])
            let bytes = try log(encoder, clock: { (times.next() ?? 0, 0) }) { sink in
                for number in jumps.indices { feed(sink, "line \(number)\n") }
            }
            if isLocal {
                #expect(String(decoding: bytes, as: UTF8.self).matches(of: /line [0-4]/).count == 5)
            } else {
                #expect(withoutTime(bytes) == jumps.indices.map { "{\"log\":\"line \($0)\\n\",\"stream\":\"stdout\"" })
                #expect(String(decoding: bytes, as: UTF8.self).contains("\"time\":\"1969-12-31T00:00:00Z\""))
            }
        }
    }
}
