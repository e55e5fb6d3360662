import BerthDefaults
import LinuxSystem
import OCILayer
import OCISpec
import Synchronization

/// Turns the layers of an image into a chain of committed snapshots, several at a time and while their blobs still arrive.
///
/// Where layers are kept apart, a layer is unpacked by itself into a directory of its own and gets its parent when it is committed, lowest first. Elsewhere
/// it waits for its parent, and goes onto a copy of the parent's files. A layer that two images share is unpacked once, whoever came first.
final class Unpacker: Sendable {
    /// Where a layer's bytes come from.
    enum Source: Sendable {
        case stored
        case arriving(Download)
    }

    struct Layer: Sendable {
        let descriptor: Descriptor
        let diffID: Digest
        let source: Source
        let job: TransferProgress.Job
    }

    private struct Key: Hashable {
        let snapshotter: String
        let namespace: String
        let chainID: Digest
    }

    private let content: ContentStore
    /// Gives the lease under which the layer was unpacked; nil where it was there.
    private let work = SharedWork<Key, String?>()
    /// Layers that are inflated and written at a time, of all images together.
    private let limiter = AsyncLimiter(4)
    private let limits: TarLimits

    init(content: ContentStore, limits: TarLimits = TarLimits()) {
        self.content = content
        self.limits = limits
    }

    /// One image's layers on their way into one snapshotter.
    private struct Destination {
        let snapshotter: Snapshotter
        let namespace: String
        let lease: String?

        func has(_ chainID: Digest) throws -> Bool { try snapshotter.isCommitted(chainID.description, in: namespace) }
    }

    /// Unpacks what is missing of the chain. Returns when the last layer is committed.
    func unpack(_ layers: [Layer], with snapshotter: Snapshotter, in namespace: String, lease: String?) async throws {
        let destination = Destination(snapshotter: snapshotter, namespace: namespace, lease: lease)
        let chain = ImageDocuments.chainIDs(layers.map(\.diffID))
        var first = layers.count
        while first > 0, try await !claim(chain[first - 1], destination) { first -= 1 }
        for layer in layers[..<first] { layer.job.foundUnpacked() }
        guard first < layers.count else { return }
        try await withThrowingTaskGroup(of: Void.self) { group in
            var parent: LayerTurn?
            for index in first..<layers.count {
                let below = parent
                let turn = LayerTurn()
                parent = turn
                let (layer, chainID) = (layers[index], chain[index])
                let parentID = index > 0 ? chain[index - 1] : nil
                group.addTask { [self] in
                    do {
                        // Whoever unpacked it for all of us may have ended, and the collector run, before this one's lease had it.
                        while true {
                            let maker = try await work.run(Key(snapshotter: snapshotter.name, namespace: namespace, chainID: chainID)) { [self] in
                                try await unpack(layer, as: chainID, on: parentID, after: below, destination)
                            }
                            if maker == lease { break }
                            if try await claim(chainID, destination) { break }
                        }
                        layer.job.reached("extracted")
                        turn.finish(.success(()))
                    } catch {
                        turn.finish(.failure(error))
                        throw error
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// Whether the layer is unpacked; the lease keeps it from then on, with those below it.
    private func claim(_ chainID: Digest, _ destination: Destination) async throws -> Bool {
        // What is not here costs no write.
        guard try destination.has(chainID) else { return false }
        let (snapshotter, namespace) = (destination.snapshotter, destination.namespace)
        guard let lease = destination.lease else { return true }
        return try await snapshotter.database.write { db in try snapshotter.claim(chainID.description, for: lease, in: namespace, db) }
    }

    private func unpack(_ layer: Layer, as chainID: Digest, on parentID: Digest?, after below: LayerTurn?, _ destination: Destination) async throws -> String? {
        if try destination.has(chainID) { return nil }
        let (snapshotter, namespace, lease) = (destination.snapshotter, destination.namespace, destination.lease)
        let parent = parentID?.description ?? ""
        if !snapshotter.driver.keepsLayersApart { try await below?.wait() }
        let unfinished = try await snapshotter.beginLayer(chainID.description, on: parent, in: namespace, lease: lease)
        do {
            let applied: AppliedLayer
            do {
                applied = try await limiter.run { try await apply(layer, into: unfinished, on: parentID, after: below, destination) }
            } catch is NeedsParent {
                // Waited for without holding a place, which a layer below may need.
                try await below?.wait()
                try snapshotter.emptyLayer(unfinished)
                applied = try await limiter.run { try await apply(layer, into: unfinished, on: parentID, after: nil, destination) }
            }
            try await snapshotter.writeOut(unfinished)
            try await below?.wait()
            let isOurs = try await snapshotter.finishLayer(
                unfinished, as: chainID.description, parent: parent, hasRoot: applied.hasRoot,
                labels: ["containerd.io/snapshot.ref": chainID.description], in: namespace, lease: lease)
            return isOurs ? lease : nil
        } catch {
            try? await snapshotter.abandonLayer(unfinished, in: namespace)
            throw error
        }
    }

    /// The layer refers to something of the layers below, which are not there yet.
    private struct NeedsParent: Error {}

    private func apply(
        _ layer: Layer, into unfinished: UnfinishedLayer, on parentID: Digest?, after below: LayerTurn?, _ destination: Destination
    ) async throws -> AppliedLayer {
        let (snapshotter, namespace) = (destination.snapshotter, destination.namespace)
        let counter = ByteCounter()
        let stop = CancellationFlag()
        return try await withTaskCancellationHandler {
            try await BlockingThread.run { [content, limits] in
                let packed: any ByteSource
                switch layer.source {
                case .stored:
                    let (blob, _) = try content.open(layer.descriptor.digest, in: namespace)
                    packed = CountingSource(BlobSource(blob), counter)
                    layer.job.moving("extracting", counter)
                case .arriving(let download): packed = ArrivingSource(download, counter: counter)
                }
                let plain = HashingSource(try decompressed(packed))
                let base: LayerApplier.Base
                if let parent = parentID, snapshotter.driver.keepsLayersApart {
                    base = .apart {
                        if let below, !below.isFinished { throw NeedsParent() }
                        return try snapshotter.layerDirectories(parent.description, in: namespace)
                    }
                } else {
                    base = parentID == nil ? .nothing : .sameTree
                }
                let applier = LayerApplier(plain, into: unfinished.files, on: base, limits: limits, isCancelled: { stop.isSet })
                let applied = try applier.apply()
                // The rest of the packed stream: only its end says that the blob was verified.
                try packed.drain()
                guard plain.digest == layer.diffID else {
                    throw StorageError(.failedPrecondition, "wrong diff id calculated on extraction \"\(plain.digest)\", expected \"\(layer.diffID)\": failed precondition")
                }
                return applied
            }
        } onCancel: {
            stop.set()
        }
    }
}

/// Counts what passes.
final class CountingSource: ByteSource {
    private let source: any ByteSource
    private let counter: ByteCounter

    init(_ source: any ByteSource, _ counter: ByteCounter) {
        self.source = source
        self.counter = counter
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = try source.read(into: buffer)
        counter.add(Int64(count))
        return count
    }
}

/// Set once, looked at often.
final class CancellationFlag: Sendable {
    private let counter = ByteCounter()
    var isSet: Bool { counter.current != 0 }
    func set() { counter.set(1) }
}

/// A layer's turn to be a parent: the one above waits for its commit.
final class LayerTurn: Sendable {
    private let result = Mutex<Result<Void, any Error>?>(nil)
    private let signal = OneTimeSignal()

    var isFinished: Bool {
        if case .success? = result.withLock({ $0 }) { return true }
        return false
    }

    func finish(_ outcome: Result<Void, any Error>) {
        result.withLock { $0 = outcome }
        signal.set()
    }

    /// Returns after the commit, throws what the layer failed with. One waiter, twice at most: a chain has one child per pull.
    func wait() async throws {
        if result.withLock({ $0 == nil }) { await signal.wait() }
        guard let outcome = result.withLock({ $0 }) else { throw CancellationError() }
        try outcome.get()
    }
}
