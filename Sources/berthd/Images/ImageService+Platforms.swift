import DockerAPI
import OCISpec

/// Removal of single platforms of an image.
extension ImageService {
    /// Removes the manifests of some platforms with what nothing else here refers to. The image's name and its index stay.
    ///
    /// - Throws: `.notFound` for a platform that is not here, `.conflict` while a container runs it.
    func deletePlatforms(_ platforms: [Platform], of found: Found) async throws -> [ImageDeleteItem] {
        var items: [ImageDeleteItem] = []
        for platform in platforms {
            let text = ImagePlatform.text(platform)
            func failure(_ error: DaemonError) -> DaemonError { DaemonError(error.code, "failed to delete platform \(text) for image \(found.id): \(error.message)") }
            let variants = try await catalog.variants(of: found.target)
            guard let variant = ImageCatalog.best(variants, for: platform, strictly: true), let manifest = variant.manifest else {
                throw failure(ImagePlatform.isMissing(platform, of: found.spelled?.familiar ?? found.id))
            }
            let digest = variant.descriptor.digest
            if let user = users.imageUsers().first(where: { $0.manifest == digest.description }) {
                throw failure(.conflict("container \(user.containerID.prefix(12)) is using it"))
            }
            // Blobs that another manifest needs stay: images share their layers.
            var needed: Set<OCISpec.Digest> = []
            for target in Set(try await client.list().map(\.target)) {
                for other in try await catalog.variants(of: target) where other.descriptor.digest != digest {
                    guard let manifest = other.manifest else { continue }
                    needed.formUnion([other.descriptor.digest, manifest.config.digest] + manifest.layers.map(\.digest))
                }
            }
            for blob in [digest, manifest.config.digest] + manifest.layers.map(\.digest) where !needed.contains(blob) { try await client.deleteContent(blob) }
            await catalog.forget(found.target)
            items.append(ImageDeleteItem(Deleted: digest.description))
        }
        // What was unpacked of them goes with the collector's next run: now.
        try await client.collect()
        return items
    }
}
