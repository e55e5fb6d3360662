import AsyncHTTPClient
import BerthDefaults
import ContainerdAPI
import NIOCore
import NIOPosix
import OCISpec
import Registry

/// Image store → registry: blobs first, then what refers to them, the name last.
struct PushTransfer {
    let engine: TransferEngine
    let client: RegistryClient
    let namespace: String
    let progress: TransferProgress

    init(engine: TransferEngine, client: RegistryClient, namespace: String, progress: TransferProgress) {
        self.engine = engine
        self.client = client
        self.namespace = namespace
        self.progress = progress
    }

    func run(_ name: String, _ image: Descriptor, matcher: PlatformMatcher) async throws {
        let text = "OCI Registry (\(client.reference))"
        progress.note("Pushing to \(text)")
        let target = try choose(image, matcher: matcher)
        progress.note("pushing content", name: name, descriptor: target)
        try await push(target, parents: [name], isRoot: true, matcher: matcher)
        progress.note("pushed content", name: name, descriptor: target)
        progress.note("Completed push to \(text)", descriptor: target)
    }

    /// An index of which only some members are here is pushed as the one that is meant: the registry would refuse an index without its members.
    private func choose(_ image: Descriptor, matcher: PlatformMatcher) throws -> Descriptor {
        guard MediaType.isIndex(image.mediaType) else { return image }
        let index = try ImageDocuments.index(try engine.content.read(image.digest, in: namespace), image)
        let complete = try index.manifests.filter(isComplete)
        if complete.count == index.manifests.count, matcher.wanted.isEmpty { return image }
        let chosen = (matcher.wanted.isEmpty ? PlatformMatcher.host : matcher).choose(complete)
        guard let one = chosen.first ?? (matcher.wanted.isEmpty ? complete.first : nil) else {
            throw StorageError(.notFound, "image \(image.digest) has no complete manifest for the platform: not found")
        }
        return one
    }

    private func isComplete(_ descriptor: Descriptor) throws -> Bool {
        guard try engine.has(descriptor.digest, in: namespace) else { return false }
        guard MediaType.isManifest(descriptor.mediaType) else { return true }
        let manifest = try ImageDocuments.manifest(try engine.content.read(descriptor.digest, in: namespace), descriptor)
        let needed = [manifest.config] + manifest.layers.filter { !MediaType.isNonDistributable($0.mediaType) }
        return try needed.allSatisfy { try engine.has($0.digest, in: namespace) }
    }

    private func push(_ descriptor: Descriptor, parents: [String], isRoot: Bool, matcher: PlatformMatcher) async throws {
        let job = progress.job(descriptor, parents: parents)
        let bytes = try await engine.read(descriptor, in: namespace)
        let name = TransferProgress.name(of: descriptor)
        if MediaType.isIndex(descriptor.mediaType) {
            for member in try ImageDocuments.index(bytes, descriptor).manifests {
                try await push(member, parents: [name], isRoot: false, matcher: matcher)
            }
        } else {
            let manifest = try ImageDocuments.manifest(bytes, descriptor)
            var seen: Set<Digest> = []
            let blobs = (manifest.layers + [manifest.config]).filter { seen.insert($0.digest).inserted }
            let jobs = blobs.map { ($0, progress.job($0, parents: [name])) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (blob, job) in jobs {
                    group.addTask { try await engine.uploads.run { try await upload(blob, job) } }
                }
                try await group.waitForAll()
            }
        }
        let reference = client.reference
        let target = isRoot ? reference.tag ?? descriptor.digest.description : descriptor.digest.description
        try await client.putManifest(bytes, mediaType: descriptor.mediaType, as: target)
        try await engine.label(descriptor.digest, sourceLabels, in: namespace)
        job.reached("complete")
    }

    private var sourceLabels: [String: String] {
        [client.sourceLabel: client.reference.path]
    }

    private func upload(_ blob: Descriptor, _ job: TransferProgress.Job) async throws {
        // Its licence keeps it out of registries: whoever pulls the image finds it at the addresses in its descriptor.
        if MediaType.isNonDistributable(blob.mediaType) { return job.reached("skipped") }
        if try await client.hasBlob(blob.digest) { return job.reached("already exists") }
        let (file, size) = try await engine.threads.runIfActive { [engine, namespace] in try engine.content.open(blob.digest, in: namespace) }
        let info = try engine.content.info(blob.digest, in: namespace)
        // Where the blob came from on the same registry: it can be taken over without sending it.
        let known = info.labels[client.sourceLabel]?.split(separator: ",").map(String.init) ?? []
        let other = known.contains(client.reference.path) ? nil : known.last
        let counter = ByteCounter()
        job.moving("uploading", counter)
        let threads = engine.threads
        let upload = BlobUpload(
            client: client, endpoint: try client.pushEndpoint(), descriptor: blob,
            body: { offset in
                .stream(BlobChunks(file: file, start: offset, size: size, threads: threads, counter: counter), length: .known(size - offset))
            }, mountFrom: other)
        try await upload.run()
        try await engine.label(blob.digest, sourceLabels, in: namespace)
        job.reached("complete")
    }
}

/// A blob in pieces, read on a thread as the network takes them.
struct BlobChunks: AsyncSequence, Sendable {
    typealias Element = ByteBuffer

    let file: OpenBlob
    /// Where the first piece begins.
    let start: Int64
    let size: Int64
    let threads: NIOThreadPool
    let counter: ByteCounter

    struct AsyncIterator: AsyncIteratorProtocol {
        let chunks: BlobChunks
        var offset: Int64

        mutating func next() async throws -> ByteBuffer? {
            guard offset < chunks.size else { return nil }
            let (file, position, count) = (chunks.file, offset, Int(Swift.min(256 << 10, chunks.size - offset)))
            let buffer = try await chunks.threads.runIfActive {
                var buffer = ByteBufferAllocator().buffer(capacity: count)
                try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) {
                    try file.readAll(into: UnsafeMutableRawBufferPointer(rebasing: $0[..<count]), at: position)
                }
                return buffer
            }
            guard buffer.readableBytes == count else { throw StorageError(.internalError, "content is shorter on disk than its \(chunks.size) bytes") }
            offset += Int64(count)
            chunks.counter.set(offset)
            return buffer
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(chunks: self, offset: start) }
}
