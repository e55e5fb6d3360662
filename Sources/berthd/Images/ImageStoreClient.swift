import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import GRPCSocket
import OCISpec
import SwiftProtobuf

/// The supervisor's image, content, snapshot, diff and lease services as verbs about images: the only file that makes their messages.
///
/// Works the same against a stock containerd.
struct ImageStoreClient: Sendable {
    let grpc: GRPCClient
    let namespace: String
    private(set) var snapshotter: String

    /// The same for another snapshotter.
    func using(_ snapshotter: String) -> ImageStoreClient {
        var copy = self
        copy.snapshotter = snapshotter
        return copy
    }

    init(_ supervisor: SupervisorClient) {
        grpc = supervisor.grpc
        namespace = supervisor.namespace
        snapshotter = supervisor.snapshotter
    }

    /// An image record: a name that stands for a target.
    struct Named: Sendable, Equatable {
        var name: String
        var target: OCISpec.Descriptor
        var labels: [String: String]
        var created: WallClock
        var updated: WallClock
        /// The name's parts; nil for what is none of Docker's names.
        var reference: ImageReference?
    }

    func call<Request: Message, Response: Message>(_ method: RPCMethod<Request, Response>, _ request: Request, lease: String? = nil) async throws -> Response {
        do {
            return try await grpc.unary(method, request, namespace: namespace, metadata: lease.map { [("containerd-lease", $0)] } ?? [])
        } catch {
            throw DaemonError(error.errorCode, error.message)
        }
    }

    func optional<Value>(_ body: () async throws -> Value) async throws -> Value? {
        do { return try await body() } catch let error as DaemonError where error.code == .notFound { return nil }
    }

    // MARK: - Names

    func list(_ filters: [String] = []) async throws -> [Named] {
        try await call(ImagesAPI.list, Images_ListImagesRequest.with { $0.filters = filters }).images.compactMap { Named($0) }
    }

    func list(target: OCISpec.Digest) async throws -> [Named] { try await list(["target.digest==\(target)"]) }

    func get(_ name: String) async throws -> Named? {
        try await optional { try await call(ImagesAPI.get, Images_GetImageRequest.with { $0.name = name }).image }.flatMap { Named($0) }
    }

    /// Makes the name stand for the target, whatever it stood for before, and gives it these labels and no others. Durable when this returns.
    func put(_ name: String, target: OCISpec.Descriptor, labels: [String: String] = [:], lease: String? = nil) async throws {
        let image = Images_Image.with {
            $0.name = name
            $0.labels = labels
            $0.target = Types_Descriptor(target)
        }
        do {
            _ = try await call(ImagesAPI.create, Images_CreateImageRequest.with { $0.image = image }, lease: lease)
        } catch let error as DaemonError where error.code == .alreadyExists {
            let request = Images_UpdateImageRequest.with {
                $0.image = image
                $0.updateMask.paths = ["target", "labels"]
            }
            _ = try await call(ImagesAPI.update, request, lease: lease)
        }
    }

    /// Removes a name. `sync`: what nothing refers to any more is gone when this returns.
    func delete(_ name: String, sync: Bool) async throws {
        let request = Images_DeleteImageRequest.with {
            $0.name = name
            $0.sync = sync
        }
        _ = try await optional { _ = try await call(ImagesAPI.delete, request) }
    }

    // MARK: - Content

    /// Manifests, indexes and configurations are small; what claims to be one and is larger is refused.
    static let documentLimit: Int64 = 8 << 20

    /// A whole document. nil when it is not here.
    func document(_ digest: OCISpec.Digest) async throws -> Data? {
        do {
            let answers = try await grpc.serverStream(ContentAPI.read, Content_ReadContentRequest.with { $0.digest = digest.description }, namespace: namespace)
            var data = Data()
            while let part = try await answers.next() {
                data.append(part.data)
                guard data.count <= Self.documentLimit else { throw DaemonError.internalError("\(digest) is larger than \(Self.documentLimit) bytes, too large for a manifest or configuration") }
            }
            return data
        } catch let status as GRPCStatus {
            if status.errorCode == .notFound { return nil }
            throw DaemonError(status.errorCode, status.message)
        }
    }

    func document<T: Decodable>(_ type: T.Type, _ digest: OCISpec.Digest) async throws -> T? {
        guard let data = try await document(digest) else { return nil }
        do {
            return try JSONDecoder().decode(type, from: data)
        } catch {
            throw DaemonError.internalError("\(digest) cannot be read as an image's document: \(error)")
        }
    }

    /// nil when the blob is not here.
    func info(_ digest: OCISpec.Digest) async throws -> Content_Info? {
        try await optional { try await call(ContentAPI.info, Content_InfoRequest.with { $0.digest = digest.description }).info }
    }

    /// Removes a blob from the store, whatever refers to it. One that is not here is no failure.
    func deleteContent(_ digest: OCISpec.Digest) async throws {
        _ = try await optional { _ = try await call(ContentAPI.delete, Content_DeleteContentRequest.with { $0.digest = digest.description }) }
    }

    /// Has what nothing refers to collected; it is gone when this returns. Deleting a name that is not there makes the collector run.
    func collect() async throws { try await delete("berth-collect", sync: true) }

    /// Stores a document. One that is here already gets the labels.
    func write(_ data: Data, digest: OCISpec.Digest, labels: [String: String], lease: String) async throws {
        let writer = try await ContentWriter.open(self, ref: "berth-\(digest)", lease: lease)
        try await writer.write(data)
        try await writer.commit(digest: digest, labels: labels)
    }

    /// Sets one label of a blob.
    func label(_ digest: OCISpec.Digest, _ name: String, _ value: String, lease: String) async throws {
        let request = Content_UpdateRequest.with {
            $0.info.digest = digest.description
            $0.info.labels = [name: value]
            $0.updateMask.paths = ["labels.\(name)"]
        }
        _ = try await call(ContentAPI.update, request, lease: lease)
    }

    // MARK: - Snapshots

    /// Bytes that a committed layer adds; nil when it is not unpacked.
    func usage(_ chainID: OCISpec.Digest) async throws -> Int64? {
        let request = Snapshots_UsageRequest.with {
            $0.snapshotter = snapshotter
            $0.key = chainID.description
        }
        return try await optional { try await call(SnapshotsAPI.usage, request).size }
    }

    func isUnpacked(_ chainID: OCISpec.Digest) async throws -> Bool {
        let request = Snapshots_StatSnapshotRequest.with {
            $0.snapshotter = snapshotter
            $0.key = chainID.description
        }
        return try await optional { try await call(SnapshotsAPI.stat, request).info.kind == .committed } ?? false
    }

    func prepare(key: String, parent: String, lease: String) async throws -> [Types_Mount] {
        let request = Snapshots_PrepareSnapshotRequest.with {
            $0.snapshotter = snapshotter
            $0.key = key
            $0.parent = parent
        }
        return try await call(SnapshotsAPI.prepare, request, lease: lease).mounts
    }

    func view(key: String, parent: String, lease: String) async throws -> [Types_Mount] {
        let request = Snapshots_ViewSnapshotRequest.with {
            $0.snapshotter = snapshotter
            $0.key = key
            $0.parent = parent
        }
        return try await call(SnapshotsAPI.view, request, lease: lease).mounts
    }

    func commitSnapshot(key: String, name: String, lease: String) async throws {
        let request = Snapshots_CommitSnapshotRequest.with {
            $0.snapshotter = snapshotter
            $0.key = key
            $0.name = name
        }
        do { _ = try await call(SnapshotsAPI.commit, request, lease: lease) } catch let error as DaemonError where error.code == .alreadyExists { try await removeSnapshot(key) }
    }

    func removeSnapshot(_ key: String) async throws {
        let request = Snapshots_RemoveSnapshotRequest.with {
            $0.snapshotter = snapshotter
            $0.key = key
        }
        _ = try await optional { _ = try await call(SnapshotsAPI.remove, request) }
    }

    /// Runs `body` with the mounts of a committed snapshot to look at; "" is an empty one. What a kill leaves of it goes with its lease.
    func viewing<Value>(_ parent: String, lease: String, _ body: ([Types_Mount]) async throws -> Value) async throws -> Value {
        let key = Self.temporaryKey("view-\(Identifier.random(digits: 16))")
        let mounts = try await view(key: key, parent: parent, lease: lease)
        do {
            let value = try await body(mounts)
            try await removeSnapshot(key)
            return value
        } catch {
            try? await removeSnapshot(key)
            throw error
        }
    }

    /// A key for what must not outlive its lease: our supervisor keeps other active snapshots and views until somebody removes them.
    static func temporaryKey(_ name: String) -> String { Defaults.temporarySnapshotPrefix + name }

    func snapshotMounts(_ key: String) async throws -> [Types_Mount] {
        let request = Snapshots_MountsRequest.with {
            $0.snapshotter = snapshotter
            $0.key = key
        }
        return try await call(SnapshotsAPI.mounts, request).mounts
    }

    // MARK: - Layers

    /// Unpacks a layer into a snapshot; answers with the descriptor of its uncompressed form, whose digest is the diff ID.
    func apply(_ layer: OCISpec.Descriptor, onto mounts: [Types_Mount], lease: String) async throws -> OCISpec.Descriptor {
        let request = Diff_ApplyRequest.with {
            $0.diff = Types_Descriptor(layer)
            $0.mounts = mounts
        }
        let applied = try await call(DiffAPI.apply, request, lease: lease).applied
        guard let descriptor = OCISpec.Descriptor(applied) else { throw DaemonError.internalError("the supervisor answered an applied layer without a digest") }
        return descriptor
    }

    /// Makes a layer of what differs.
    func diff(left: [Types_Mount], right: [Types_Mount], ref: String, lease: String) async throws -> OCISpec.Descriptor {
        let request = Diff_DiffRequest.with {
            $0.left = left
            $0.right = right
            $0.mediaType = OCISpec.MediaType.ociLayerGzip
            $0.ref = ref
        }
        guard let descriptor = OCISpec.Descriptor(try await call(DiffAPI.diff, request, lease: lease).diff) else {
            throw DaemonError.internalError("the supervisor answered a layer without a digest")
        }
        return descriptor
    }
}

/// One blob on its way into the content store.
struct ContentWriter: Sendable {
    private let call: GRPCCall<Content_WriteContentRequest, Content_WriteContentResponse>
    private let ref: String
    private let offset: Box

    private final class Box: @unchecked Sendable {
        // Safety: one writer, one call after the other.
        var value: Int64 = 0
    }

    static func open(_ client: ImageStoreClient, ref: String, lease: String) async throws -> ContentWriter {
        do {
            let call = try await client.grpc.bidirectional(ContentAPI.write, namespace: client.namespace, metadata: [("containerd-lease", lease)])
            let writer = ContentWriter(call: call, ref: ref, offset: Box())
            let answer = try await writer.exchange(Content_WriteContentRequest.with {
                $0.action = .stat
                $0.ref = ref
            })
            writer.offset.value = 0
            // What an interrupted attempt left is written over from the start.
            _ = answer
            return writer
        } catch let status as GRPCStatus {
            throw DaemonError(status.errorCode, status.message)
        }
    }

    private func exchange(_ request: Content_WriteContentRequest) async throws -> Content_WriteContentResponse {
        do {
            try await call.send(request)
            guard let answer = try await call.responses.next() else { throw DaemonError.internalError("the supervisor closed the content stream of \(ref)") }
            return answer
        } catch let status as GRPCStatus {
            throw DaemonError(status.errorCode, status.message)
        }
    }

    func write(_ data: Data) async throws {
        let start = offset.value
        let answer = try await exchange(Content_WriteContentRequest.with {
            $0.action = .write
            $0.ref = ref
            $0.offset = start
            $0.data = data
        })
        offset.value = answer.offset > start ? answer.offset : start + Int64(data.count)
    }

    /// Takes away what was written: nobody will go on with it.
    func abandon(_ client: ImageStoreClient) async {
        call.finish()
        _ = try? await client.call(ContentAPI.abort, Content_AbortRequest.with { $0.ref = ref })
    }

    /// - Returns: false when the store has the blob already.
    @discardableResult
    func commit(digest: OCISpec.Digest, labels: [String: String]) async throws -> Bool {
        let size = offset.value
        do {
            _ = try await exchange(Content_WriteContentRequest.with {
                $0.action = .commit
                $0.ref = ref
                $0.offset = size
                $0.total = size
                $0.expected = digest.description
                $0.labels = labels
            })
            call.finish()
            return true
        } catch let error as DaemonError where error.code == .alreadyExists {
            return false
        }
    }
}

extension ImageStoreClient.Named {
    init?(_ image: Images_Image) {
        guard let target = OCISpec.Descriptor(image.target) else { return nil }
        self.init(name: image.name, target: target, labels: image.labels, created: WallClock(image.createdAt), updated: WallClock(image.updatedAt),
            reference: try? ImageReference(parsing: image.name))
    }
}

extension OCISpec.Descriptor {
    init?(_ message: Types_Descriptor) {
        guard let digest = try? OCISpec.Digest(parsing: message.digest) else { return nil }
        self.init(mediaType: message.mediaType, digest: digest, size: message.size, annotations: message.annotations)
    }
}

extension Types_Descriptor {
    init(_ descriptor: OCISpec.Descriptor) {
        self.init()
        mediaType = descriptor.mediaType
        digest = descriptor.digest.description
        size = descriptor.size
        annotations = descriptor.annotations
    }
}
