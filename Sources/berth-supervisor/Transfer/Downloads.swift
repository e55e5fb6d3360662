import AsyncHTTPClient
import BerthDefaults
import LinuxSystem
import NIOCore
import NIOPosix
import OCILayer
import OCISpec
import Registry
import Synchronization

/// One blob on its way here, shared by everybody who needs it.
final class Download: Sendable {
    let descriptor: Descriptor
    /// Bytes that have arrived.
    let counter = ByteCounter()

    struct Arrival {
        /// Of the ingest's file, once it is open.
        var file: SharedFile?
        var available: Int64 = 0
        var result: Result<Void, any Error>?
    }

    /// For threads that read while it arrives.
    let arrival = Monitor(Arrival())
    fileprivate let task = Mutex<Task<Void, any Error>?>(nil)
    fileprivate let users = Mutex(0)
    /// What has arrived is of no use to anybody: the layer does not unpack.
    fileprivate let isUseless = Mutex(false)

    init(_ descriptor: Descriptor) { self.descriptor = descriptor }

    /// It has ended, and not with the blob.
    var hasFailed: Bool {
        arrival.wait { arrival -> Bool? in if case .failure? = arrival.result { true } else { false } }
    }

    fileprivate func advance(to offset: Int64) {
        counter.set(offset)
        arrival.update { $0.available = offset }
    }
}

/// A descriptor that several may read from.
final class SharedFile: Sendable {
    let file: OwnedFD
    init(_ file: consuming OwnedFD) { self.file = file }
}

/// Reads a blob while it is being downloaded. The end of the stream comes only after the blob was verified and committed; if that fails, so does the read.
final class ArrivingSource: ByteSource {
    private let download: Download
    private var offset: Int64 = 0
    private let counter: ByteCounter

    /// - Parameter counter: told how far the reader is.
    init(_ download: Download, counter: ByteCounter) {
        self.download = download
        self.counter = counter
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let file = try download.arrival.wait { arrival -> SharedFile?? in
                if case .failure(let error)? = arrival.result { throw error }
                if arrival.available > offset, let file = arrival.file { return .some(file) }
                return arrival.result == nil ? nil : .some(nil)
            }
            guard let file else { return 0 }
            let count = try file.file.readSome(into: buffer, at: offset, on: "\(download.descriptor.digest)")
            // The ingest was begun anew and is shorter for a moment.
            if count == 0 { continue }
            offset += Int64(count)
            counter.set(offset)
            return count
        }
    }
}

/// The downloads that run now, by namespace and digest.
final class Downloads: Sendable {
    private struct Key: Hashable {
        let namespace: String
        let digest: Digest
    }

    private let content: ContentStore
    private let threads: NIOThreadPool
    private let running = Mutex<[Key: Download]>([:])
    /// Blobs that arrive at a time, of all transfers together.
    private let limiter: AsyncLimiter
    /// How long a registry may be slow.
    private let window: Duration
    /// Bytes gathered before they are hashed and written on a thread.
    private static let batch = 1 << 20

    init(content: ContentStore, threads: NIOThreadPool, concurrent: Int, window: Duration) {
        limiter = AsyncLimiter(concurrent)
        self.window = window
        self.content = content
        self.threads = threads
    }

    /// Starts a download or joins the one that runs. `leave` must follow.
    func join(_ descriptor: Descriptor, from client: RegistryClient, labels: [String: String], in namespace: String, lease: String?) -> Download {
        running.withLock { running in
            let key = Key(namespace: namespace, digest: descriptor.digest)
            if let download = running[key] {
                download.users.withLock { $0 += 1 }
                return download
            }
            let download = Download(descriptor)
            download.users.withLock { $0 = 1 }
            running[key] = download
            let task = Task {
                do {
                    try await fetch(download, from: client, labels: labels, in: namespace, lease: lease)
                    download.arrival.update { $0.result = .success(()) }
                } catch {
                    download.arrival.update { $0.result = .failure(error) }
                    forget(download, key)
                    throw error
                }
                forget(download, key)
            }
            download.task.withLock { $0 = task }
            return download
        }
    }

    private func forget(_ download: Download, _ key: Key) {
        running.withLock { if $0[key] === download { $0[key] = nil } }
    }

    /// The last one to leave a download that still runs ends it; what has arrived stays as an ingest.
    /// - Parameter isUseless: it is not kept: the next pull would fail in the same way.
    func leave(_ download: Download, isUseless: Bool = false, in namespace: String) {
        if isUseless { download.isUseless.withLock { $0 = true } }
        let isLast = download.users.withLock { users in
            users -= 1
            return users == 0
        }
        guard isLast else { return }
        forget(download, Key(namespace: namespace, digest: download.descriptor.digest))
        download.task.withLock { $0 }?.cancel()
    }

    /// Returns when the blob is content.
    func wait(for download: Download) async throws {
        guard let task = download.task.withLock({ $0 }) else { return }
        try await task.value
    }

    /// Downloads a blob, or waits for the download that runs.
    func bring(_ descriptor: Descriptor, from client: RegistryClient, labels: [String: String], in namespace: String, lease: String) async throws {
        let download = join(descriptor, from: client, labels: labels, in: namespace, lease: lease)
        try await leavingOnce { [self] in leave(download, in: namespace) } _: { try await wait(for: download) }
    }

    // MARK: Fetching

    private func fetch(_ download: Download, from client: RegistryClient, labels: [String: String], in namespace: String, lease: String?) async throws {
        let descriptor = download.descriptor
        let writer: IngestWriter
        do { writer = try await open(descriptor, in: namespace, lease: lease) } catch let error as StorageError where error.code == .alreadyExists {
            let (path, size) = (content.blobPath(descriptor.digest), descriptor.size)
            let file = SharedFile(try Files.open(path))
            download.arrival.update { $0.file = file }
            download.advance(to: size)
            return
        }
        let file = SharedFile(try writer.follow())
        download.arrival.update { $0.file = file }
        do { try await limiter.run { try await receive(download, into: writer, from: client) } } catch {
            // A download that was interrupted goes on from here another time. One that was refused, or of which nothing came, leaves nothing.
            let code = (error as? StorageError)?.code
            let isRefused = code != nil && code != .unavailable && code != .cancelled
            if isRefused || writer.offset == 0 || download.isUseless.withLock({ $0 }) { writer.discard() }
            throw error
        }
        do {
            _ = try await threads.runIfActive { try writer.commit(size: descriptor.size, expected: descriptor.digest, labels: labels) }
        } catch let error as StorageError where error.code == .alreadyExists {
            return
        } catch let error as StorageError where error.code == .failedPrecondition {
            // Going on from wrong bytes would fail for ever.
            writer.discard()
            throw StorageError(.failedPrecondition, "filesystem layer verification failed for digest \(descriptor.digest)")
        }
    }

    private func open(_ descriptor: Descriptor, in namespace: String, lease: String?) async throws -> IngestWriter {
        let ref = TransferProgress.name(of: descriptor)
        var attempts = 0
        while true {
            do {
                return try await threads.runIfActive { [content] in
                    try content.writer(ref, expected: descriptor.digest, total: descriptor.size, in: namespace, lease: lease)
                }
            } catch let error as StorageError where error.code == .unavailable && attempts < 200 {
                // A download that was given up is about to let the ref go, or a client writes it itself.
                attempts += 1
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }

    private func receive(_ download: Download, into writer: IngestWriter, from client: RegistryClient) async throws {
        let size = download.descriptor.size
        if writer.offset > size { try await threads.runIfActive { try writer.truncate() } }
        download.advance(to: writer.offset)
        var failures = 0
        while writer.offset < size {
            let before = writer.offset
            do {
                let (body, start) = try await client.blob(download.descriptor, from: writer.offset)
                if start != writer.offset {
                    try await threads.runIfActive { try writer.truncate() }
                    download.advance(to: 0)
                }
                try await copy(body, into: writer, download)
                if writer.offset < size { throw StorageError(.unavailable, "unexpected EOF: registry sent \(writer.offset) of \(size) bytes of \(download.descriptor.digest)") }
            } catch {
                try Task.checkCancellation()
                if let error = error as? StorageError, error.code != .unavailable { throw error }
                failures = writer.offset > before ? 1 : failures + 1
                guard failures < 5 else {
                    throw RegistryErrors.failure(error, method: "Get", url: "\(client.reference.name)/blobs/\(download.descriptor.digest)")
                }
                Log.debug("download interrupted", ["digest": "\(download.descriptor.digest)", "at": "\(writer.offset)", "error": "\(error)"])
                try await Task.sleep(for: .milliseconds(200 << failures))
            }
        }
    }

    /// Hashes and writes one part on a thread while the next one arrives.
    private func copy(_ body: HTTPClientResponse.Body, into writer: IngestWriter, _ download: Download) async throws {
        let size = download.descriptor.size
        var gathered: [ByteBuffer] = []
        var gatheredBytes = 0
        var total = writer.offset
        var writing: Task<Void, any Error>?
        var pace = DownloadPace(window: window)
        func write() async throws {
            try await writing?.value
            let part = gathered
            gathered = []
            gatheredBytes = 0
            guard !part.isEmpty else { return }
            let threads = threads
            writing = Task {
                try await threads.runIfActive {
                    for buffer in part { try buffer.withUnsafeReadableBytes { try writer.write($0) } }
                    download.advance(to: writer.offset)
                }
            }
        }
        do {
            for try await chunk in body {
                total += Int64(chunk.readableBytes)
                guard total <= size else {
                    throw StorageError(.failedPrecondition, "registry sent more than the \(size) bytes of \(download.descriptor.digest): failed size validation")
                }
                try pace.received(chunk.readableBytes)
                gathered.append(chunk)
                gatheredBytes += chunk.readableBytes
                if gatheredBytes >= Self.batch { try await write() }
            }
            try await write()
            try await writing?.value
        } catch {
            // Nobody else may touch the writer while a part is being written.
            try? await write()
            try? await writing?.value
            throw error
        }
    }
}

/// Holds a registry to some speed: one that sends a byte now and then would hold a pull for ever.
struct DownloadPace {
    private static let minimum = 4096
    private let window: Duration
    private var start = ContinuousClock.now
    private var bytes = 0

    init(window: Duration) { self.window = window }

    mutating func received(_ count: Int) throws(StorageError) {
        bytes += count
        let now = ContinuousClock.now
        guard now - start > window else { return }
        guard bytes >= Self.minimum else { throw StorageError(.unavailable, "registry sent only \(bytes) bytes in \((now - start).components.seconds) s") }
        start = now
        bytes = 0
    }
}
