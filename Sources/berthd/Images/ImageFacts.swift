import OCISpec

/// What lists, `system df` and the image policy need of a target, put together once: reading it takes a dozen calls for each image.
///
/// Never changed, and shared by whoever looks: a list hands on thousands of them.
final class ImageFacts: Sendable {
    /// A part of the disk that a target needs.
    struct Part: Sendable, Hashable {
        enum Kind: Sendable, Hashable { case blob, layer }
        /// An uncompressed layer's blob has the same digest as what it unpacks to.
        var kind: Kind
        var digest: OCISpec.Digest
    }

    let variants: [ImageVariant]
    /// The one for this machine; another one where there is none for it; nil when the target is no image.
    let best: ImageVariant?
    /// Bytes that each variant takes unpacked, in the order of `variants`.
    let unpacked: [Int64]
    /// Everything of it that is here, with its bytes.
    let parts: [Part: Int64]
    /// When the image was made, by its configuration.
    let created: WallClock?
    /// Bytes, as Docker counts an image: blobs and unpacked layers of all its platforms.
    let size: Int64

    var labels: [String: String] { best?.config?.config.labels ?? [:] }
    /// Nothing of it is missing, so that nothing can be added. Without variants its index may be what is missing.
    var isComplete: Bool { !variants.isEmpty && variants.allSatisfy(\.isAvailable) }

    /// Asks the store for everything.
    init(_ target: OCISpec.Descriptor, from catalog: isolated ImageCatalog) async throws {
        let variants = try await catalog.variants(of: target)
        var unpacked: [Int64] = []
        var parts: [Part: Int64] = [:]
        if OCISpec.MediaType.isIndex(target.mediaType) { parts[Part(kind: .blob, digest: target.digest)] = target.size }
        for variant in variants {
            if let manifest = variant.manifest {
                for blob in [variant.descriptor, manifest.config] + manifest.layers {
                    var isHere = variant.isAvailable
                    if !isHere { isHere = try await catalog.client.info(blob.digest) != nil }
                    if isHere { parts[Part(kind: .blob, digest: blob.digest)] = blob.size }
                }
            }
            var bytes: Int64 = 0
            for chainID in variant.chainIDs {
                let size = try await catalog.layerSize(chainID)
                bytes += size
                if size > 0 { parts[Part(kind: .layer, digest: chainID)] = size }
            }
            unpacked.append(bytes)
        }
        self.variants = variants
        self.unpacked = unpacked
        self.parts = parts
        best = ImageCatalog.best(variants, for: ImagePlatform.host) ?? variants.first { $0.kind == .image && $0.config != nil }
        created = best?.config?.created.flatMap { WallClock(rfc3339: $0) }
        size = variants.reduce(0) { $0 + $1.contentSize } + unpacked.reduce(0, +)
    }
}

extension ImageCatalog {
    /// Facts, and the moment when one of the target's names had last been written: a pull of another platform writes it again.
    struct KnownFacts: Sendable {
        var updated: WallClock
        var facts: ImageFacts
    }

    /// Targets that are read at once when they are not known: each is a dozen small calls, one after the other.
    private static let parallel = 32

    /// The facts of many targets, in their order, with one visit here. What is known costs a look-up.
    func facts(_ targets: [(target: OCISpec.Descriptor, updated: WallClock)]) async throws -> [ImageFacts] {
        var result = targets.map { target, updated in known[target.digest].flatMap { $0.updated == updated ? $0.facts : nil } }
        let missing = result.indices.filter { result[$0] == nil }
        try await withThrowingTaskGroup(of: (Int, ImageFacts).self) { group in
            for (started, index) in missing.enumerated() {
                if started >= Self.parallel, let (done, facts) = try await group.next() { result[done] = facts }
                let target = targets[index].target
                group.addTask { (index, try await self.read(target)) }
            }
            for try await (done, facts) in group { result[done] = facts }
        }
        for index in missing { if let facts = result[index] { remember(KnownFacts(updated: targets[index].updated, facts: facts), of: targets[index].target.digest) } }
        return result.compactMap { $0 }
    }

    private func read(_ target: OCISpec.Descriptor) async throws -> ImageFacts { try await ImageFacts(target, from: self) }

    /// Content has come or gone: what was incomplete has to be looked at again.
    func contentArrived() { known = known.filter(\.value.facts.isComplete) }
}
