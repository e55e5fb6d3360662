import BerthDefaults
import ContainerdAPI
import GRDB
import NIOPosix
import OCISpec
import Registry
import SwiftProtobuf

/// What every transfer works with, and the small steps that they share.
final class TransferEngine: Sendable {
    let content: ContentStore
    let snapshotters: SnapshotterRegistry
    let database: MetadataDatabase
    let events: EventExchange
    let collector: GarbageCollector
    let streams: StreamRegistry
    let threads: NIOThreadPool
    let downloads: Downloads
    let unpacker: Unpacker
    /// Blobs that are uploaded at a time, of all transfers together.
    let uploads: AsyncLimiter
    private let http: RegistryHTTP
    /// Where registries' folders are looked for when the client names no directory.
    private let registryDirectories: [String]

    init(
        content: ContentStore, snapshotters: SnapshotterRegistry, database: MetadataDatabase, events: EventExchange, collector: GarbageCollector,
        streams: StreamRegistry, threads: NIOThreadPool, registryDirectories: [String], limits: TransferLimits
    ) {
        self.registryDirectories = registryDirectories
        self.content = content
        self.snapshotters = snapshotters
        self.database = database
        self.events = events
        self.collector = collector
        self.streams = streams
        self.threads = threads
        http = RegistryHTTP(idle: .seconds(limits.idleSeconds))
        downloads = Downloads(content: content, threads: threads, concurrent: limits.concurrentDownloads, window: .seconds(limits.idleSeconds))
        uploads = AsyncLimiter(limits.concurrentUploads)
        unpacker = Unpacker(content: content, limits: limits.archive)
    }

    // MARK: Leases

    /// Runs `body` under the client's lease, or under one of its own that keeps what the transfer makes until its images are written.
    func withLease<Value: Sendable>(_ lease: String?, in namespace: String, _ body: (String) async throws -> Value) async throws -> Value {
        if let lease { return try await body(lease) }
        let id = "berth-transfer-\(UInt64.random(in: 0 ... .max))"
        // If nobody is left to end it.
        let labels = ["containerd.io/gc.expire": Timestamps.rfc3339(Clock.now + 86_400_000_000_000)]
        try await database.write { db in
            try MetadataDatabase.ensureNamespace(namespace, db)
            try db.execute(
                sql: "INSERT INTO leases (namespace, id, labels, created) VALUES (?, ?, ?, ?)", arguments: [namespace, id, Labels.encode(labels), Clock.now])
        }
        let result: Result<Value, any Error>
        do { result = .success(try await body(id)) } catch { result = .failure(error) }
        // Not part of the cancelled work: the lease has to go in any case.
        let ended = await Task { await end(id, in: namespace) }.value
        if !ended { endLater(id, in: namespace) }
        if case .failure = result { collector.schedule() }
        return try result.get()
    }

    /// What it kept is held by the collector's own grace until that runs.
    /// - Returns: false where not even the reserve makes room to write it down.
    private func end(_ lease: String, in namespace: String) async -> Bool {
        let written: Void? = try? await database.writeRemoval { db in
            try db.execute(sql: "DELETE FROM lease_resources WHERE namespace = ? AND lease = ?", arguments: [namespace, lease])
            try db.execute(sql: "DELETE FROM leases WHERE namespace = ? AND id = ?", arguments: [namespace, lease])
        }
        return written != nil
    }

    /// For some minutes; after that the lease ends a day after its beginning.
    private func endLater(_ lease: String, in namespace: String) {
        Task {
            var pause = Duration.seconds(1)
            for _ in 0..<12 {
                try await Task.sleep(for: pause)
                if await end(lease, in: namespace) { return collector.schedule() }
                pause = min(pause * 2, .seconds(60))
            }
        }
    }

    // MARK: Documents

    func read(_ descriptor: Descriptor, in namespace: String) async throws -> [UInt8] {
        try await threads.runIfActive { [content] in try content.read(descriptor.digest, in: namespace) }
    }

    /// Stores a small document under a lease, with labels.
    func store(_ bytes: [UInt8], labels: [String: String], in namespace: String, lease: String) async throws -> Digest {
        try await threads.runIfActive { [content] in try content.add(bytes, labels: labels, in: namespace, lease: lease) }
    }

    func label(_ digest: Digest, _ labels: [String: String], in namespace: String) async throws {
        guard !labels.isEmpty else { return }
        try await threads.runIfActive { [content] in try content.setLabels(labels, on: digest, in: namespace) }
    }

    func has(_ digest: Digest, in namespace: String) throws -> Bool { try content.exists(digest, in: namespace) }

    /// What the store has of the blob, which the lease keeps from then on with all that its labels name.
    func claim(_ digest: Digest, for lease: String, in namespace: String) async throws -> ContentInfo? {
        // What is not here costs no write.
        guard try has(digest, in: namespace) else { return nil }
        return try await database.write { db in try ContentStore.claim(digest, for: lease, in: namespace, db) }
    }

    /// Whether the store has all of the blobs, which the lease keeps from then on.
    func claim(_ digests: [Digest], for lease: String, in namespace: String) async throws -> Bool {
        try await database.write { db in try digests.allSatisfy { try ContentStore.claim($0, for: lease, in: namespace, db) != nil } }
    }

    // MARK: Images

    /// Gives a descriptor the names that the client's `ImageStore` asks for; returns them.
    func storeImages(_ target: Descriptor, names: [(name: String, labels: [String: String])], in namespace: String) async throws -> [Images_Image] {
        let images = names.map { name, labels in
            Images_Image.with {
                $0.name = name
                $0.labels = labels
                $0.target = Types_Descriptor(target)
                $0.createdAt = Timestamps.proto(Clock.now)
                $0.updatedAt = $0.createdAt
            }
        }
        return try await database.write { db in try images.map { try ImageRecords.createOrReplace($0, in: namespace, db) } }
    }

    func image(_ name: String, in namespace: String) throws -> Descriptor {
        let image = try database.read { try ImageRecords.get(name, in: namespace, $0) }
        return try Self.descriptor(image.target)
    }

    /// Runs `body` with images that stay whole until it is done, whoever removes them meanwhile.
    func withImages<Value: Sendable>(
        _ names: [String], lease: String?, in namespace: String, _ body: ([(name: String, target: Descriptor)]) async throws -> Value
    ) async throws -> Value {
        try await withLease(lease, in: namespace) { lease in
            let images = try await database.write { db in
                try names.map { name in
                    let target = try Self.descriptor(try ImageRecords.get(name, in: namespace, db).target)
                    try LeaseResources.add(.content(target.digest), to: lease, in: namespace, db)
                    return (name: name, target: target)
                }
            }
            return try await body(images)
        }
    }

    static func descriptor(_ target: Types_Descriptor) throws -> Descriptor {
        Descriptor(mediaType: target.mediaType, digest: try ContentService.digest(target.digest), size: target.size, annotations: target.annotations)
    }

    // MARK: Registry

    /// A client for a source or destination. Credentials come from the client's stream or the headers that are ours, and are never logged.
    func registry(_ source: TransferTypes_OCIRegistry, in namespace: String) throws -> RegistryClient {
        let reference: ImageReference
        do { reference = try ImageReference(parsing: source.reference).withDefaultTag } catch {
            throw StorageError(.invalidArgument, "\(error): \(source.reference)")
        }
        let resolver = source.resolver
        guard resolver.httpDebug == .disabled, resolver.logsStream.isEmpty else {
            throw StorageError(.unimplemented, "debug output of registry requests to a client: not implemented")
        }
        var options = RegistryOptions()
        options.directories = resolver.hostDir.isEmpty ? registryDirectories : resolver.hostDir.split(separator: ":").map(String.init)
        if !resolver.defaultScheme.isEmpty {
            guard resolver.defaultScheme == "http" || resolver.defaultScheme == "https" else {
                throw StorageError(.invalidArgument, "unknown scheme \(resolver.defaultScheme): invalid argument")
            }
            options.scheme = resolver.defaultScheme
        }
        var fixed: RegistryCredentials?
        var username = ""
        for (name, value) in resolver.headers {
            switch name.lowercased() {
            case "x-berth-username": username = value
            case "x-berth-password": fixed = .password(username: "", secret: value)
            case "x-berth-identity-token": fixed = .refresh(value)
            case "x-berth-insecure": options.isInsecure = true
            case "x-berth-mirrors": options.mirrors = value.split(separator: " ").map(String.init)
            default: options.headers.append(.init(name: name, value: value))
            }
        }
        if case .password(_, let secret)? = fixed { fixed = .password(username: username, secret: secret) }
        let stream = resolver.authStream.isEmpty ? nil : try streams.get(resolver.authStream, in: namespace)
        let text = source.reference
        let credentials = fixed
        // A stream carries one question and its answer at a time.
        let questions = AsyncLimiter(1)
        let endpoints = try options.hosts(for: reference.domain).map { host in
            RegistryEndpoint(host, domain: reference.domain, repository: reference.path, http: http.client(connectTimeout: host.connectTimeout)) { name in
                // What the user gave is for the registry that the image's name speaks of; a mirror's owner asks by its own name.
                if host.isOrigin, let credentials { return credentials }
                guard let stream else { return .anonymous }
                return try await questions.run { try await Self.ask(stream, host: name, reference: text) }
            }
        }
        return RegistryClient(reference, endpoints: endpoints) { Log.info($0, $1) }
    }

    private static func ask(_ stream: ClientStream, host: String, reference: String) async throws -> RegistryCredentials {
        try await stream.send(
            TransferTypes_AuthRequest.with {
                $0.host = host
                $0.reference = reference
            })
        guard let message = try await stream.receive(), let answer = AnyMessages.unpack(message, as: TransferTypes_AuthResponse.self) else {
            throw StorageError(.unauthenticated, "client gave no credentials for \(host)")
        }
        switch answer.authType {
        case .credentials: return answer.username.isEmpty && answer.secret.isEmpty ? .anonymous : .password(username: answer.username, secret: answer.secret)
        case .refresh: return answer.secret.isEmpty ? .anonymous : .refresh(answer.secret)
        case .header: return .header(answer.secret)
        default: return .anonymous
        }
    }
}
