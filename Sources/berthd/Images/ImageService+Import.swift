import ContainerdAPI
import Crypto
import DockerAPI
import FoundationEssentials
import NIOCore
import OCISpec

/// `docker import` and `docker commit`.
extension ImageService {
    // MARK: - Import

    struct ImportRequest: Sendable {
        var repository: String
        var tag: String
        var message: String
        var changes: [String]
        var platform: String?
        /// "-" or an address: the history says where it came from.
        var source = "-"
    }

    /// Makes an image of one layer from a root filesystem's archive.
    ///
    /// - Returns: the image's ID.
    func importArchive(_ request: ImportRequest, next: @escaping @Sendable () async throws -> Data?) async throws -> String {
        let reference = request.repository.isEmpty ? nil : try Self.tagged(request.repository, tag: request.tag)
        var execution = ImageConfig.Execution()
        try ConfigChange.apply(request.changes, to: &execution)
        let platform = try request.platform.flatMap { $0.isEmpty ? nil : $0 }.map { try ImagePlatform.parse($0) } ?? ImagePlatform.host
        guard platform.os == ImagePlatform.host.os else { throw DaemonError.invalid("operating system is not supported") }
        let target = try await client.withLease { lease in
            let layer = try await storeLayer(next, lease: lease)
            let key = ImageStoreClient.temporaryKey("\(Identifier.random(digits: 16)) \(layer.digest)")
            let mounts = try await client.prepare(key: key, parent: "", lease: lease)
            let diffID: OCISpec.Digest
            do {
                diffID = try await client.apply(layer, onto: mounts, lease: lease).digest
                try await client.commitSnapshot(key: key, name: diffID.description, lease: lease)
            } catch {
                try? await client.removeSnapshot(key)
                throw error
            }
            let assembler = ImageAssembler(client: client)
            try await assembler.note(diffID, of: layer.digest, lease: lease)
            let now = WallClock.now().rfc3339
            let config = ImageConfig(
                created: now, architecture: platform.architecture, os: platform.os, variant: platform.variant, config: execution,
                history: [.init(created: now, comment: request.message.isEmpty ? "Imported from \(request.source)" : request.message)])
            let target = try await assembler.assemble(base: nil, config: config, added: [.init(descriptor: layer, diffID: diffID)], lease: lease)
            try await nameNew(target, reference, lease: lease)
            return target
        }
        publish("import", id: target.digest.description, name: reference?.familiar ?? target.digest.description)
        return target.digest.description
    }

    /// Writes the archive into the content store as it comes, or without its packing where layers are not packed so. Nothing of it stays when that fails.
    ///
    /// - Throws: `UnpackedSource.Failure` for what cannot be unpacked.
    func storeLayer(_ next: @escaping @Sendable () async throws -> Data?, lease: String) async throws -> OCISpec.Descriptor {
        let start = try await StreamStart.read(next) { $0 }
        guard let packing = start.packing, !packing.isOfLayers else { return try await storeAsItIs(start.next, lease: lease) }
        let source = BodySource()
        async let _ = source.pump { try await start.next().map { ByteBuffer(bytes: $0) } }
        defer { source.finish() }
        let plain = PlainStream(source, packing)
        return try await storeAsItIs({ try await BlockingThread.run { try plain.next() } }, lease: lease)
    }

    private func storeAsItIs(_ next: @Sendable () async throws -> Data?, lease: String) async throws -> OCISpec.Descriptor {
        let writer = try await ContentWriter.open(client, ref: "berth-import-\(Identifier.random(digits: 16))", lease: lease)
        do { return try await writeLayer(next, to: writer) } catch {
            await writer.abandon(client)
            throw error
        }
    }

    private func writeLayer(_ next: @Sendable () async throws -> Data?, to writer: ContentWriter) async throws -> OCISpec.Descriptor {
        var hash = SHA256()
        var size: Int64 = 0
        var head = Data()
        while let piece = try await next() {
            if head.count < ArchivePacking.headLength { head.append(piece.prefix(ArchivePacking.headLength - head.count)) }
            hash.update(data: piece)
            size += Int64(piece.count)
            var rest = piece[...]
            while !rest.isEmpty {
                let part = rest.prefix(1 << 20)
                try await writer.write(Data(part))
                rest = rest.dropFirst(part.count)
            }
        }
        if size == 0 {
            // As in dockerd nothing is an archive too: one without members, whose end is two empty blocks.
            head = Data(count: 1024)
            hash.update(data: head)
            size = 1024
            try await writer.write(head)
        }
        let mediaType = Self.layerMediaType(Array(head))
        let digest = OCISpec.Digest(bytes: hash.finalize())
        try await writer.commit(digest: digest, labels: [:])
        return OCISpec.Descriptor(mediaType: mediaType, digest: digest, size: size)
    }

    private static func layerMediaType(_ head: [UInt8]) -> String {
        switch ArchivePacking(head) {
        case .gzip: OCISpec.MediaType.ociLayerGzip
        case .zstd: OCISpec.MediaType.ociLayerZstd
        case .bzip2, .xz, nil: OCISpec.MediaType.ociLayer
        }
    }

    /// Gives a new image its name, or keeps it without one.
    private func nameNew(_ target: OCISpec.Descriptor, _ reference: ImageReference?, lease: String) async throws {
        guard let reference else { return try await client.put(Self.danglingName(target.digest), target: target, lease: lease) }
        try await name(target, reference, labels: [:], lease: lease)
    }

    // MARK: - Commit

    struct CommitRequest: Sendable {
        var repository: String
        var tag: String
        var comment: String
        var author: String
        var changes: [String]
        /// Fields that are set replace the container's.
        var config: ContainerConfig?
    }

    /// Makes an image of a container's changes on top of its image. The caller has paused the container if that was wanted.
    ///
    /// - Returns: the image's ID.
    func commit(_ record: ContainerRecord, _ request: CommitRequest) async throws -> String {
        let reference = request.repository.isEmpty ? nil : try Self.tagged(request.repository, tag: request.tag)
        guard let manifestDigest = record.image.manifest.digest.flatMap({ try? OCISpec.Digest(parsing: $0) }),
            let manifest = try await client.document(ImageManifest.self, manifestDigest), var config = try await client.document(ImageConfig.self, manifest.config.digest)
        else { throw DaemonError.notFound("the image of container \(record.id) is not here any more") }
        var execution = ImageConfig.Execution(record.config.merged(with: request.config))
        try ConfigChange.apply(request.changes, to: &execution)
        config.config = execution
        let now = WallClock.now().rfc3339
        config.created = now
        config.author = request.author
        config.history.append(
            .init(created: now, createdBy: record.command.joined(separator: " "), author: request.author.isEmpty ? nil : request.author, comment: request.comment.isEmpty ? nil : request.comment))
        let base = config
        // The layers below are unpacked where the container's files are.
        let store = client.using(record.snapshotter)
        let target = try await client.withLease { lease in
            let layer = try await changes(of: record, store, lease: lease)
            let target = try await ImageAssembler(client: store).assemble(base: manifest, config: base, added: [layer], lease: lease)
            try await unpackCommitted(base: record.image.chainID, layer, base.rootfs.diffIDs, store, lease: lease)
            try await nameNew(target, reference, lease: lease)
            return target
        }
        if let reference { publish("tag", id: target.digest.description, name: reference.familiar) }
        return target.digest.description
    }

    func changes(of record: ContainerRecord, _ client: ImageStoreClient, lease: String) async throws -> ImageAssembler.Layer {
        try await layer(of: try await client.snapshotMounts(record.id), above: record.image.chainID, client, lease: lease)
    }

    /// What lies in these mounts above a committed snapshot, as a layer; "" is nothing.
    func layer(of mounts: [Types_Mount], above chainID: String, _ client: ImageStoreClient, lease: String) async throws -> ImageAssembler.Layer {
        guard !chainID.isEmpty else { return try await layer(of: mounts, above: [], client, lease: lease) }
        return try await client.viewing(chainID, lease: lease) { try await layer(of: mounts, above: $0, client, lease: lease) }
    }

    private func layer(of mounts: [Types_Mount], above parent: [Types_Mount], _ client: ImageStoreClient, lease: String) async throws -> ImageAssembler.Layer {
        let layer = try await client.diff(left: parent, right: mounts, ref: "berth-commit-\(Identifier.random(digits: 16))", lease: lease)
        guard let diffID = try await client.info(layer.digest)?.labels["containerd.io/uncompressed"].flatMap({ try? OCISpec.Digest(parsing: $0) }) else {
            throw DaemonError.internalError("layer \(layer.digest) has no label containerd.io/uncompressed")
        }
        return .init(descriptor: layer, diffID: diffID)
    }

    func unpackCommitted(base: String, _ layer: ImageAssembler.Layer, _ below: [OCISpec.Digest], _ client: ImageStoreClient, lease: String) async throws {
        guard let chainID = ChainID.all(below + [layer.diffID]).last, try await !client.isUnpacked(chainID) else { return }
        let key = ImageStoreClient.temporaryKey("\(Identifier.random(digits: 16)) \(chainID)")
        let mounts = try await client.prepare(key: key, parent: base, lease: lease)
        do {
            _ = try await client.apply(layer.descriptor, onto: mounts, lease: lease)
            try await client.commitSnapshot(key: key, name: chainID.description, lease: lease)
        } catch {
            try? await client.removeSnapshot(key)
            throw error
        }
    }
}

extension ContainerConfig {
    /// This configuration with what `other` sets in its place; variables, labels, ports and volumes are joined.
    func merged(with other: ContainerConfig?) -> ContainerConfig {
        guard let other else { return self }
        var copy = self
        if let user = other.User, !user.isEmpty { copy.User = user }
        if let directory = other.WorkingDir, !directory.isEmpty { copy.WorkingDir = directory }
        if let command = other.Cmd, !command.isEmpty { copy.Cmd = command }
        if let entrypoint = other.Entrypoint, !entrypoint.isEmpty { copy.Entrypoint = entrypoint }
        if let health = other.Healthcheck { copy.Healthcheck = health }
        if let signal = other.StopSignal, !signal.isEmpty { copy.StopSignal = signal }
        if let ports = other.ExposedPorts { copy.ExposedPorts = (ExposedPorts ?? [:]).merging(ports) { $1 } }
        if let volumes = other.Volumes { copy.Volumes = (Volumes ?? [:]).merging(volumes) { $1 } }
        if let labels = other.Labels { copy.Labels = (Labels ?? [:]).merging(labels) { $1 } }
        if let variables = other.Env, !variables.isEmpty {
            let names = Set(variables.map { String($0.prefix { $0 != "=" }) })
            copy.Env = (Env ?? []).filter { !names.contains(String($0.prefix { $0 != "=" })) } + variables
        }
        return copy
    }
}
