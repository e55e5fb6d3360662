import BerthDefaults
import Crypto
import OCISpec

/// One platform's image inside of a target.
struct ImageVariant: Sendable, Equatable {
    enum Kind: String, Sendable { case image, attestation, unknown }

    var kind: Kind
    /// Of its manifest, as the index (or the image record) gives it.
    var descriptor: OCISpec.Descriptor
    /// nil while the manifest is not here: an index of many platforms of which one was pulled.
    var manifest: ImageManifest?
    var config: ImageConfig?
    /// Every blob of it is here.
    var isAvailable: Bool
    /// Bytes of the blobs that are here.
    var contentSize: Int64

    var platform: Platform? { config?.platform ?? descriptor.platform }
    var chainIDs: [OCISpec.Digest] { config.map { ChainID.all($0.rootfs.diffIDs) } ?? [] }
}

/// Chain IDs of layers. Spec: OCI image-spec, config.md#layer-chainid.
enum ChainID {
    /// The chain ID of every layer together with those below it, lowest first.
    static func all(_ diffIDs: [OCISpec.Digest]) -> [OCISpec.Digest] {
        var result: [OCISpec.Digest] = []
        for diffID in diffIDs {
            guard let last = result.last else {
                result.append(diffID)
                continue
            }
            result.append(OCISpec.Digest(bytes: SHA256.hash(data: Array("\(last) \(diffID)".utf8))))
        }
        return result
    }
}

/// What is known of images by digest. A digest never stands for something else, so what was read once is kept.
actor ImageCatalog {
    let client: ImageStoreClient
    private var indexes: [OCISpec.Digest: ImageIndex] = [:]
    private var variants: [OCISpec.Digest: ImageVariant] = [:]
    private var usages: [OCISpec.Digest: Int64] = [:]
    var known: [OCISpec.Digest: KnownFacts] = [:]

    /// Entries of each kind; beyond it the memory is emptied and fills again.
    private static let limit = 4096

    init(client: ImageStoreClient) { self.client = client }

    /// The platforms of an image, in the order of its index. A target that is neither index nor manifest has none.
    func variants(of target: OCISpec.Descriptor) async throws -> [ImageVariant] {
        if OCISpec.MediaType.isIndex(target.mediaType) {
            guard let index = try await index(target.digest) else { return [] }
            var result: [ImageVariant] = []
            for descriptor in index.manifests {
                // An index in an index is followed one level down, as registries have them.
                if OCISpec.MediaType.isIndex(descriptor.mediaType) { result += try await variants(of: descriptor) } else { result.append(try await variant(descriptor)) }
            }
            return result
        }
        return OCISpec.MediaType.isManifest(target.mediaType) ? [try await variant(target)] : []
    }

    private func index(_ digest: OCISpec.Digest) async throws -> ImageIndex? {
        if let known = indexes[digest] { return known }
        let index = try await client.document(ImageIndex.self, digest)
        if indexes.count >= Self.limit { indexes = [:] }
        indexes[digest] = index
        return index
    }

    private func variant(_ descriptor: OCISpec.Descriptor) async throws -> ImageVariant {
        if var known = variants[descriptor.digest] {
            known.descriptor = descriptor
            return known
        }
        let isAttestation = descriptor.annotations["vnd.docker.reference.type"] == "attestation-manifest"
        var result = ImageVariant(kind: isAttestation ? .attestation : .unknown, descriptor: descriptor, isAvailable: false, contentSize: 0)
        guard let manifest = try await client.document(ImageManifest.self, descriptor.digest) else {
            if !isAttestation && descriptor.platform?.os != "unknown" { result.kind = .image }
            return result
        }
        result.manifest = manifest
        result.contentSize = descriptor.size
        result.isAvailable = true
        for blob in [manifest.config] + manifest.layers {
            if try await client.info(blob.digest) != nil { result.contentSize += blob.size } else { result.isAvailable = false }
        }
        if !isAttestation && OCISpec.MediaType.isConfig(manifest.config.mediaType) {
            result.kind = .image
            result.config = try await client.document(ImageConfig.self, manifest.config.digest)
            // It was there a moment ago: the image is being removed, and what is remembered below must not lack it.
            if result.config == nil { result.isAvailable = false }
        }
        if result.isAvailable {
            if variants.count >= Self.limit { variants = [:] }
            variants[descriptor.digest] = result
        }
        return result
    }

    /// The one that fits best; among equals the first.
    func best(of target: OCISpec.Descriptor, for platform: Platform, strictly: Bool = false) async throws -> ImageVariant? {
        Self.best(try await variants(of: target), for: platform, strictly: strictly)
    }

    static func best(_ variants: [ImageVariant], for platform: Platform, strictly: Bool = false) -> ImageVariant? {
        var found: (variant: ImageVariant, distance: Int)?
        for variant in variants where variant.kind == .image && variant.manifest != nil {
            // A single manifest without a platform in its configuration is for everybody.
            let offered = variant.platform.flatMap { $0.os.isEmpty ? nil : $0 } ?? platform
            guard let distance = ImagePlatform.distance(of: offered, from: platform, strictly: strictly) else { continue }
            if found.map({ distance < $0.distance }) ?? true { found = (variant, distance) }
        }
        return found?.variant
    }

    /// Bytes that an unpacked layer takes; 0 while it is not unpacked.
    func layerSize(_ chainID: OCISpec.Digest) async throws -> Int64 {
        if let known = usages[chainID] { return known }
        guard let size = try await client.usage(chainID) else { return 0 }
        if usages.count >= Self.limit { usages = [:] }
        usages[chainID] = size
        return size
    }

    func remember(_ facts: KnownFacts, of target: OCISpec.Digest) {
        if known.count >= Self.limit { known = [:] }
        known[target] = facts
    }

    /// After an image was removed: what may be gone with it must not be found here.
    func forget(_ target: OCISpec.Descriptor) async {
        known[target.digest] = nil
        contentArrived()
        guard let gone = try? await variants(of: target) else { return }
        for variant in gone {
            variants[variant.descriptor.digest] = nil
            for chainID in variant.chainIDs { usages[chainID] = nil }
        }
        indexes[target.digest] = nil
    }
}
