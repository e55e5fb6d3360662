import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import GRPCSocket
import NIOPosix
import OCISpec
import SwiftProtobuf

/// containerd.services.content.v1: blobs by digest, and what is being written.
struct ContentService: GRPCService {
    let store: ContentStore
    let events: EventExchange
    /// For everything that touches the disk.
    let threads: NIOThreadPool

    /// Bytes of one message of a read; containerd's clients take up to 16 MiB, and larger ones cost fewer round trips through HTTP/2.
    private static let chunk = 256 << 10

    func register(in handlers: inout GRPCHandlers) {
        handlers.unary(ContentAPI.info) { request, context in
            let namespace = try context.requireNamespace()
            let info = try store.info(try Self.digest(request.digest), in: namespace)
            return .with { $0.info = Self.proto(info) }
        }
        handlers.unary(ContentAPI.update) { request, context in
            let namespace = try context.requireNamespace()
            let digest = try Self.digest(request.info.digest)
            let paths = request.updateMask.paths
            let labels = request.info.labels
            let info = try await threads.runIfActive { try store.update(digest, labels: labels, paths: paths, in: namespace) }
            return .with { $0.info = Self.proto(info) }
        }
        handlers.serverStream(ContentAPI.list) { request, writer, context in
            let namespace = try context.requireNamespace()
            let filters = try FilterSet(request.filters)
            let found = try await threads.runIfActive { try store.list(in: namespace) }.filter { filters.matches(Self.fields(of: $0)) }
            for start in stride(from: 0, to: found.count, by: 100) {
                let part = found[start..<min(start + 100, found.count)].map(Self.proto)
                try await writer.write(.with { $0.info = part })
            }
        }
        handlers.unary(ContentAPI.delete) { request, context in
            let namespace = try context.requireNamespace()
            let digest = try Self.digest(request.digest)
            try await threads.runIfActive { try store.delete(digest, in: namespace) }
            events.publish(Events_ContentDelete.with { $0.digest = digest.description }, topic: "/content/delete", namespace: namespace)
            return Google_Protobuf_Empty()
        }
        handlers.serverStream(ContentAPI.read) { request, writer, context in
            try await read(request, writer, in: try context.requireNamespace())
        }
        handlers.unary(ContentAPI.status) { request, context in
            let namespace = try context.requireNamespace()
            let ref = request.ref
            let status = try await threads.runIfActive { try store.status(ref, in: namespace) }
            return .with { $0.status = Self.proto(status) }
        }
        handlers.unary(ContentAPI.listStatuses) { request, context in
            let namespace = try context.requireNamespace()
            let filters = try FilterSet(request.filters)
            let all = try await threads.runIfActive { try store.statuses(in: namespace) }
            return .with { response in
                response.statuses = all.filter { status in filters.matches { $0 == ["ref"] ? status.ref : nil } }.map(Self.proto)
            }
        }
        handlers.bidirectional(ContentAPI.write) { messages, writer, context in
            try await write(messages, writer, in: try context.requireNamespace(), lease: context.lease)
        }
        handlers.unary(ContentAPI.abort) { request, context in
            let namespace = try context.requireNamespace()
            let ref = request.ref
            try await threads.runIfActive { try store.abort(ref, in: namespace) }
            return Google_Protobuf_Empty()
        }
    }

    // MARK: Reading

    private func read(_ request: Content_ReadContentRequest, _ writer: GRPCResponseWriter<Content_ReadContentResponse>, in namespace: String) async throws {
        let digest = try Self.digest(request.digest)
        let (blob, total) = try await threads.runIfActive { try store.open(digest, in: namespace) }
        var offset = max(0, request.offset)
        guard offset <= total else { throw StorageError(.outOfRange, "read past object length \(total) bytes") }
        let left = total - offset
        let end = offset + (request.size <= 0 || request.size > left ? left : request.size)
        let start = offset
        while offset < end {
            let position = offset
            let data = try await threads.runIfActive {
                var data = Data(count: Int(min(Int64(Self.chunk), end - position)))
                let count = try data.withUnsafeMutableBytes { try blob.readAll(into: $0, at: position) }
                guard count == data.count else { throw StorageError(.internalError, "content \(digest) is shorter on disk than its \(total) bytes") }
                return data
            }
            // Relative to the start of the request, as containerd counts.
            try await writer.write(
                .with {
                    $0.offset = position - start
                    $0.data = data
                })
            offset += Int64(data.count)
        }
    }

    // MARK: Writing

    /// The conversation of one writer: every message is answered with where the ingest stands; a commit ends it.
    private func write(
        _ messages: GRPCMessages<Content_WriteContentRequest>, _ responses: GRPCResponseWriter<Content_WriteContentResponse>, in namespace: String,
        lease: String?
    ) async throws {
        guard var request = try await messages.next() else { return }
        let (ref, firstExpected, firstTotal) = (request.ref, try Self.optionalDigest(request.expected), request.total)
        guard !ref.isEmpty else { throw StorageError(.invalidArgument, "first message must have a reference") }
        let writer = try await openWriter(ref, expected: firstExpected, total: firstTotal, in: namespace, lease: lease)
        var total = writer.total
        var expected = writer.expected
        while true {
            if let digest = try Self.optionalDigest(request.expected) {
                expected = digest
                if try store.exists(digest, in: namespace) {
                    try await threads.runIfActive { writer.discard() }
                    throw StorageError(.alreadyExists, "blob with expected digest \(digest) exists: already exists")
                }
            }
            if request.total > 0 { total = request.total }
            var response = Content_WriteContentResponse()
            response.action = request.action
            switch request.action {
            case .stat:
                response.digest = writer.digest.description
                response.startedAt = Timestamps.proto(writer.started)
                response.updatedAt = Timestamps.proto(writer.updated)
                response.total = total
                response.offset = writer.offset
            case .write, .commit:
                try await append(request, to: writer)
                response.offset = writer.offset
                response.digest = writer.digest.description
                if request.action == .commit {
                    let (size, digest, labels) = (total, expected, request.labels)
                    try Labels.validate(labels)
                    let committed = try await threads.runIfActive { try writer.commit(size: size, expected: digest, labels: labels) }
                    events.publish(
                        Events_ContentCreate.with {
                            $0.digest = committed.description
                            $0.size = writer.offset
                        }, topic: "/content/create", namespace: namespace)
                }
            case .UNRECOGNIZED(let number): throw StorageError(.invalidArgument, "unknown action \(number) of a content write: invalid argument")
            }
            try await responses.write(response)
            if request.action == .commit { return }
            guard let next = try await messages.next() else { return }
            request = next
        }
    }

    /// A client that has closed a writer may open the next one before the end of the first has arrived here: a held ref is waited for, half a second in all.
    private func openWriter(_ ref: String, expected: Digest?, total: Int64, in namespace: String, lease: String?) async throws -> IngestWriter {
        for attempt in 0..<9 {
            do {
                return try await threads.runIfActive { try store.writer(ref, expected: expected, total: total, in: namespace, lease: lease) }
            } catch let error as StorageError where error.code == .unavailable {
                try await Task.sleep(for: .milliseconds(1 << attempt))
            }
        }
        return try await threads.runIfActive { try store.writer(ref, expected: expected, total: total, in: namespace, lease: lease) }
    }

    private func append(_ request: Content_WriteContentRequest, to writer: IngestWriter) async throws {
        if request.offset > 0, request.offset != writer.offset {
            throw StorageError(.outOfRange, "write @\(request.offset) must occur at current offset \(writer.offset)")
        }
        let restart = request.offset == 0 && writer.offset > 0 && !(request.action == .commit && request.data.isEmpty)
        guard restart || !request.data.isEmpty else { return }
        let data = request.data
        try await threads.runIfActive {
            if restart { try writer.truncate() }
            try data.withUnsafeBytes { try writer.write($0) }
        }
    }

    // MARK: Wire

    static func digest(_ text: String) throws -> Digest {
        do { return try Digest(parsing: text) } catch { throw StorageError(.invalidArgument, "\(text): \(error): invalid argument") }
    }

    static func optionalDigest(_ text: String) throws -> Digest? { text.isEmpty ? nil : try digest(text) }

    private static func proto(_ info: ContentInfo) -> Content_Info {
        .with {
            $0.digest = info.digest.description
            $0.size = info.size
            $0.createdAt = Timestamps.proto(info.created)
            $0.updatedAt = Timestamps.proto(info.updated)
            $0.labels = info.labels
        }
    }

    private static func proto(_ status: IngestStatus) -> Content_Status {
        .with {
            $0.ref = status.ref
            $0.offset = status.offset
            $0.total = status.total
            $0.expected = status.expected?.description ?? ""
            $0.startedAt = Timestamps.proto(status.started)
            $0.updatedAt = Timestamps.proto(status.updated)
        }
    }

    private static func fields(of info: ContentInfo) -> ([String]) -> String? {
        { path in
            switch path.first {
            case "digest": info.digest.description
            case "size": String(info.size)
            case "labels" where path.count > 1: info.labels[path.dropFirst().joined(separator: ".")]
            default: nil
            }
        }
    }
}

extension GRPCContext {
    /// The lease under which the client works: what it makes is kept as long as the lease lives.
    var lease: String? { metadata("containerd-lease").flatMap { $0.isEmpty ? nil : $0 } }
}
