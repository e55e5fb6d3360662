import Testing

@testable import berth_runtime

@Suite struct CommandLineTests {
    private let specs = [
        OptionSpec("bundle", "b", .value, ""), OptionSpec("detach", "d", .flag, ""), OptionSpec("tty", "t", .flag, ""), OptionSpec("env", "e", .list, ""),
        OptionSpec("old", nil, .value, nil),
    ]

    private func parse(_ words: [String], stopAfter: Int? = nil) throws -> ParsedOptions { try CommandLineParser.parse(words[...], specs, stopAfter: stopAfter) }

    @Test(arguments: [["--bundle", "/b"], ["--bundle=/b"], ["-b", "/b"], ["-bundle", "/b"], ["-b=/b"]])
    func `a value comes with one dash or two, after a space or an equals sign`(words: [String]) throws {
        let parsed = try parse(words + ["id"])
        #expect(parsed["bundle"] == "/b")
        #expect(parsed.arguments == ["id"])
    }

    @Test func `one-letter flags can stand together`() throws {
        let parsed = try parse(["-dt", "id"])
        #expect(parsed.has("detach") && parsed.has("tty"))
    }

    @Test func `a flag can be switched off`() throws {
        #expect(try !parse(["--detach=false", "id"]).has("detach"))
        #expect(throws: RuntimeError.self) { try parse(["--detach=perhaps", "id"]) }
    }

    @Test func `the program of exec keeps its own options`() throws {
        let parsed = try parse(["-t", "id", "ls", "-d", "--bundle"], stopAfter: 1)
        #expect(parsed.arguments == ["id", "ls", "-d", "--bundle"])
        #expect(parsed.has("tty") && !parsed.has("detach"))
    }

    @Test func `options may follow the container's id elsewhere`() throws {
        #expect(try parse(["id", "--detach"]).has("detach"))
    }

    @Test func `lists keep their order`() throws {
        #expect(try parse(["-e", "A=1", "--env=B=2", "id"]).list("env") == ["A=1", "B=2"])
    }

    @Test func `unknown options and missing values are named`() {
        #expect(throws: RuntimeError.self) { try parse(["--nothing", "id"]) }
        #expect(throws: RuntimeError.self) { try parse(["--bundle"]) }
    }

    @Test(arguments: [("9", 9), ("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("RTMIN+2", 36), ("SIGRTMAX-1", 63), ("0", 0)] as [(String, CInt)])
    func `signals have numbers and names`(text: String, number: CInt) throws {
        #expect(try Signals.number(text) == number)
    }

    @Test(arguments: ["", "65", "-1", "NOSUCH", "SIG"])
    func `an unknown signal is refused`(text: String) {
        #expect(throws: RuntimeError.self) { try Signals.number(text) }
    }

    @Test func `help names every option but those for older callers`() {
        let text = HelpText.usage(of: "run", specs)
        #expect(text.contains("--bundle value, -b value") && text.contains("--detach, -d") && text.contains("--help, -h"))
        #expect(!text.contains("--old"))
        #expect(text.hasPrefix("NAME:\n   \(ProgramName.own) run - "))
    }

    @Test(arguments: ["checkpoint", "create", "delete", "events", "exec", "features", "kill", "list", "pause", "ps", "restore", "resume", "run", "spec", "start", "state", "update"])
    func `every command of runc is in the list of commands`(name: String) {
        #expect(HelpText.usage.contains("\n   \(name) "))
        #expect(HelpText.usage(of: name, []).contains("\(ProgramName.own) \(name)"))
    }
}
