import BerthDefaults
import ContainerdAPI
import GRPCSocket
import SwiftProtobuf
import Synchronization

/// One stream that a client has opened beside its calls: progress, credentials or the bytes of an archive pass through it.
final class ClientStream: Sendable {
    let id: String
    private let messages: GRPCMessages<Google_Protobuf_Any>
    private let responses: GRPCResponseWriter<Google_Protobuf_Any>
    private let done: @Sendable () -> Void

    init(
        id: String, messages: GRPCMessages<Google_Protobuf_Any>, responses: GRPCResponseWriter<Google_Protobuf_Any>, done: @escaping @Sendable () -> Void
    ) {
        self.id = id
        self.messages = messages
        self.responses = responses
        self.done = done
    }

    func send(_ message: some Message) async throws { try await responses.write(AnyMessages.pack(message)) }

    /// The next object, nil when the client has closed its side. One reader.
    func receive() async throws -> Google_Protobuf_Any? { try await messages.next() }

    /// Ends the stream: the client sees its end.
    func close() { done() }
}

/// The streams that clients have open, by namespace and the name that they chose.
///
/// Spec: containerd, core/streaming and docs/streaming.md.
final class StreamRegistry: Sendable {
    private let streams = Mutex<[String: ClientStream]>([:])

    private static func key(_ id: String, _ namespace: String) -> String { "\(namespace)/\(id)" }

    func add(_ stream: ClientStream, in namespace: String) throws(StorageError) {
        let added = streams.withLock { streams in
            let key = Self.key(stream.id, namespace)
            guard streams[key] == nil else { return false }
            streams[key] = stream
            return true
        }
        if !added { throw StorageError(.alreadyExists, "stream \(stream.id): already exists") }
    }

    func remove(_ id: String, in namespace: String) { streams.withLock { $0[Self.key(id, namespace)] = nil } }

    func get(_ id: String, in namespace: String) throws(StorageError) -> ClientStream {
        guard let stream = streams.withLock({ $0[Self.key(id, namespace)] }) else { throw StorageError(.notFound, "stream \(id): not found") }
        return stream
    }
}
