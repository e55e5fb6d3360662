import DockerAPI

/// An image as far as a container needs it: found once at create, then part of the container's record.
struct ResolvedImage: Sendable, Equatable, Codable {
    /// The image's ID: the digest of what the reference points to (index or manifest), `sha256:…`.
    var id: String
    /// As `docker ps` shows it: the familiar reference that was asked for, or the ID when it was found by ID.
    var reference: String
    /// `Config` of the image's OCI configuration: Env, Cmd, Entrypoint, User, WorkingDir, Volumes, ExposedPorts, Labels, Healthcheck, StopSignal, Shell.
    var config: ContainerConfig
    /// Key of the committed snapshot of the topmost layer (OCI image-spec, "Layer ChainID"); empty for an image without layers.
    var chainID: String
    /// `os/arch[/variant]`, as `linux/amd64`.
    var platform: String
    /// The manifest chosen for this platform.
    var manifest: Descriptor
}

/// What the container services ask of images.
protocol ImageProviding: Sendable {
    /// Finds an image by name, name@digest, ID or a unique prefix of an ID, for `platform` (nil: the host's), unpacks it into the snapshotter if that
    /// has not happened yet, and answers with its configuration.
    ///
    /// - Throws: `DaemonError.notFound("No such image: NAME:TAG")` as dockerd words it, `.invalidArgument` for a malformed reference.
    func resolve(_ reference: String, platform: String?) async throws -> ResolvedImage

    /// The ID of the image that a name, an ID or a unique prefix of one leads to now, whatever its platform.
    func identify(_ reference: String) async throws -> String

    /// Bytes of an image's unpacked layers; 0 when it is not here any more.
    ///
    /// - Parameter manifest: of the platform that a container runs.
    func unpackedSize(_ manifest: DockerAPI.Descriptor) async throws -> Int64

    /// Number of images, for `/info`.
    func count() async throws -> Int

    /// For `/system/df`; `layersSize` counts each layer once.
    func diskUsage() async throws -> (images: [ImageSummary], layersSize: Int64)
}
