import BerthDefaults
import DockerAPI
import OCISpec

/// An image as a build goes on from it.
struct BuildImage: Sendable {
    /// As containers know it. Its ID is empty for `scratch`.
    var resolved: ResolvedImage
    var manifest: ImageManifest?
    var config: ImageConfig

    var id: String { resolved.id }
    /// What distinguishes it, also from other platforms of the same image.
    var identity: String { resolved.manifest.digest ?? "scratch" }

    static func scratch(_ platform: Platform) -> BuildImage {
        let text = ImagePlatform.text(platform)
        return BuildImage(
            resolved: ResolvedImage(id: "", reference: "", config: ContainerConfig(), chainID: "", platform: text, manifest: DockerAPI.Descriptor()), manifest: nil,
            config: ImageConfig(architecture: platform.architecture, os: platform.os, variant: platform.variant))
    }
}

/// Finds and makes the images of a build.
struct BuildImages: Sendable {
    let images: ImageService
    let options: BuildOptions
    let output: BuildOutput
    let cancellation: BuildCancellation

    private var client: ImageStoreClient { images.client }

    // MARK: Finding

    /// An image that is here, or else from its registry.
    ///
    /// - Parameter isLocal: it was made by this build, and is looked for nowhere else.
    func image(_ reference: String, platform: Platform?, isLocal: Bool = false) async throws -> BuildImage {
        let wanted = platform.map { ImagePlatform.text($0) }
        if isLocal || !options.pulls {
            do { return try await load(reference, platform: wanted) } catch let error as DaemonError where error.code == .notFound && !isLocal {}
        }
        let name = try ImageService.pullReference(reference, tag: "").withDefaultTag
        let (images, emit, credentials) = (images, output.emit, options.credentials(for: name))
        try await cancellation.during { try await images.pull(name, platform: wanted, auth: credentials, emit: emit) }
        return try await load(name.description, platform: wanted)
    }

    func load(_ reference: String, platform: String?) async throws -> BuildImage {
        let resolved = try await images.resolve(reference, platform: platform)
        guard let digest = resolved.manifest.digest.flatMap({ try? OCISpec.Digest(parsing: $0) }), let manifest = try await client.document(ImageManifest.self, digest),
            let config = try await client.document(ImageConfig.self, manifest.config.digest)
        else { throw DaemonError.notFound("No such image: \(reference)") }
        return BuildImage(resolved: resolved, manifest: manifest, config: config)
    }

    /// The images of `cachefrom` that are here.
    func cacheSources() async -> [BuildImage] {
        var found: [BuildImage] = []
        for name in options.cacheFrom {
            do { found.append(try await load(name, platform: nil)) } catch { Log.info("\(name) is no source of a build's cache: \(error)") }
        }
        return found
    }

    // MARK: Making

    /// What a step says about the image that it makes.
    struct Step: Sendable {
        /// Of the image.
        var config: ContainerConfig
        /// Of the step: its `Cmd` says what was done.
        var container: ContainerConfig
        var author: String
        /// nil: the step changed no files.
        var layer: ImageAssembler.Layer?
        /// What another image says of the same step; nil: it was carried out just now.
        var known: ImageConfig.History?
    }

    /// Makes the image of a step: without a name, but known as the child of its parent.
    func make(on parent: BuildImage, _ step: Step, lease: String) async throws -> BuildImage {
        var config = parent.config
        config.created = step.known?.created ?? WallClock.now().rfc3339
        if !step.author.isEmpty { config.author = step.author }
        config.config = ImageConfig.Execution(step.config)
        let layers = step.layer.map { [$0] } ?? []
        config.history.append(
            step.known
                ?? .init(created: config.created, createdBy: (step.container.Cmd ?? []).joined(separator: " "), author: config.author, emptyLayer: layers.isEmpty ? true : nil))
        let target = try await ImageAssembler(client: client).assemble(base: parent.manifest, config: config, added: layers, lease: lease)
        try await client.put(ImageService.danglingName(target.digest), target: target, labels: BuildCache.labels(parent: parent, step: step.container), lease: lease)
        let id = target.digest.description
        images.publish("create", id: id, name: id)
        return try await load(id, platform: nil)
    }
}
