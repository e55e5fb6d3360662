import ContainerdAPI
import Crypto
import FoundationEssentials
import JSONCodec
import OCISpec
import SwiftProtobuf

/// Makes an image of layers that are in the content store: writes configuration and manifest, and gives it its name.
struct ImageAssembler: Sendable {
    let client: ImageStoreClient

    /// A layer with its diff ID.
    struct Layer: Sendable {
        var descriptor: OCISpec.Descriptor
        var diffID: OCISpec.Digest
    }

    /// - Parameters:
    ///   - base: manifest of the image below; its layers come first.
    ///   - config: complete but for the diff IDs of `added`.
    /// - Returns: the manifest's descriptor: the new image's target.
    func assemble(base: ImageManifest?, config: ImageConfig, added: [Layer], lease: String) async throws -> OCISpec.Descriptor {
        var config = config
        config.rootfs.diffIDs += added.map(\.diffID)
        let configData = Data(try JSON.encode(config))
        let configDigest = OCISpec.Digest(bytes: SHA256.hash(data: configData))
        var configLabels: [String: String] = [:]
        if let chainID = ChainID.all(config.rootfs.diffIDs).last { configLabels["containerd.io/gc.ref.snapshot.\(client.snapshotter)"] = chainID.description }
        try await client.write(configData, digest: configDigest, labels: configLabels, lease: lease)

        let layers = (base?.layers ?? []) + added.map(\.descriptor)
        let manifest = ImageManifest(
            mediaType: OCISpec.MediaType.ociManifest, config: OCISpec.Descriptor(mediaType: OCISpec.MediaType.ociConfig, digest: configDigest, size: Int64(configData.count)), layers: layers)
        let data = Data(try JSON.encode(manifest))
        let digest = OCISpec.Digest(bytes: SHA256.hash(data: data))
        var labels = ["containerd.io/gc.ref.content.config": configDigest.description]
        for (index, layer) in layers.enumerated() { labels["containerd.io/gc.ref.content.l.\(index)"] = layer.digest.description }
        try await client.write(data, digest: digest, labels: labels, lease: lease)
        return OCISpec.Descriptor(mediaType: OCISpec.MediaType.ociManifest, digest: digest, size: Int64(data.count))
    }

    /// Remembers what a layer's blob unpacks to.
    func note(_ diffID: OCISpec.Digest, of layer: OCISpec.Digest, lease: String) async throws {
        try await client.label(layer, "containerd.io/uncompressed", diffID.description, lease: lease)
    }
}
