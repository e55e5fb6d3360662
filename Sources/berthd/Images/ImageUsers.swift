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
    private let counts: [String: Int]

    init(_ users: [ImageUser]) {
        for user in users { byManifest[user.manifest, default: []].append(user.containerID) }
        counts = byManifest.mapValues(\.count)
    }

    /// Numbers only.
    init(counts: [String: Int]) { self.counts = counts }

    func containers(of variant: ImageVariant) -> [String] { byManifest.isEmpty ? [] : byManifest[variant.descriptor.digest.description] ?? [] }
    func count(of variants: [ImageVariant]) -> Int { counts.isEmpty ? 0 : variants.reduce(0) { $0 + (counts[$1.descriptor.digest.description] ?? 0) } }
}

/// Who uses which image; implemented by what knows the containers.
protocol ImageUserLookup: Sendable {
    func imageUsers() -> [ImageUser]
    /// The number of containers of each manifest, by its digest.
    func imageUserCounts() -> [String: Int]
    /// The image of every container, by the digest of its target and as the user wrote it.
    func imageReferences() -> [(imageID: String, reference: String)]
}

extension ContainerStore: ImageUserLookup {
    func imageUsers() -> [ImageUser] { all.map(\.imageUser) }
    func imageUserCounts() -> [String: Int] {
        var counts: [String: Int] = [:]
        for container in all { counts[container.manifest, default: 0] += 1 }
        return counts
    }
    func imageReferences() -> [(imageID: String, reference: String)] {
        all.map(\.snapshot).map { ($0.record.image.id, $0.record.config.Image ?? $0.record.image.reference) }
    }
}
