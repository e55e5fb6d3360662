import DockerAPI

/// One instruction of a Dockerfile with its arguments in their places. Variables in them are put in when it is carried out.
///
/// Spec: Dockerfile reference.
enum Instruction: Sendable, Equatable {
    struct Pair: Sendable, Equatable {
        var name: String
        var value: String
        var text: String { "\(name)=\(value)" }
    }

    /// Of ARG.
    struct Argument: Sendable, Equatable {
        var name: String
        /// The default.
        var value: String?
    }

    /// ADD and COPY.
    struct Copy: Sendable, Equatable {
        var keyword: String
        var sources: [String]
        var destination: String
        /// A stage by name or number, or an image; empty: the context.
        var from = ""
        var chown = ""
        /// ADD: archives are unpacked, addresses fetched.
        var isAdd: Bool { keyword == "ADD" }
    }

    /// RUN, CMD and ENTRYPOINT.
    struct CommandLine: Sendable, Equatable {
        var words: [String]
        /// Not in the JSON form.
        var usesShell: Bool
    }

    case add(Copy)
    case argument([Argument])
    case command(CommandLine)
    case copy(Copy)
    case entrypoint(CommandLine)
    case environment([Pair])
    case expose([String])
    case healthcheck(HealthConfig)
    /// `expands`: not for those of a request, which stand as they are.
    case label([Pair], expands: Bool)
    case maintainer(String)
    /// Has a flag that only BuildKit carries out.
    case needsBuildKit(flag: String)
    case onBuild(String)
    case run(CommandLine)
    case shell([String])
    case stopSignal(String)
    case user(String)
    case volume([String])
    case workingDirectory(String)

    /// The instruction with variables in their places. RUN, CMD, ENTRYPOINT, HEALTHCHECK and SHELL leave them to their program, ONBUILD to the later build; EXPOSE is taken
    /// apart after that, and does it by itself.
    func expanded(_ expand: (String) throws(DaemonError) -> String) throws(DaemonError) -> Instruction {
        func all(_ texts: [String]) throws(DaemonError) -> [String] {
            var result: [String] = []
            for text in texts { result.append(try expand(text)) }
            return result
        }
        func expanded(_ copy: Copy) throws(DaemonError) -> Copy {
            var result = copy
            result.chown = try expand(copy.chown)
            result.sources = try all(copy.sources)
            result.destination = try expand(copy.destination)
            return result
        }
        func expanded(_ pairs: [Pair]) throws(DaemonError) -> [Pair] {
            var result: [Pair] = []
            for pair in pairs { result.append(Pair(name: try expand(pair.name), value: try expand(pair.value))) }
            return result
        }
        switch self {
        case .add(let copy): return .add(try expanded(copy))
        case .copy(let copy): return .copy(try expanded(copy))
        case .argument(let list): 
            var result: [Argument] = []
            for argument in list { result.append(Argument(name: try expand(argument.name), value: argument.value == nil ? nil : try expand(argument.value ?? ""))) }
            return .argument(result)
        case .environment(let pairs): return .environment(try expanded(pairs))
        case .label(let pairs, true): return .label(try expanded(pairs), expands: true)
        case .stopSignal(let text): return .stopSignal(try expand(text))
        case .user(let text): return .user(try expand(text))
        case .volume(let list): return .volume(try all(list))
        case .workingDirectory(let text): return .workingDirectory(try expand(text))
        case .command, .entrypoint, .expose, .healthcheck, .label, .maintainer, .needsBuildKit, .onBuild, .run, .shell: return self
        }
    }
}

/// A stage of a build: FROM and what follows it.
struct StagePlan: Sendable, Equatable {
    struct Step: Sendable, Equatable {
        var instruction: Instruction
        /// As the Dockerfile has it.
        var text: String
    }

    /// An image, an earlier stage or `scratch`, with variables.
    var base: String
    /// In lower case; empty for none.
    var name: String
    /// With variables; empty for none.
    var platform: String
    var text: String
    var steps: [Step] = []
}

/// A whole Dockerfile: what stands before the first FROM, and the stages.
struct BuildPlan: Sendable, Equatable {
    var arguments: [StagePlan.Step] = []
    var stages: [StagePlan] = []

    /// - Throws: `.invalidArgument` in Docker's words with the number of the line.
    init(_ file: Dockerfile) throws(DaemonError) {
        for line in file.lines {
            let parsed: InstructionReader.Parsed
            do throws(DaemonError) { parsed = try InstructionReader(line, escape: file.escape).read() } catch {
                throw .invalid("dockerfile parse error on line \(line.number): \(error.message)")
            }
            switch parsed {
            case .stage(let stage): stages.append(stage)
            case .step(let instruction):
                let step = StagePlan.Step(instruction: instruction, text: line.text)
                if !stages.isEmpty { stages[stages.count - 1].steps.append(step) } else if case .argument = instruction { arguments.append(step) } else {
                    throw .invalid("no build stage in current context")
                }
            }
        }
    }

    /// Leaves out what comes after the stage `target`, by its name in any case.
    mutating func stop(at target: String) throws(DaemonError) {
        guard let index = stages.firstIndex(where: { $0.name.lowercased() == target.lowercased() }) else { throw .invalid("target stage \(GoText.quoted(target)) could not be found") }
        stages.removeSubrange((index + 1)...)
    }

    /// The labels of a request become instructions of the last stage, one each, in the order of their names.
    mutating func add(labels: [String: String]) {
        guard !stages.isEmpty else { return }
        for (name, value) in labels.sorted(by: { $0.key < $1.key }) {
            stages[stages.count - 1].steps.append(.init(instruction: .label([.init(name: name, value: value)], expands: false), text: "LABEL \(name)=\(value)"))
        }
    }

    var stepCount: Int { arguments.count + stages.count + stages.reduce(0) { $0 + $1.steps.count } }
}
