import DockerAPI
import OCISpec

/// A container as its image sees it.
struct ImageUser: Sendable, Equatable {
    var containerID: String
    /// Digest of the image's target.
    var imageID: String
    /// Digest of the manifest that it runs.
    var manifest: String
    var isRunning: Bool
}

/// The containers of each manifest.
struct ImageUserIndex: Sendable {
    private var byManifest: [String: [String]] = [:]

    init(_ users: [ImageUser]) {
        for user in users { byManifest[user.manifest, default: []].append(user.containerID) }
    }

    func containers(of variant: ImageVariant) -> [String] { byManifest.isEmpty ? [] : byManifest[variant.descriptor.digest.description] ?? [] }
    func count(of variants: [ImageVariant]) -> Int { byManifest.isEmpty ? 0 : variants.reduce(0) { $0 + containers(of: $1).count } }
}

/// Who uses which image; implemented by what knows the containers.
protocol ImageUserLookup: Sendable {
    func imageUsers() -> [ImageUser]
    /// The image of every container, by the digest of its target and as the user wrote it.
    func imageReferences() -> [(imageID: String, reference: String)]
}

extension ContainerStore: ImageUserLookup {
    func imageUsers() -> [ImageUser] { all.map(\.imageUser) }
    func imageReferences() -> [(imageID: String, reference: String)] {
        all.map(\.record).map { ($0.image.id, $0.config.Image ?? $0.image.reference) }
    }
}
