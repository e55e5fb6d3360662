import DockerAPI

/// A container as its image sees it.
struct ImageUser: Sendable, Equatable {
    var containerID: String
    /// Digest of the image's target.
    var imageID: String
    /// Digest of the manifest that it runs.
    var manifest: String
    var isRunning: Bool
}

/// Who uses which image; implemented by what knows the containers.
protocol ImageUserLookup: Sendable {
    func imageUsers() -> [ImageUser]
}

extension ContainerStore: ImageUserLookup {
    func imageUsers() -> [ImageUser] {
        all.map { container in
            let record = container.record
            return ImageUser(containerID: record.id, imageID: record.image.id, manifest: record.image.manifest.digest ?? "", isRunning: record.lifecycle.isRunning)
        }
    }
}
