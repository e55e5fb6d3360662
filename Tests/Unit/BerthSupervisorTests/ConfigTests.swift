import BerthDefaults
import Testing
@testable import berth_supervisor

@Suite struct `Flags and configuration file` {
    private func parse(_ arguments: [String], file: String = "") throws -> SupervisorConfig.Invocation {
        try SupervisorConfig.parse(arguments) { _ in file }
    }

    @Test func `containerd's flags are understood in every form`() throws {
        var expected = SupervisorConfig()
        expected.address = "/tmp/s"
        expected.root = "/tmp/r"
        expected.state = "/tmp/st"
        expected.logLevel = .debug
        #expect(try parse(["--address", "/tmp/s", "--root=/tmp/r", "-state", "/tmp/st", "-l", "debug"]) == .serve(expected))
    }

    @Test func `a flag wins over the file`() throws {
        let file = """
            version = 2
            root = "/file/root"   # comment
            state = '/file/state'
            [grpc]
              address = "/file/socket"
            [debug]
              level = "warn"
              format = "json"
            """
        var expected = SupervisorConfig()
        expected.root = "/flag/root"
        expected.state = "/file/state"
        expected.address = "/file/socket"
        expected.logLevel = .warn
        expected.logFormat = .json
        #expect(try parse(["--root", "/flag/root", "--config", "/x"], file: file) == .serve(expected))
    }

    @Test(arguments: [
        ["--adress", "/x"], ["--address"], ["--address", "relative"], ["--log-level", "loud"], ["extra"], ["--root", ""],
        ["--address", "/" + String(repeating: "a", count: 101)],
    ])
    func `a mistake is refused with its name`(arguments: [String]) {
        let error = #expect(throws: SupervisorError.self) { try parse(arguments) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains(arguments[0].drop { $0 == "-" }) == true)
    }

    @Test(arguments: ["colour = 1", "[grpc]\ntcp_address = \"x\"", "root", "[debug]\nlevel = \"loud\""])
    func `an unknown key in the file is refused`(file: String) { #expect(throws: SupervisorError.self) { try parse(["-c", "/x"], file: file) } }

    @Test func `a file of containerd's is read, and what has no effect is remembered for the log`() throws {
        let file = """
            version = 2
            disabled_plugins = ["cri"]
            oom_score = -999
            [cgroup]
            path = "/system/supervisor"
            [plugins]
              [plugins."io.containerd.grpc.v1.cri"]
                stream_server_port = "0"
              [plugins."io.containerd.internal.v1.restart"]
                interval = "1m30s"
            """
        var expected = SupervisorConfig()
        expected.oomScore = -999
        expected.cgroup = "/system/supervisor"
        expected.restartInterval = .seconds(90)
        expected.withoutEffect = ["disabled_plugins", "plugins.io.containerd.grpc.v1.cri"]
        #expect(try parse(["-c", "/x"], file: file) == .serve(expected))
    }

    @Test func `durations are written as in Go`() {
        #expect(Duration(goFormat: "10s") == .seconds(10) && Duration(goFormat: "1.5s") == .milliseconds(1500) && Duration(goFormat: "1h2m3s") == .seconds(3723))
        for text in ["", "10", "s", "1x", "-1s", "1..5s"] { #expect(Duration(goFormat: text) == nil) }
    }

    @Test func `version and help need nothing else`() throws {
        #expect(try parse(["--version"]) == .version)
        #expect(try parse(["-h", "--bogus"]) == .help)
    }
}

@Suite struct `Identifiers and times` {
    @Test(arguments: ["a", "A1", "a.b", "a-b_c.d", String(repeating: "a", count: 76)])
    func `a name is accepted`(name: String) { #expect(Identifiers.isValid(name)) }

    @Test(arguments: ["", ".", "a.", "-a", "a--b", "a/b", "../x", "a b", "é", String(repeating: "a", count: 77), "a\0"])
    func `a name is refused`(name: String) { #expect(!Identifiers.isValid(name)) }

    @Test func `times have nine digits and end in Z`() {
        #expect(Timestamps.rfc3339(1_767_323_045_123_456_789) == "2026-01-02T03:04:05.123456789Z")
        #expect(Timestamps.nanoseconds(Timestamps.proto(-1)) == -1)
        #expect(Timestamps.nanoseconds(Timestamps.proto(1_767_323_045_123_456_789)) == 1_767_323_045_123_456_789)
    }
}
