@testable import berthd
import DockerAPI
import NIOCore
import Testing

private func text(of line: String) -> (String, Bool, String)? {
    var line = line
    return line.withUTF8 { bytes in
        guard let parsed = JSONLogLine(UnsafeRawBufferPointer(bytes)) else { return nil }
        var output = ByteBuffer()
        _ = JSONLogLine.unescape(parsed.text, into: &output)
        return (String(buffer: output), parsed.isStderr, String(decoding: parsed.time, as: UTF8.self))
    }
}

@Test func `a log line gives back its text, stream and time`() {
    let line = text(of: #"{"log":"a \"b\"\\\u00e9\ud83d\ude00\n","stream":"stderr","time":"2026-01-02T03:04:05.1Z"}"#)
    #expect(line?.0 == "a \"b\"\\é😀\n")
    #expect(line?.1 == true)
    #expect(line?.2 == "2026-01-02T03:04:05.1Z")
    #expect(text(of: #"{"log":"x\n","stream":"stdout","attrs":{"k":"}"},"time":"t"}"#)?.0 == "x\n")
}

@Test func `a torn log line is no line`() {
    #expect(text(of: #"{"log":"half"#) == nil)
    #expect(text(of: "") == nil)
    #expect(text(of: "not json") == nil)
}

private func converted(_ line: String, framed: Bool = false, stderr: Bool = true) -> [UInt8]? {
    var line = line
    return line.withUTF8 { bytes in
        var output = [UInt8](repeating: 0, count: bytes.count + 16)
        let count = output.withUnsafeMutableBytes { JSONLogConverter(stdout: true, stderr: stderr, framed: framed).convert(UnsafeRawBufferPointer(bytes), to: $0.baseAddress!) }
        return count.map { Array(output[..<$0]) }
    }
}

@Test func `the fast way through a log says the same as the careful one`() {
    let texts = [
        "", "a", "0123456789abcdef", "0123456789abcdefg\\n", #"a \"b\" \\\\ \u00e9\ud83d\ude00\n"#, #"\u003c\u2028\ufffd\t\r\b\f\/ and a longer text behind it\n"#, #"\ud83d alone"#,
        "öäü 日本語 öäü 日本語", String(repeating: "x", count: 1000) + #"\n"#,
    ]
    for content in texts {
        for stream in ["stdout", "stderr"] {
            let line = #"{"log":""# + content + #"","stream":""# + stream + #"","time":"2026-01-02T03:04:05.1Z"}"#
            let expected = text(of: line)?.0
            #expect(converted(line).map { String(decoding: $0, as: UTF8.self) } == expected, "\(line)")
            let framed = converted(line, framed: true)
            #expect(framed.map { Array($0.prefix(8)) } == StreamFrame(kind: stream == "stdout" ? .stdout : .stderr, length: UInt32(expected?.utf8.count ?? 0)).header)
            #expect(converted(line, stderr: false)?.isEmpty == (stream == "stderr" || expected?.isEmpty == true))
            for cut in 0..<min(60, line.utf8.count) where cut > 0 { #expect(converted(String(line.dropLast(cut))) == nil) }
        }
    }
    #expect(converted(#"{"log":"x\n","stream":"stdout","attrs":{"k":"}"},"time":"t"}"#) == nil, "attributes are for the careful one")
}


@Test func `times are read and written as Go does`() {
    #expect(WallClock(seconds: 0, nanoseconds: 0).rfc3339 == "1970-01-01T00:00:00Z")
    #expect(WallClock(rfc3339: "2026-01-02T03:04:05.123456789Z")?.rfc3339 == "2026-01-02T03:04:05.123456789Z")
    #expect(WallClock(rfc3339: "2026-01-02T03:04:05.5+01:00")?.rfc3339 == "2026-01-02T02:04:05.5Z")
    #expect(WallClock(rfc3339: "2026-02-29")?.rfc3339 == "2026-03-01T00:00:00Z")
    #expect(WallClock(rfc3339: "yesterday") == nil)
    #expect(WallClock(seconds: .max, nanoseconds: 1).nanosecondsSinceEpoch - WallClock(seconds: .min, nanoseconds: 0).nanosecondsSinceEpoch > 0, "a clock that jumps by centuries")
    #expect(WallClock(rfc3339: "2024-02-29T00:00:00Z")?.fixedRFC3339 == "2024-02-29T00:00:00.000000000Z")
}

@Test func `since takes seconds with a fraction or a date`() throws {
    #expect(try Timestamp.nanoseconds("1.5", name: "since") == 1_500_000_000)
    #expect(try Timestamp.nanoseconds("1700000000.000000001", name: "since") == 1_700_000_000_000_000_001)
    #expect(try Timestamp.nanoseconds("", name: "since") == nil)
    #expect(throws: DaemonError.self) { _ = try Timestamp.nanoseconds("soon", name: "since") }
}

@Test func `a log URI carries its options percent-encoded`() {
    let log = LogConfig(Type: "json-file", Config: ["max-size": "10m", "max-file": "3"])
    let uri = LogDriver.uri(path: "/a b/x.log", log: log, attachSocket: "/run/s.sock", closesStdinOnce: true, attributes: ["a": "1&2"])
    #expect(uri == "berth-log:///a%20b/x.log?driver=json-file&max-size=10485760&max-file=3&tag-attrs=%7B%22a%22%3A%221%262%22%7D&attach=/run/s.sock&stdin-once=1")
    #expect(LogDriver.uri(path: "", log: log, attachSocket: "/s", closesStdinOnce: false, attributes: [:]) == "berth-log:?driver=none&attach=/s")
}

@Test func `durations read like Docker's`() {
    #expect(HumanDuration.text(seconds: 0) == "Less than a second")
    #expect(HumanDuration.text(seconds: 59) == "59 seconds")
    #expect(HumanDuration.text(seconds: 61) == "About a minute")
    #expect(HumanDuration.text(seconds: 3600) == "About an hour")
    #expect(HumanDuration.text(seconds: 86400 * 3) == "3 days")
}

@Test func `flags and daemon json say the same thing once`() throws {
    func parse(_ arguments: [String], file: String = "{}") throws -> DaemonConfig? {
        guard case .serve(let config) = try DaemonFlags.parse(arguments + ["--config-file", "/x"], readFile: { _ in file }) else { return nil }
        return config
    }
    let config = try parse(["-H", "unix:///a", "-Htcp://127.0.0.1:1", "--bip=10.0.0.1/24", "-D", "--shutdown-timeout=5", "--log-opt", "max-size=1m"])
    #expect(config?.hosts == ["unix:///a", "tcp://127.0.0.1:1"])
    #expect(config?.debug == true && config?.notices.count == 1 && config?.logOptions == ["max-size": "1m"])
    let file = try parse([], file: #"{"hosts":["unix:///b"],"default-address-pools":[{"base":"10.0.0.0/8","size":24}],"runtimes":{"crun":{"path":"/bin/crun"}},"debug":true}"#)
    #expect(file?.hosts == ["unix:///b"] && file?.defaultAddressPools.first?.size == 24 && file?.runtimes["crun"]?.path == "/bin/crun" && file?.debug == true)
    for (arguments, content) in [(["--nosuch"], "{}"), (["-D"], #"{"debug":true}"#), ([], #"{"nosuch":1}"#), ([], "{"), (["--mtu", "x"], "{}"), (["--live-restore=false"], "{}"), (["--iptables=false"], "{}"), (["--exec-root", "/" + String(repeating: "x", count: 74)], "{}"), (["--default-gateway", "10.0.0.1"], "{}")] {
        #expect(throws: DaemonError.self) { _ = try parse(arguments, file: content) }
    }
}
