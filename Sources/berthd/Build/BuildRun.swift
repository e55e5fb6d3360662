import DockerAPI
import OCISpec

/// One build: carries out the instructions of a Dockerfile, one after the other.
///
/// Every instruction makes an image, the next one is carried out on it. Steps that change files have a file each: RunStep.swift, CopyStep.swift.
final class BuildRun {
    let containers: ContainerService
    let images: ImageService
    let options: BuildOptions
    let output: BuildOutput
    let cancellation: BuildCancellation
    let files: BuildFiles
    let context: BuildContext?
    /// Below it fetched files are put.
    let directory: String
    let escape: Unicode.Scalar

    let sources: BuildImages
    let cache: BuildCache
    private(set) var stages = FinishedStages()
    /// Images of `cachefrom`, once somebody has asked for them.
    private var cacheSources: [BuildImage]?
    /// Those and the images that builds have made them on.
    private var sourceIDs: Set<String>?
    /// Layers that files were copied from.
    var openLayers: [String: ContainerFilesystem] = [:]

    init(
        _ service: BuildService, options: BuildOptions, output: BuildOutput, cancellation: BuildCancellation, files: BuildFiles, context: BuildContext?, directory: String, escape: Unicode.Scalar
    ) {
        containers = service.containers
        images = service.images
        self.options = options
        self.output = output
        self.cancellation = cancellation
        self.files = files
        self.context = context
        self.directory = directory
        self.escape = escape
        sources = BuildImages(images: service.images, options: options, output: output, cancellation: cancellation)
        cache = BuildCache(client: service.images.client)
    }

    /// - Returns: the image of the last stage.
    func run(_ plan: BuildPlan, warnings: [String]) async throws -> BuildImage {
        for warning in warnings { try await output.writeError("[WARNING]: \(warning)\n") }
        var arguments = BuildArguments(given: options.arguments)
        var number = 0
        func announce(_ text: String) async throws {
            number += 1
            try await output.write("Step \(number)/\(plan.stepCount) : \(text)\n")
        }
        for step in plan.arguments {
            try await announce(step.text)
            guard case .argument(let list) = step.instruction else { continue }
            for argument in list { try declareGlobally(argument, &arguments) }
        }
        var last: BuildImage?
        for planned in plan.stages {
            if stages[planned.name] != nil { throw DaemonError.internalError("\(planned.name) stage name already used") }
            try await announce(planned.text)
            var stage = try await begin(planned, arguments)
            try await output.write(" ---> \(stage.image.id.shortID)\n")
            for step in planned.steps {
                try cancellation.check()
                try await announce(step.text)
                try await carryOut(step.instruction, in: &stage)
                try await output.write(" ---> \(stage.image.id.shortID)\n")
            }
            if !stage.image.id.isEmpty, options.version >= .v(30) { try await output.writeID(stage.image.id) }
            arguments.noteMentions(of: stage.arguments)
            stages.add(stage)
            last = stage.image
        }
        if !arguments.unused.isEmpty { try await output.write("[Warning] One or more build-args \(GoText.plain(arguments.unused)) were not consumed\n") }
        guard let last, !last.id.isEmpty else { throw DaemonError.internalError("No image was generated. Is your Dockerfile empty?") }
        return last
    }

    /// An argument before the first FROM sees those before it.
    private func declareGlobally(_ argument: Instruction.Argument, _ arguments: inout BuildArguments) throws {
        let expansion = VariableExpansion(arguments.values(besides: []), escape: escape)
        arguments.declareGlobally(try expansion.word(argument.name), argument.value == nil ? nil : try expansion.word(argument.value ?? ""))
    }

    // MARK: Stages

    private func begin(_ planned: StagePlan, _ arguments: BuildArguments) async throws -> BuildStage {
        let expansion = VariableExpansion(arguments.globalValues, escape: escape)
        var platform = options.platform
        if !planned.platform.isEmpty {
            let text = try expansion.word(planned.platform)
            do { platform = try ImagePlatform.parse(text) } catch let error as DaemonError { throw DaemonError(error.code, "failed to parse platform \(text): \(error.message)") }
        }
        let base = try expansion.word(planned.base)
        if base.isEmpty { throw DaemonError.internalError("base name (\(planned.base)) should not be blank") }
        let image: BuildImage
        if let earlier = stages[base] { image = earlier } else if base == "scratch" { image = .scratch(platform ?? ImagePlatform.host) } else {
            image = try await sources.image(base, platform: platform)
        }
        guard image.config.os.isEmpty || image.config.os == ImagePlatform.host.os else { throw DaemonError.invalid("operating system is not supported") }
        var stage = BuildStage(planned.name, on: image, arguments: arguments.forNextStage(), usesCache: options.usesCache)
        if let triggers = stage.config.OnBuild, !triggers.isEmpty { try await pull(triggers, in: &stage) }
        return stage
    }

    /// What the base wants to be done in images that are made of it.
    private func pull(_ triggers: [String], in stage: inout BuildStage) async throws {
        stage.config.OnBuild = nil
        try await output.write("# Executing \(triggers.count) build trigger\(triggers.count > 1 ? "s" : "")\n")
        for trigger in triggers {
            let file = try Dockerfile(parsing: trigger)
            guard file.lines.count == 1 else { throw DaemonError.internalError("onbuild trigger should be a single expression") }
            guard case .step(let instruction) = try InstructionReader(file.lines[0], escape: file.escape).read() else { throw DaemonError.internalError("FROM isn't allowed as an ONBUILD trigger") }
            try await carryOut(instruction, in: &stage)
        }
    }

    // MARK: Steps

    private func carryOut(_ instruction: Instruction, in stage: inout BuildStage) async throws {
        let environment = stage.config.Env ?? []
        let expansion = VariableExpansion(environment + stage.arguments.values(besides: environment), escape: escape)
        let expanded = try instruction.expanded { text throws(DaemonError) in try expansion.word(text) }
        do { try await carryOut(expanded, expansion, in: &stage) } catch {
            // One that failed stays to be looked into, unless the request or nobody wants it.
            if options.forceRemoves || cancellation.isCancelled { await removeContainers(of: &stage) }
            throw error
        }
        guard options.removes else { return stage.containers = [] }
        for id in await removeContainers(of: &stage) { try await output.write(" ---> Removed intermediate container \(id.shortID)\n") }
    }

    @discardableResult
    private func removeContainers(of stage: inout BuildStage) async -> [String] {
        var removed: [String] = []
        for id in stage.containers {
            do { try await containers.remove(id, force: true, removingVolumes: true, link: false) } catch {
                Log.warning("container \(id.shortID) of a build stays: \(error)")
                continue
            }
            removed.append(id)
        }
        stage.containers = []
        return removed
    }

    private func carryOut(_ instruction: Instruction, _ expansion: VariableExpansion, in stage: inout BuildStage) async throws {
        switch instruction {
        case .needsBuildKit(let flag):
            throw DaemonError.internalError(
                "the --\(flag) option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled")
        case .argument(let list):
            for argument in list { stage.arguments.declare(argument.name, argument.value) }
            try await note("ARG " + list.map { $0.name + ($0.value.map { "=\($0)" } ?? "") }.joined(separator: " "), in: &stage)
        case .run(let line): try await runCommand(line, in: &stage)
        case .add(let copy), .copy(let copy): try await self.copy(copy, in: &stage)
        default:
            var step = ConfigStep(config: stage.config, isCommandSet: stage.isCommandSet, author: stage.author, expansion: expansion)
            guard let (comment, note) = try step.apply(instruction) else { return }
            if let note { try await output.write(note) }
            (stage.config, stage.isCommandSet, stage.author) = (step.config, step.isCommandSet, step.author)
            if case .workingDirectory = instruction { try await makeWorkingDirectory(comment, in: &stage) } else { try await self.note(comment, in: &stage) }
        }
    }

    /// A step that changes no files: its image has the layers of the one before.
    private func note(_ comment: String, in stage: inout BuildStage) async throws {
        let step = stage.noting(comment)
        if try await useCache(step, in: &stage) { return }
        _ = try await createContainer(step, in: &stage)
        try await makeImage(step, layer: nil, in: &stage)
    }

    /// The directory is made now, and belongs to the image.
    private func makeWorkingDirectory(_ comment: String, in stage: inout BuildStage) async throws {
        let step = stage.noting(comment, isOneWord: true)
        if try await useCache(step, in: &stage) { return }
        let container = try await createContainer(step, in: &stage)
        try await makeImage(step, ofContainer: container, in: &stage)
    }

    // MARK: Pieces of steps

    /// Takes the image of an earlier build in the place of the step.
    func useCache(_ step: ContainerConfig, in stage: inout BuildStage) async throws -> Bool {
        guard stage.usesCache else { return false }
        if let id = try await cache.find(parent: stage.image, step), try await isOfSources(id), let image = try? await sources.load(id, platform: nil) {
            stage.image = image
        } else if let (known, layer) = await findInSources(step, after: stage.image) {
            stage.image = try await sources.make(
                on: stage.image, .init(config: stage.config, container: step, author: stage.author, layer: layer, known: known), lease: files.lease)
        } else {
            stage.usesCache = false
            return false
        }
        try await output.write(" ---> Using cache\n")
        return true
    }

    /// A request that names its sources takes steps of those alone, also where others are here.
    private func isOfSources(_ id: String) async throws -> Bool {
        if options.cacheFrom.isEmpty { return true }
        if sourceIDs == nil {
            var found: Set<String> = []
            for source in await knownSources() { found.formUnion(try await cache.ancestry(of: source.id)) }
            sourceIDs = found
        }
        return sourceIDs?.contains(id) ?? false
    }

    private func knownSources() async -> [BuildImage] {
        if let cacheSources { return cacheSources }
        let found = await sources.cacheSources()
        cacheSources = found
        return found
    }

    private func findInSources(_ step: ContainerConfig, after parent: BuildImage) async -> (ImageConfig.History, ImageAssembler.Layer?)? {
        for source in await knownSources() { if let found = BuildCache.find(step, after: parent, in: source) { return found } }
        return nil
    }

    func createContainer(_ config: ContainerConfig, in stage: inout BuildStage) async throws -> ManagedContainer {
        var config = config
        config.Image = stage.image.id
        let request = ContainerCreateRequest(config: config, HostConfig: options.host)
        let (id, warnings) = try await containers.create(request, name: nil, platform: nil, version: .newest, image: stage.image.resolved)
        stage.containers.append(id)
        try BuildTraces(directory: directory).note(id)
        for warning in warnings { try await output.write(" ---> [Warning] \(warning)\n") }
        try await output.write(" ---> Running in \(id.shortID)\n")
        return try containers.store.find(id)
    }

    /// The image of a step whose files are a container's.
    func makeImage(_ step: ContainerConfig, ofContainer container: ManagedContainer, in stage: inout BuildStage) async throws {
        let record = container.record
        let store = images.client.using(record.snapshotter)
        let layer = try await LayerResidue.changes(of: record, images, store, lease: files.lease)
        if let layer { try await images.unpackCommitted(base: record.image.chainID, layer, stage.image.config.rootfs.diffIDs, store, lease: files.lease) }
        try await makeImage(step, layer: layer, in: &stage)
    }

    func makeImage(_ step: ContainerConfig, layer: ImageAssembler.Layer?, in stage: inout BuildStage) async throws {
        let made = BuildImages.Step(config: stage.config, container: step, author: stage.author, layer: layer)
        stage.image = try await sources.make(on: stage.image, made, lease: files.lease)
    }
}
