import BerthDefaults
import ContainerdAPI
import OCILayer
import OCISpec

/// Archive on a client's stream → image store: read, unpack, name.
struct ImportTransfer {
    let engine: TransferEngine
    let namespace: String
    let lease: String
    let progress: TransferProgress
    /// Where layers are unpacked.
    let snapshotter: Snapshotter

    func run(_ bytes: IncomingBytes, to store: TransferTypes_ImageStore, matcher: PlatformMatcher, unpacks: [PlatformMatcher]) async throws {
        progress.note("Importing")
        let archive = ArchiveImport(content: engine.content, namespace: namespace, lease: lease)
        let result = try await withTaskCancellationHandler {
            try await BlockingThread.run { try archive.run(bytes) }
        } onCancel: {
            bytes.abort(CancellationError())
        }
        var done: Set<Digest> = []
        for image in result.images where done.insert(image.digest).inserted {
            try await take(image, parents: ["index-\(result.index.digest)"], matcher: matcher, unpacks: unpacks, depth: 0)
        }
        var saved = 0
        if !store.name.isEmpty {
            saved += try await save(result.index, try ImageNames.names(for: result.index, in: store, isImported: false))
        }
        for image in result.images {
            saved += try await save(image, try ImageNames.names(for: image, in: store, isImported: true))
        }
        if saved == 0, result.images.isEmpty { throw StorageError(.invalidArgument, "archive contains no image") }
        progress.note("Completed import")
    }

    private func save(_ target: Descriptor, _ names: [(name: String, labels: [String: String])]) async throws -> Int {
        guard !names.isEmpty else { return 0 }
        var target = target
        target.annotations = target.annotations.filter { $0.key != "io.containerd.import.ref-source" }
        for image in try await engine.storeImages(target, names: names, in: namespace) {
            ImageEvents.created(image, in: namespace, engine.events)
            progress.note("saved", name: image.name, descriptor: target)
        }
        return names.count
    }

    /// Labels a member's documents and unpacks it where it is wanted. A member of an index that the archive leaves out is left out here too.
    private func take(_ descriptor: Descriptor, parents: [String], matcher: PlatformMatcher, unpacks: [PlatformMatcher], depth: Int) async throws {
        guard depth <= 8 else { throw StorageError(.invalidArgument, "image indexes are nested too deeply") }
        guard try await engine.claim(descriptor.digest, for: lease, in: namespace) != nil else {
            if depth > 0 { return }
            throw StorageError(.invalidArgument, "archive names \(descriptor.digest) but does not contain it")
        }
        let bytes = try await engine.read(descriptor, in: namespace)
        guard Int64(bytes.count) == descriptor.size else {
            throw StorageError(.failedPrecondition, "\(descriptor.digest) has \(bytes.count) bytes, its descriptor says \(descriptor.size): failed size validation")
        }
        let name = TransferProgress.name(of: descriptor)
        if MediaType.isIndex(descriptor.mediaType) {
            let index = try ImageDocuments.index(bytes, descriptor)
            try await engine.label(descriptor.digest, ImageDocuments.referenceLabels(index), in: namespace)
            for member in matcher.choose(index.manifests) where MediaType.isIndex(member.mediaType) || MediaType.isManifest(member.mediaType) {
                let wanted = unpacks.filter { unpack in unpack.choose(index.manifests).contains { $0.digest == member.digest } }
                try await take(member, parents: [name], matcher: matcher, unpacks: wanted, depth: depth + 1)
            }
        } else if MediaType.isManifest(descriptor.mediaType) {
            let manifest = try ImageDocuments.manifest(bytes, descriptor)
            try await engine.label(descriptor.digest, ImageDocuments.referenceLabels(manifest), in: namespace)
            try await unpack(descriptor, manifest, name, unpacks: unpacks)
        } else {
            throw StorageError(.invalidArgument, "unsupported media type \(descriptor.mediaType) for an image: invalid argument")
        }
    }

    private func unpack(_ descriptor: Descriptor, _ manifest: ImageManifest, _ name: String, unpacks: [PlatformMatcher]) async throws {
        let children = [manifest.config] + manifest.layers
        guard try await engine.claim(children.map(\.digest), for: lease, in: namespace), !unpacks.isEmpty, MediaType.isConfig(manifest.config.mediaType), manifest.layers.allSatisfy({ MediaType.isLayer($0.mediaType) })
        else { return }
        let config = try ImageDocuments.config(try await engine.read(manifest.config, in: namespace), manifest.config)
        // A manifest alone tells its platform by its configuration.
        guard descriptor.platform != nil || unpacks.contains(where: { $0.rank(config.platform) != nil }) || config.os.isEmpty else { return }
        if let platform = descriptor.platform, !unpacks.contains(where: { $0.rank(platform) != nil }) { return }
        guard config.rootfs.diffIDs.count == manifest.layers.count else {
            throw StorageError(
                .invalidArgument, "mismatched image rootfs and manifest layers: \(config.rootfs.diffIDs.count) diff IDs for \(manifest.layers.count) layers")
        }
        let layers = zip(manifest.layers, config.rootfs.diffIDs).map { layer, diffID in
            Unpacker.Layer(descriptor: layer, diffID: diffID, source: .stored, job: progress.job(layer, parents: [name]))
        }
        try await engine.unpacker.unpack(layers, with: snapshotter, in: namespace, lease: lease)
        for layer in layers {
            try await engine.label(layer.descriptor.digest, ["containerd.io/uncompressed": layer.diffID.description], in: namespace)
        }
        if let top = ImageDocuments.chainIDs(config.rootfs.diffIDs).last {
            try await engine.label(manifest.config.digest, ["containerd.io/gc.ref.snapshot.\(snapshotter.name)": top.description], in: namespace)
        }
    }
}
