import DockerAPI
import LinuxSystem
import OCISpec

/// Builds images from Dockerfiles, as Docker's classic builder does.
struct BuildService: Sendable {
    let containers: ContainerService
    let images: ImageService

    private var environment: ContainerEnvironment { containers.environment }
    /// Contexts while they are built from.
    private var root: String { environment.config.dataRoot + "/daemon/builds" }

    /// The builds of an earlier life of the daemon. Before the first of this one.
    func strays() -> [BuildTraces] { ((try? Files.entries(of: root)) ?? []).map { BuildTraces(directory: "\(root)/\($0)") } }

    /// Removes what they have left: their containers, which may still run, and their files.
    func remove(_ strays: [BuildTraces]) async {
        for stray in strays {
            for id in stray.containers where containers.store.get(id: id) != nil {
                Log.warning("container \(id.shortID) of a build that was never finished is removed")
                do { try await containers.remove(id, force: true, removingVolumes: true, link: false) } catch { Log.error("container \(id.shortID) of a build stays: \(error)") }
            }
            do { try await BlockingThread.run { try stray.remove() } } catch { Log.error("the files of a build stay in \(stray.directory): \(error)") }
        }
    }

    /// Builds an image and gives it its names. Everything else that was made for it is gone when this returns.
    ///
    /// What is wrong with the request, its context or its Dockerfile is thrown before anything is said.
    ///
    /// - Parameter body: the context.
    /// - Returns: the image's ID.
    func build(_ options: BuildOptions, _ body: RequestBody, output: BuildOutput, cancellation: BuildCancellation) async throws -> String {
        let directory = "\(root)/\(Identifier.random(digits: 24))"
        try Files.makeDirectories(directory, mode: 0o700)
        let result: Result<String, any Error>
        do {
            result = .success(try await images.client.withLease { lease in
                let files = BuildFiles(images: images, mountPlace: environment.config.execRoot, lease: lease)
                return try await build(options, body, files, directory, output, cancellation)
            })
        } catch { result = .failure(error) }
        try await BlockingThread.run { try BuildTraces(directory: directory).remove() }
        return try result.get()
    }

    private func build(
        _ options: BuildOptions, _ body: RequestBody, _ files: BuildFiles, _ directory: String, _ output: BuildOutput, _ cancellation: BuildCancellation
    ) async throws -> String {
        try Files.makeDirectory(directory + "/context")
        let context = try await BuildContext.receive(body, into: directory + "/context", files)
        let (text, name) = try await context.dockerfile(named: options.dockerfile)
        let file: Dockerfile
        do throws(DaemonError) { file = try Dockerfile(parsing: text) } catch { throw DaemonError(error.code, "failed to parse \(name): \(error.message)") }
        var plan = try BuildPlan(file)
        if plan.stages.isEmpty { throw DaemonError.invalid("no build stage in current context") }
        if !options.target.isEmpty { try plan.stop(at: options.target) }
        plan.add(labels: options.labels)
        let run = BuildRun(self, options: options, output: output, cancellation: cancellation, files: files, context: context, directory: directory, escape: file.escape)
        let image = try await run.run(plan, warnings: file.warnings)
        try await output.write("Successfully built \(image.id.shortID)\n")
        for tag in options.tags {
            try await images.tag(image.id, repository: tag.name, tag: tag.tag ?? "")
            try await output.write("Successfully tagged \(tag.familiar)\n")
        }
        return image.id
    }
}

/// What a build notes on the disk of its containers, for a daemon that finds them later.
struct BuildTraces: Sendable {
    let directory: String

    private var list: String { directory + "/containers" }

    func note(_ id: String) throws {
        try Files.makeDirectories(list, mode: 0o700)
        try Files.replace("\(list)/\(id)", with: [], mode: 0o600)
    }

    /// With the context, whose names may be any bytes. Blocks.
    func remove() throws {
        guard let slash = directory.lastSlash else { return }
        try FileTree.remove(CName(String(directory[directory.index(after: slash)...])), in: try DirectoryFD(path: String(directory[..<slash])))
    }

    var containers: [String] { (try? Files.entries(of: list)) ?? [] }
}
