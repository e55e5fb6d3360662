@testable import berthd
import DockerAPI
import Testing

@Suite struct DockerfileTests {
    private func steps(_ text: String) throws -> [Instruction] {
        let plan = try BuildPlan(try Dockerfile(parsing: "FROM x\n" + text))
        return plan.stages[0].steps.map(\.instruction)
    }

    private func failure(_ text: String) -> String {
        do {
            _ = try BuildPlan(try Dockerfile(parsing: text))
            return ""
        } catch { return "\(error)" }
    }

    // MARK: Lines

    @Test func `Lines go on over comments and empty lines, with a warning for those`() throws {
        let file = try Dockerfile(parsing: "\u{FEFF}# a comment\nFROM x\r\n\nrun echo a \\\n  # not this\n  b \\\n\n  c\n")
        #expect(file.lines.map(\.text) == ["FROM x", "run echo a   b   c"])
        #expect(file.lines.map(\.number) == [2, 4])
        #expect(file.warnings.count == 2 && file.warnings[0] == "Empty continuation line found in: run echo a   b   c")
    }

    @Test func `Another escape lets lines go on, and an escaped one does not`() throws {
        #expect(try Dockerfile(parsing: "# escape=`\nFROM x\nRUN a `\n b\nRUN c \\\nRUN d ``\nRUN e").lines.map(\.text) == ["FROM x", "RUN a  b", "RUN c \\", "RUN d ``", "RUN e"])
        #expect(try Dockerfile(parsing: "# a comment first\n# escape=`\nFROM x").escape == "\\")
    }

    @Test(arguments: [
        ("# escape=x\nFROM a", "invalid escape token 'x' does not match ` or \\"), ("# escape=`\n# escape=`\nFROM a", "only one escape parser directive can be used"),
        ("", "file with no instructions"), ("# only\n", "file with no instructions"), ("FROM a\nENV x", "ENV must have two arguments"),
        ("FROM a\nENV x=1 y", "Syntax error - can't find = in \"y\". Must be of the form: name=value"),
        ("FROM a\nCMD [\"a\", 1]", "when using JSON array syntax, arrays must be comprised of strings only"),
        ("RUN x", "no build stage in current context"), ("FROM a\nFROO b", "dockerfile parse error on line 2: unknown instruction: FROO (did you mean FROM?)"),
        ("FROM a b", "dockerfile parse error on line 1: FROM requires either one or three arguments"),
        ("FROM a AS 1b", "dockerfile parse error on line 1: invalid name for build stage: \"1b\", name can't start with a number or contain symbols"),
        ("FROM a\nCOPY x", "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. Destination could not be determined"),
        ("FROM a\nCOPY --chwn=x a b", "dockerfile parse error on line 2: unknown flag: --chwn (did you mean chown?)"),
        ("FROM a\nONBUILD FROM b", "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger"),
        ("FROM a\nHEALTHCHECK --interval=1us CMD x", "dockerfile parse error on line 2: Interval \"interval\" cannot be less than 1ms"),
        ("FROM a\nRUN <<EOF\necho\nEOF", "heredocs require BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled"),
    ])
    func `Mistakes are told as by Docker`(text: String, message: String) { #expect(failure(text) == message) }

    @Test func `A shift in a command is no heredoc`() throws { #expect(try steps("RUN echo $((1 << 2)) <<<word") == [.run(.init(words: ["echo $((1 << 2)) <<<word"], usesShell: true))]) }

    // MARK: Instructions

    @Test func `Commands are lists or lines for the shell`() throws {
        #expect(try steps("CMD [\"a\", \"b c\"]\nRUN a \"b\"\nENTRYPOINT [a]") == [
            .command(.init(words: ["a", "b c"], usesShell: false)), .run(.init(words: ["a \"b\""], usesShell: true)), .entrypoint(.init(words: ["[a]"], usesShell: true)),
        ])
    }

    @Test func `Pairs are of the new form or the old`() throws {
        #expect(try steps("ENV a=1 b=\"x y\" c=x\\ y\nENV old  a  b\nLABEL k=") == [
            .environment([.init(name: "a", value: "1"), .init(name: "b", value: "\"x y\""), .init(name: "c", value: "x\\ y")]), .environment([.init(name: "old", value: "a  b")]),
            .label([.init(name: "k", value: "")], expands: true),
        ])
    }

    @Test func `Stages have names, and a target ends the plan`() throws {
        var plan = try BuildPlan(try Dockerfile(parsing: "ARG V=1\nFROM --platform=linux/amd64 a AS One\nRUN x\nFROM one\nRUN y\nFROM scratch"))
        #expect(plan.arguments.count == 1 && plan.stages.map(\.name) == ["one", "", ""] && plan.stages[0].platform == "linux/amd64" && plan.stepCount == 6)
        try plan.stop(at: "ONE")
        #expect(plan.stages.count == 1)
        #expect(throws: DaemonError.self) { try plan.stop(at: "two") }
        plan.add(labels: ["b": "2", "a": "$x"])
        #expect(plan.stages[0].steps.map(\.text) == ["RUN x", "LABEL a=$x", "LABEL b=2"])
    }

    @Test func `What only BuildKit does is kept for the step to refuse`() throws {
        #expect(try steps("RUN --mount=type=cache,target=/c make\nCOPY --link a b\nCOPY --chmod=1 a b") == [.needsBuildKit(flag: "mount"), .needsBuildKit(flag: "link"), .needsBuildKit(flag: "chmod")])
    }

    @Test func `A healthcheck has its own flags`() throws {
        var health = HealthConfig()
        (health.Test, health.Interval, health.Retries) = (["CMD-SHELL", "curl x"], 5_000_000_000, 3)
        #expect(try steps("HEALTHCHECK --interval=5s --retries=3 CMD curl x") == [.healthcheck(health)])
    }

    // MARK: Variables

    @Test(arguments: [
        ("$A-${A}-$", "1-1-$"), ("'$A' \"$A\"", "$A 1"), ("\\$A", "$A"), ("${N:-d$A}", "d1"), ("${E:-d}${E-d}", "d"), ("${A:+p}${N:+q}", "p"), ("${P#*.}", "tar.gz"), ("${P##*.}", "gz"),
        ("${P%.*}", "x.tar"), ("${P%%.*}", "x"), ("${P/a/A}", "x.tAr.gz"), ("${P//[.]/-}", "x.tar.gz"), ("${P//./-}", "x-tar-gz"), ("a\\ b", "a b"), ("\"a\\\"b\\c\"", "a\"b\\c"), ("$A$1x", "1x"),
    ])
    func `Variables are put in`(text: String, result: String) throws {
        #expect(try VariableExpansion(["A=1", "E=", "P=x.tar.gz"]).word(text) == result)
    }

    @Test(arguments: [
        ("${A", "failed to process \"${A\": syntax error: missing '}'"), ("'a", "failed to process \"'a\": unexpected end of statement while looking for matching single-quote"),
        ("${N:?gone}", "failed to process \"${N:?gone}\": N: gone"), ("${A:=x}", "failed to process \"${A:=x}\": unsupported modifier (:=) in substitution"), ("${}", "failed to process \"${}\": syntax error: bad substitution"),
    ])
    func `A variable that cannot be is told`(text: String, message: String) {
        let error = #expect(throws: DaemonError.self) { try VariableExpansion(["A=1"]).word(text) }
        #expect(error?.message == message)
    }

    @Test func `Words are taken apart after variables were put in`() throws { #expect(try VariableExpansion(["P=80 443"]).words("$P '9 9'") == ["80", "443", "9 9"]) }

    // MARK: Arguments

    @Test func `Arguments come from the request, the Dockerfile or the lines before FROM`() {
        var arguments = BuildArguments(given: ["A": "given", "OTHER": "x", "NAMED": nil, "http_proxy": "p"])
        arguments.declareGlobally("G", "global")
        #expect(arguments.globalValues == ["G=global", "http_proxy=p"])
        var stage = arguments.forNextStage()
        #expect(stage.values(besides: []) == ["http_proxy=p"])
        stage.declare("A", "default")
        stage.declare("G", nil)
        stage.declare("N", nil)
        #expect(stage.values(besides: ["PATH=x"]) == ["A=given", "G=global", "http_proxy=p"] && stage.values(besides: ["A=env"]) == ["G=global", "http_proxy=p"])
        #expect(stage.isTraced("A") && !stage.isTraced("http_proxy"))
        arguments.noteMentions(of: stage)
        #expect(arguments.unused == ["NAMED", "OTHER"])
    }

    // MARK: Configuration

    private func applied(_ text: String) throws -> (config: ContainerConfig, comments: [String]) {
        var step = ConfigStep(config: ContainerConfig(), expansion: VariableExpansion(["P=80 90"]))
        var comments: [String] = []
        for instruction in try steps(text) { if let (comment, _) = try step.apply(instruction) { comments.append(comment) } }
        return (step.config, comments)
    }

    @Test func `The history has Docker's words`() throws {
        let (config, comments) = try applied("CMD [\"a b\"]\nEXPOSE $P 1000-1001/udp\nVOLUME /a /b\nSHELL [\"sh\"]\nWORKDIR a\nWORKDIR ../b\nHEALTHCHECK --interval=90s --retries=3 CMD x\nUSER u:g")
        #expect(comments == [
            "CMD [\"a b\"]", "EXPOSE 80 90 1000-1001/udp", "VOLUME [/a /b]", "SHELL [sh]", "WORKDIR /a", "WORKDIR /b",
            "HEALTHCHECK &{[\"CMD-SHELL\" \"x\"] \"1m30s\" \"0s\" \"0s\" \"0s\" '\\x03'}", "USER u:g",
        ])
        #expect(Set((config.ExposedPorts ?? [:]).keys) == ["80/tcp", "90/tcp", "1000/udp", "1001/udp"] && config.User == "u:g")
    }

    @Test func `An entrypoint takes the base's command away, not the stage's own`() throws {
        var step = ConfigStep(config: ContainerConfig(), expansion: VariableExpansion([]))
        step.config.Cmd = ["base"]
        for instruction in try steps("ENTRYPOINT [\"e\"]") { _ = try step.apply(instruction) }
        #expect(step.config.Cmd == nil)
        for instruction in try steps("CMD c\nENTRYPOINT [\"f\"]") { _ = try step.apply(instruction) }
        #expect(step.config.Cmd == ["/bin/sh", "-c", "c"] && step.config.Entrypoint == ["f"])
    }

    @Test func `Another value, order or parent is another step of the cache`() {
        let parent = BuildImage.scratch(ImagePlatform.host)
        var one = ContainerConfig()
        (one.Cmd, one.Env) = (["a", "b"], ["x"])
        var two = one
        #expect(BuildCache.key(parent: parent, one) == BuildCache.key(parent: parent, two))
        two.Hostname = "other"
        #expect(BuildCache.key(parent: parent, one) == BuildCache.key(parent: parent, two))
        (two.Cmd, two.Env) = (["a"], ["b", "x"])
        #expect(BuildCache.key(parent: parent, one) != BuildCache.key(parent: parent, two))
    }

    @Test func `What a header says of a download is a time and a name without directories`() {
        #expect(HTTPDates.time("Sun, 06 Nov 1994 08:49:37 GMT")?.seconds == 784_111_777 && HTTPDates.time("yesterday") == nil)
        #expect(HTTPDates.fileName("attachment; filename=\"../../x.tar\"") == "x.tar" && HTTPDates.fileName("attachment; filename=..") == nil)
    }
}
