import BerthDefaults
import ContainerdAPI
import OCILayer
import OCISpec
import Registry

/// Registry → image store: resolve, fetch, unpack, name.
struct PullTransfer {
    let engine: TransferEngine
    let client: RegistryClient
    let namespace: String
    let lease: String
    let progress: TransferProgress
    /// Where layers are unpacked.
    let snapshotter: Snapshotter
    /// At most so many members of an index, the best ones; 0 for all that match.
    var manifestLimit = 0
    /// Manifests and configurations of the other platforms too, without their layers.
    var allMetadata = false

    /// - Parameters:
    ///   - matcher: the platforms whose content is fetched.
    ///   - unpacks: the platforms that are unpacked as well.
    func run(to store: TransferTypes_ImageStore, matcher: PlatformMatcher, unpacks: [PlatformMatcher]) async throws -> Descriptor {
        let text = "OCI Registry (\(client.reference))"
        progress.note("Resolving from \(text)")
        while true {
            do { return try await run(to: store, text: text, matcher: matcher, unpacks: unpacks) } catch let error as StorageError {
                // A mirror that serves something else than what it named: what was verified stays, the rest comes from the next place.
                let isWrong = error.code == .failedPrecondition || error.code == .invalidArgument || error.code == .unavailable
                guard isWrong, client.distrustFirst() else { throw error }
                try Task.checkCancellation()
                Log.warn("registry host serves wrong content, asking the next one", ["image": "\(client.reference)", "error": error.message])
            }
        }
    }

    private func run(to store: TransferTypes_ImageStore, text: String, matcher: PlatformMatcher, unpacks: [PlatformMatcher]) async throws -> Descriptor {
        let target = try await client.resolve()
        if target.mediaType == "application/vnd.docker.distribution.manifest.v1+prettyjws" || target.mediaType == "application/vnd.docker.distribution.manifest.v1+json" {
            throw StorageError(.invalidArgument, "schema 1 image manifests are no longer supported: invalid argument")
        }
        progress.note("Pulling from \(text)")
        progress.note("fetching image content", name: store.name, descriptor: target)
        try await fetch(target, parents: [store.name], matcher: matcher, unpacks: unpacks, isRoot: true, depth: 0)
        let images = try await engine.storeImages(target, names: try ImageNames.names(for: target, in: store, isImported: false), in: namespace)
        for image in images {
            ImageEvents.created(image, in: namespace, engine.events)
            progress.note("saved", name: image.name, descriptor: target)
        }
        progress.note("Completed pull from \(text)")
        return target
    }

    // MARK: Documents

    private func fetch(
        _ descriptor: Descriptor, parents: [String], matcher: PlatformMatcher, unpacks: [PlatformMatcher], isRoot: Bool, depth: Int
    ) async throws {
        guard depth <= 8 else { throw StorageError(.invalidArgument, "image indexes are nested too deeply") }
        if MediaType.isIndex(descriptor.mediaType) {
            let index = try await document(descriptor, parents: parents) { bytes in
                let index = try ImageDocuments.index(bytes, descriptor)
                return (index, ImageDocuments.referenceLabels(index))
            }
            let members = matcher.choose(index.manifests, limit: manifestLimit)
            guard !members.isEmpty || index.manifests.isEmpty else {
                throw StorageError(.notFound, "no matching manifest for \(Self.text(matcher)) in the manifest list entries: no match for platform in manifest: not found")
            }
            for member in members {
                guard MediaType.isIndex(member.mediaType) || MediaType.isManifest(member.mediaType) else { continue }
                // Platforms of a member are told by the index: whoever wants one of them unpacked says which.
                let wanted = unpacks.filter { unpack in unpack.choose(index.manifests).contains { $0.digest == member.digest } }
                try await fetch(
                    member, parents: [TransferProgress.name(of: descriptor)], matcher: matcher, unpacks: wanted, isRoot: false, depth: depth + 1)
            }
            guard allMetadata else { return }
            for member in index.manifests where MediaType.isManifest(member.mediaType) && !members.contains(where: { $0.digest == member.digest }) {
                try await fetchMetadata(member, parents: [TransferProgress.name(of: descriptor)])
            }
        } else if MediaType.isManifest(descriptor.mediaType) {
            try await fetchImage(descriptor, parents: parents, matcher: isRoot ? matcher : PlatformMatcher([Platform]()), unpacks: unpacks)
        } else {
            throw StorageError(.invalidArgument, "unsupported media type \(descriptor.mediaType) for an image: invalid argument")
        }
    }

    /// What describes an image of another platform.
    private func fetchMetadata(_ descriptor: Descriptor, parents: [String]) async throws {
        let manifest = try await document(descriptor, parents: parents) { bytes in
            let manifest = try ImageDocuments.manifest(bytes, descriptor)
            return (manifest, ImageDocuments.referenceLabels(manifest))
        }
        try await blob(manifest.config, progress.job(manifest.config, parents: [TransferProgress.name(of: descriptor)]))
    }

    private static func text(_ matcher: PlatformMatcher) -> String {
        matcher.wanted.map { [$0.os, $0.architecture, $0.variant].compactMap { $0 }.joined(separator: "/") }.joined(separator: ", ")
    }

    /// A manifest or index: from the store where it is there, otherwise from the registry, verified, into the store.
    private func document<T>(_ descriptor: Descriptor, parents: [String], _ parse: ([UInt8]) throws -> (T, [String: String])) async throws -> T {
        let job = progress.job(descriptor, parents: parents)
        if try await isHere(descriptor) {
            let (value, labels) = try parse(try await engine.read(descriptor, in: namespace))
            try await engine.label(descriptor.digest, labels, in: namespace)
            job.reached("already exists")
            return value
        }
        let bytes = try await client.manifest(descriptor)
        var (value, labels) = try parse(bytes)
        labels.merge(sourceLabels) { old, _ in old }
        _ = try await engine.store(bytes, labels: labels, in: namespace, lease: lease)
        job.reached("complete")
        return value
    }

    private var sourceLabels: [String: String] {
        [client.sourceLabel: client.reference.path]
    }

    // MARK: One image

    private func fetchImage(_ descriptor: Descriptor, parents: [String], matcher: PlatformMatcher, unpacks: [PlatformMatcher]) async throws {
        let manifest = try await document(descriptor, parents: parents) { bytes in
            let manifest = try ImageDocuments.manifest(bytes, descriptor)
            return (manifest, ImageDocuments.referenceLabels(manifest))
        }
        let name = TransferProgress.name(of: descriptor)
        let configJob = progress.job(manifest.config, parents: [name])
        var seen: Set<Digest> = []
        let layers = manifest.layers.filter { seen.insert($0.digest).inserted }
        let jobs = Dictionary(uniqueKeysWithValues: layers.map { ($0.digest, progress.job($0, parents: [name])) })
        try await blob(manifest.config, configJob)

        var diffIDs: [Digest]?
        if MediaType.isConfig(manifest.config.mediaType) || manifest.config.mediaType == "application/octet-stream" {
            let config = try ImageDocuments.config(try await engine.read(manifest.config, in: namespace), manifest.config)
            if !matcher.wanted.isEmpty, !config.os.isEmpty, matcher.rank(config.platform) == nil {
                // A single manifest of another platform: taken, as it was asked for by name, but of no use here unpacked.
                Log.info("image is for another platform", ["image": "\(client.reference)", "platform": "\(config.os)/\(config.architecture)"])
            }
            if !unpacks.isEmpty, manifest.layers.allSatisfy({ MediaType.isLayer($0.mediaType) }) {
                guard config.rootfs.diffIDs.count == manifest.layers.count else {
                    throw StorageError(
                        .invalidArgument, "mismatched image rootfs and manifest layers: \(config.rootfs.diffIDs.count) diff IDs for \(manifest.layers.count) layers")
                }
                diffIDs = config.rootfs.diffIDs
            }
        }
        try await fetchLayers(manifest, layers, jobs, diffIDs: diffIDs)
        if let diffIDs, let top = ImageDocuments.chainIDs(diffIDs).last {
            for (layer, diffID) in zip(manifest.layers, diffIDs) {
                try await engine.label(layer.digest, ["containerd.io/uncompressed": diffID.description], in: namespace)
            }
            try await engine.label(manifest.config.digest, ["containerd.io/gc.ref.snapshot.\(snapshotter.name)": top.description], in: namespace)
        }
    }

    /// A blob that is needed before anything else goes on.
    private func blob(_ descriptor: Descriptor, _ job: TransferProgress.Job) async throws {
        guard descriptor.size <= 8 << 20 else { throw StorageError(.invalidArgument, "image configuration of \(descriptor.size) bytes is too large") }
        if try await isHere(descriptor) { return job.reached("already exists") }
        try await bring(descriptor)
        job.reached("complete")
    }

    /// Whether the store has the blob; it is kept by the lease from then on.
    private func isHere(_ descriptor: Descriptor) async throws -> Bool {
        guard let info = try await engine.claim(descriptor.digest, for: lease, in: namespace) else { return false }
        guard info.size == descriptor.size else {
            throw StorageError(.failedPrecondition, "\(info.digest) has \(info.size) bytes, its descriptor says \(descriptor.size): failed size validation")
        }
        return true
    }

    /// Downloads a blob until it is here: whoever brought it for all of us may have ended, and the collector run, before this one's lease had it.
    private func bring(_ descriptor: Descriptor) async throws {
        repeat {
            try Task.checkCancellation()
            try await engine.downloads.bring(descriptor, from: client, labels: sourceLabels, in: namespace, lease: lease)
        } while try await !isHere(descriptor)
    }

    private func fetchLayers(
        _ manifest: ImageManifest, _ layers: [Descriptor], _ jobs: [Digest: TransferProgress.Job], diffIDs: [Digest]?
    ) async throws {
        var downloads: [Digest: Download] = [:]
        for layer in layers {
            guard let job = jobs[layer.digest] else { continue }
            if try await isHere(layer) {
                if diffIDs == nil { job.reached("already exists") }
                continue
            }
            let download = engine.downloads.join(layer, from: client, labels: sourceLabels, in: namespace, lease: lease)
            downloads[layer.digest] = download
            job.moving("downloading", download.counter)
        }
        if let diffIDs {
            // What is here and unpacked needs nothing; said before the others start to move.
            let chain = ImageDocuments.chainIDs(diffIDs)
            for (layer, chainID) in zip(manifest.layers, chain) where downloads[layer.digest] == nil {
                if try snapshotter.isCommitted(chainID.description, in: namespace) { jobs[layer.digest]?.reached("already exists") }
            }
        }
        let joined = downloads
        let end = FirstCall()
        // Whatever ends the work ends the downloads first: threads may be waiting for their bytes.
        let leave: @Sendable (Bool) -> Void = { [engine, namespace] isUseless in
            guard end.isFirst() else { return }
            for download in joined.values { engine.downloads.leave(download, isUseless: isUseless, in: namespace) }
        }
        defer { leave(false) }
        try await withTaskCancellationHandler {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (digest, download) in joined {
                    let job = jobs[digest]
                    group.addTask {
                        try await engine.downloads.wait(for: download)
                        if try await !isHere(download.descriptor) { try await bring(download.descriptor) }
                        job?.reached("complete")
                        if diffIDs != nil { job?.moving("extracting", download.counter) }
                    }
                }
                if let diffIDs {
                    let work = zip(manifest.layers, diffIDs).compactMap { layer, diffID in
                        jobs[layer.digest].map { job in
                            Unpacker.Layer(descriptor: layer, diffID: diffID, source: joined[layer.digest].map { .arriving($0) } ?? .stored, job: job)
                        }
                    }
                    group.addTask { try await engine.unpacker.unpack(work, with: snapshotter, in: namespace, lease: lease) }
                }
                do {
                    while try await group.next() != nil {}
                } catch {
                    let code = (error as? StorageError)?.code
                    // No download has failed: then it is the disk that has no room for the layers, and none for what has arrived of them. (A registry that answers too many requests is
                    // asked again later, and goes on.)
                    let isFull = code == .resourceExhausted && !joined.values.contains { $0.hasFailed }
                    leave(error is TarError || isFull || (code != nil && code != .unavailable && code != .cancelled && code != .resourceExhausted))
                    throw error
                }
            }
        } onCancel: {
            leave(false)
        }
    }
}

/// The names that a transfer gives to what it has brought, by containerd's rules.
enum ImageNames {
    /// - Parameter isImported: the descriptor is a member of an archive's index and carries its name as an annotation.
    static func names(
        for target: Descriptor, in store: TransferTypes_ImageStore, isImported: Bool
    ) throws(StorageError) -> [(name: String, labels: [String: String])] {
        var names: [String] = []
        if isImported {
            for reference in store.extraReferences where reference.isPrefix {
                let name = name(target.annotations, reference)
                if let name { names.append(name) }
                if reference.addDigest, name == nil || !reference.skipNamedDigest { names.append("\(reference.name)@\(target.digest)") }
            }
        } else {
            if !store.name.isEmpty { names.append(store.name) }
            for reference in store.extraReferences where !reference.isPrefix {
                names.append(reference.addDigest ? "\(reference.name)@\(target.digest)" : reference.name)
            }
            guard !names.isEmpty else { throw StorageError(.notFound, "no image name found: not found") }
        }
        var seen: Set<String> = []
        return names.filter { seen.insert($0).inserted }.map { ($0, store.labels) }
    }

    /// The full name of an archive's member: its own where it has one, else the prefix with its tag.
    private static func name(_ annotations: [String: String], _ reference: TransferTypes_ImageReference) -> String? {
        let full = annotations["io.containerd.image.name"] ?? ""
        let tag = annotations["org.opencontainers.image.ref.name"] ?? ""
        let text = full.isEmpty ? tag : full
        guard !text.isEmpty else { return nil }
        if reference.allowOverwrite {
            // Other programs put a name there as a user writes it: without one of these, it is Docker Hub's.
            if text.contains("/") || text.contains(":") { return full.isEmpty ? (try? ImageReference(parsing: text))?.description ?? text : text }
            return reference.name.isEmpty ? nil : "\(reference.name):\(text)"
        }
        if text.contains("/") || text.contains(":") {
            return text.hasPrefix(reference.name) && [":", "@"].contains(text.dropFirst(reference.name.count).first.map(String.init) ?? "") ? text : nil
        }
        return "\(reference.name):\(text)"
    }
}
