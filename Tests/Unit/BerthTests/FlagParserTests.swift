import Testing

@testable import berth

/// pflag's ways, which users of docker have in their fingers.
struct FlagParserTests {
    private let flags: [Flag] = [
        .bool("all", "a", "All"), .bool("tty", "t", "Terminal"), .string("name", "n", "Name"), .list("env", "e", "Environment"),
        .int("last", default: -1, "Last"), .bool("trunc", default: true, "Truncate"), .commaList("subnet", "Subnets"),
        .string("memory", "m", type: "bytes", "Memory", check: ValueChecks.bytes),
    ]

    private func parse(_ words: String..., interspersed: Bool = true) throws -> ParsedFlags {
        try FlagParser(flags: flags, interspersed: interspersed).parse(words[...])
    }

    private func failure(_ words: String...) -> String {
        do {
            _ = try FlagParser(flags: flags).parse(words[...])
            return ""
        } catch { return (error as? CommandFailure)?.message ?? "\(error)" }
    }

    @Test func `short flags combine and the last one takes a value`() throws {
        let parsed = try parse("-atn", "web", "x")
        #expect(parsed.bool("all") && parsed.bool("tty"))
        #expect(parsed.string("name") == "web")
        #expect(parsed.arguments == ["x"])
    }

    @Test func `a value may stick to its short flag with or without an equals sign`() throws {
        #expect(try parse("-eA=1", "-e=B=2", "-e", "C").list("env") == ["A=1", "B=2", "C"])
    }

    @Test func `long flags take their value behind a blank or an equals sign`() throws {
        #expect(try parse("--name", "a").string("name") == "a")
        #expect(try parse("--name=").string("name") == "")
        #expect(try !parse("--trunc=false").bool("trunc"))
        #expect(try parse("--subnet", "a,b", "--subnet=c").list("subnet") == ["a", "b", "c"])
    }

    @Test func `two dashes end the flags`() throws {
        #expect(try parse("-a", "--", "-t", "x").arguments == ["-t", "x"])
    }

    @Test func `what follows the first argument belongs to the container where flags are not interspersed`() throws {
        let parsed = try parse("-a", "image", "-t", "--name", "x", interspersed: false)
        #expect(parsed.arguments == ["image", "-t", "--name", "x"])
        #expect(!parsed.bool("tty"))
    }

    @Test func `a default is not a change`() throws {
        let parsed = try parse()
        #expect(parsed.int("last") == -1)
        #expect(!parsed.changed("last"))
    }

    @Test func `errors have the wording of pflag`() {
        #expect(failure("--foo") == "unknown flag: --foo")
        #expect(failure("-aZx") == "unknown shorthand flag: 'Z' in -Zx")
        #expect(failure("--name") == "flag needs an argument: --name")
        #expect(failure("-n") == "flag needs an argument: 'n' in -n")
        #expect(failure("---x") == "bad flag syntax: ---x")
        #expect(failure("--last", "x") == "invalid argument \"x\" for \"--last\" flag: strconv.ParseInt: parsing \"x\": invalid syntax")
        #expect(failure("-m", "5x") == "invalid argument \"5x\" for \"-m, --memory\" flag: invalid suffix: 'x'")
        #expect(failure("--trunc=maybe") == "invalid argument \"maybe\" for \"--trunc\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax")
    }

    @Test func `help wraps where pflag wraps`() {
        #expect(HelpText.wrap("Take the Password or Personal Access Token (PAT) from stdin", 53) == ["Take the Password or Personal Access Token", "(PAT) from stdin"])
        #expect(HelpText.wrap("one\ntwo", 60) == ["one", "two"])
    }
}
