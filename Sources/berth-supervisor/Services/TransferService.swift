import BerthDefaults
import ContainerdAPI
import GRPCSocket
import OCISpec
import SwiftProtobuf

/// containerd.services.transfer.v1: one call that moves images between registries, archives and the image store.
struct TransferService: GRPCService {
    let engine: TransferEngine

    private enum Endpoint {
        case registry(TransferTypes_OCIRegistry)
        case store(TransferTypes_ImageStore)
        case importStream(TransferTypes_ImageImportStream)
        case exportStream(TransferTypes_ImageExportStream)

        init(_ any: Google_Protobuf_Any, _ side: String) throws(StorageError) {
            if let registry = AnyMessages.unpack(any, as: TransferTypes_OCIRegistry.self) {
                self = .registry(registry)
            } else if let store = AnyMessages.unpack(any, as: TransferTypes_ImageStore.self) {
                self = .store(store)
            } else if let stream = AnyMessages.unpack(any, as: TransferTypes_ImageImportStream.self) {
                self = .importStream(stream)
            } else if let stream = AnyMessages.unpack(any, as: TransferTypes_ImageExportStream.self) {
                self = .exportStream(stream)
            } else {
                throw StorageError(.unimplemented, "transfer \(side) \(any.typeURL): not implemented")
            }
        }

        var name: String {
            switch self {
            case .registry(let registry): "OCI Registry (\(registry.reference))"
            case .store(let store): "Local Image Store (\(store.name))"
            case .importStream: "Image Import Stream"
            case .exportStream: "Image Export Stream"
            }
        }
    }

    func register(in handlers: inout GRPCHandlers) {
        handlers.unary(TransferAPI.transfer) { request, context in
            let namespace = try context.requireNamespace()
            try Identifiers.validate(namespace, "namespace")
            let (source, destination) = (try Endpoint(request.source, "source"), try Endpoint(request.destination, "destination"))
            let stream = request.options.progressStream.isEmpty ? nil : try engine.streams.get(request.options.progressStream, in: namespace)
            let progress = TransferProgress(stream)
            let result: Result<Void, any Error>
            do {
                result = .success(try await transfer(source, destination, progress, in: namespace, lease: context.lease))
            } catch {
                result = .failure(error)
            }
            await progress.finish()
            try result.get()
            return Google_Protobuf_Empty()
        }
    }

    private func transfer(
        _ source: Endpoint, _ destination: Endpoint, _ progress: TransferProgress, in namespace: String, lease: String?
    ) async throws {
        switch (source, destination) {
        case (.registry(let registry), .store(let store)): try await pull(registry, store, progress, in: namespace, lease: lease)
        case (.store(let store), .registry(let registry)): try await push(store, registry, progress, in: namespace, lease: lease)
        case (.importStream(let stream), .store(let store)): try await load(stream, store, progress, in: namespace, lease: lease)
        case (.store(let store), .exportStream(let stream)): try await export(store, stream, progress, in: namespace, lease: lease)
        case (.importStream(let from), .exportStream(let to)): try await echo(from, to, in: namespace)
        case (.store(let from), .store(let to)): try await tag(from, to, progress, in: namespace)
        default: throw StorageError(.unimplemented, "unable to transfer from \(source.name) to \(destination.name): not implemented")
        }
    }

    // MARK: Each kind

    private func pull(
        _ registry: TransferTypes_OCIRegistry, _ store: TransferTypes_ImageStore, _ progress: TransferProgress, in namespace: String, lease: String?
    ) async throws {
        let client = try engine.registry(registry, in: namespace)
        let (unpacks, snapshotter) = try unpacks(store)
        try await engine.withLease(lease, in: namespace) { lease in
            let pull = PullTransfer(
                engine: engine, client: client, namespace: namespace, lease: lease, progress: progress, snapshotter: snapshotter, manifestLimit: Int(store.manifestLimit),
                allMetadata: store.allMetadata)
            _ = try await pull.run(to: store, matcher: PlatformMatcher(store.platforms), unpacks: unpacks)
        }
        // A name that moved leaves its old target behind.
        engine.collector.schedule()
    }

    private func push(
        _ store: TransferTypes_ImageStore, _ registry: TransferTypes_OCIRegistry, _ progress: TransferProgress, in namespace: String, lease: String?
    ) async throws {
        let client = try engine.registry(registry, in: namespace)
        try await engine.withImages([store.name], lease: lease, in: namespace) { images in
            try await PushTransfer(engine: engine, client: client, namespace: namespace, progress: progress)
                .run(store.name, images[0].target, matcher: PlatformMatcher(store.platforms))
        }
    }

    private func load(
        _ source: TransferTypes_ImageImportStream, _ store: TransferTypes_ImageStore, _ progress: TransferProgress, in namespace: String, lease: String?
    ) async throws {
        // An archive's members are all here already; what is chosen of them is a matter of platforms.
        guard store.manifestLimit == 0, !store.allMetadata else { throw StorageError(.unimplemented, "manifest limit or all metadata at import: not implemented") }
        guard !source.forceCompress else { throw StorageError(.unimplemented, "compressing layers at import: not implemented") }
        let stream = try engine.streams.get(source.stream, in: namespace)
        defer { stream.close() }
        let (unpacks, snapshotter) = try unpacks(store)
        let bytes = IncomingBytes(stream)
        defer { bytes.abort(CancellationError()) }
        try await engine.withLease(lease, in: namespace) { lease in
            try await ImportTransfer(engine: engine, namespace: namespace, lease: lease, progress: progress, snapshotter: snapshotter)
                .run(bytes, to: store, matcher: PlatformMatcher(store.platforms), unpacks: unpacks)
        }
        engine.collector.schedule()
    }

    private func export(
        _ store: TransferTypes_ImageStore, _ destination: TransferTypes_ImageExportStream, _ progress: TransferProgress, in namespace: String, lease: String?
    ) async throws {
        let stream = try engine.streams.get(destination.stream, in: namespace)
        defer { stream.close() }
        guard !store.extraReferences.contains(where: \.isPrefix) else { throw StorageError(.unimplemented, "prefix lookup on export: not implemented") }
        let names = (store.name.isEmpty ? [] : [store.name]) + store.extraReferences.map(\.name)
        guard !names.isEmpty else { throw StorageError(.invalidArgument, "export names no image: invalid argument") }
        progress.note("Exporting")
        let sink = OutgoingBytes(stream)
        let export = ExportTransfer(
            content: engine.content, namespace: namespace,
            matcher: PlatformMatcher(destination.allPlatforms ? [] : destination.platforms.isEmpty ? store.platforms : destination.platforms),
            withDockerManifest: !destination.skipCompatibilityManifest, skipNonDistributable: destination.skipNonDistributable)
        do {
            try await engine.withImages(names, lease: lease, in: namespace) { images in
                try await withTaskCancellationHandler {
                    try await BlockingThread.run { try export.run(images, to: sink) }
                    try await sink.finish()
                } onCancel: {
                    sink.abort(CancellationError())
                }
            }
        } catch {
            sink.abort(error)
            throw error
        }
        progress.note("Completed export")
    }

    /// The bytes of one stream to another, whatever they are: how clients try their streams out.
    private func echo(_ from: TransferTypes_ImageImportStream, _ to: TransferTypes_ImageExportStream, in namespace: String) async throws {
        guard from.mediaType == to.mediaType else {
            throw StorageError(.unimplemented, "unable to transfer from media type \"\(from.mediaType)\" to \"\(to.mediaType)\": not implemented")
        }
        let (source, destination) = (try engine.streams.get(from.stream, in: namespace), try engine.streams.get(to.stream, in: namespace))
        defer {
            source.close()
            destination.close()
        }
        let (bytes, sink) = (IncomingBytes(source), OutgoingBytes(destination))
        defer { bytes.abort(CancellationError()) }
        do {
            try await withTaskCancellationHandler {
                try await BlockingThread.run {
                    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 64)
                    defer { buffer.deallocate() }
                    while case let count = try bytes.read(into: buffer), count > 0 { try sink.write(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
                }
                try await sink.finish()
            } onCancel: {
                bytes.abort(CancellationError())
                sink.abort(CancellationError())
            }
        } catch {
            sink.abort(error)
            throw error
        }
    }

    private func tag(_ from: TransferTypes_ImageStore, _ to: TransferTypes_ImageStore, _ progress: TransferProgress, in namespace: String) async throws {
        let target = try engine.image(from.name, in: namespace)
        for image in try await engine.storeImages(target, names: try ImageNames.names(for: target, in: to, isImported: false), in: namespace) {
            ImageEvents.created(image, in: namespace, engine.events)
            progress.note("saved", name: image.name, descriptor: target)
        }
    }

    /// The platforms to unpack, and where. A snapshotter that is not here is refused rather than passed over: the client would find its image not unpacked.
    private func unpacks(_ store: TransferTypes_ImageStore) throws -> ([PlatformMatcher], Snapshotter) {
        let snapshotters = try store.unpacks.map { try engine.snapshotters.get($0.snapshotter) }
        guard Set(snapshotters.map(\.name)).count < 2 else {
            throw StorageError(.unimplemented, "unpacking with several snapshotters in one transfer: not implemented")
        }
        let platforms = store.unpacks.map { $0.hasPlatform && !$0.platform.os.isEmpty ? PlatformMatcher([$0.platform]) : .host }
        return (platforms, snapshotters.first ?? engine.snapshotters.standard)
    }
}
