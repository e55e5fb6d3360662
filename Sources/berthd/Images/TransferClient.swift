import ContainerdAPI
import DockerAPI
import FoundationEssentials
import GRPCSocket
import OCISpec
import SwiftProtobuf

/// The supervisor's transfer service: pull, push, import and export, with the streams that go with them (docs/storage.md, "Streams").
struct TransferClient: Sendable {
    let grpc: GRPCClient
    let namespace: String

    init(_ client: ImageStoreClient) {
        grpc = client.grpc
        namespace = client.namespace
    }

    typealias AnyStream = GRPCCall<Google_Protobuf_Any, Google_Protobuf_Any>

    static func wrap(_ name: String, _ message: some Message) throws -> Google_Protobuf_Any {
        let bytes: Data = try message.serializedBytes()
        return Google_Protobuf_Any.with {
            $0.typeURL = "containerd.types.transfer." + name
            $0.value = bytes
        }
    }

    private static func unwrap<M: Message>(_ type: M.Type, _ any: Google_Protobuf_Any, named name: String) throws -> M? {
        guard any.typeURL.split(separator: "/").last == "containerd.types.transfer.\(name)" else { return nil }
        return try M(serializedBytes: any.value)
    }

    /// Opens a stream that a transfer can name.
    func openStream(_ purpose: String) async throws -> (id: String, stream: AnyStream) {
        let id = "berth-\(purpose)-\(Identifier.random(digits: 24))"
        do {
            let stream = try await grpc.bidirectional(StreamingAPI.stream, namespace: namespace)
            let bytes: Data = try Streaming_StreamInit.with { $0.id = id }.serializedBytes()
            try await stream.send(Google_Protobuf_Any.with {
                $0.typeURL = "containerd.services.streaming.v1.StreamInit"
                $0.value = bytes
            })
            // The answer says that the id is known from now on.
            _ = try await stream.responses.next()
            return (id, stream)
        } catch let status as GRPCStatus {
            throw DaemonError(status.errorCode, status.message)
        }
    }

    /// Runs a transfer to its end.
    ///
    /// - Parameter onProgress: called for every event, in order, also for the last one before this returns.
    /// - Throws: the transfer's failure, in the words of the registry or the archive. Cancelling cancels the transfer.
    func run(source: Google_Protobuf_Any, destination: Google_Protobuf_Any, onProgress: @escaping @Sendable (TransferTypes_Progress) async throws -> Void) async throws {
        let (id, stream) = try await openStream("progress")
        let request = Transfer_TransferRequest.with {
            $0.source = source
            $0.destination = destination
            $0.options.progressStream = id
        }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                do {
                    while let any = try await stream.responses.next() {
                        if let event = try Self.unwrap(TransferTypes_Progress.self, any, named: "Progress") { try await onProgress(event) }
                    }
                } catch is GRPCStatus {
                    // The transfer's own answer tells what went wrong.
                }
                return false
            }
            group.addTask {
                do throws(GRPCStatus) { _ = try await grpc.unary(TransferAPI.transfer, request, namespace: namespace) } catch { throw DaemonError(error.errorCode, error.message) }
                return true
            }
            // When the transfer is done its last events may still be under way; a peer that forgets to end the stream does not hold us. Either end may come first.
            var sawAllEvents = false
            while let isTransfer = try await group.next() {
                guard isTransfer else {
                    sawAllEvents = true
                    continue
                }
                if sawAllEvents { break }
                group.addTask {
                    try? await Task.sleep(for: .seconds(2))
                    return false
                }
                _ = try await group.next()
                break
            }
            group.cancelAll()
        }
        stream.finish()
    }

    // MARK: - Credentials

    /// Answers the supervisor's questions for one registry. Ends with the stream.
    ///
    /// - Parameter domain: of the image's name. A mirror that asks under a name of its own is not told what is the registry's.
    func answerCredentials(_ stream: AnyStream, _ auth: AuthConfig, domain: String) async {
        let own = domain == ImageReference.defaultDomain ? [domain, "registry-1.docker.io"] : [domain]
        do {
            while let any = try await stream.responses.next() {
                guard let request = try Self.unwrap(TransferTypes_AuthRequest.self, any, named: "AuthRequest") else { continue }
                let answer = own.contains(request.host) ? auth.transferResponse : TransferTypes_AuthResponse()
                try await stream.send(try Self.wrap("AuthResponse", answer))
            }
        } catch {
            // The registry's refusal, if any, comes with the transfer's answer.
        }
    }

    // MARK: - Archives

    /// Sends an archive as fast as the receiver's window allows.
    func send(_ stream: AnyStream, from next: @Sendable () async throws -> Data?) async throws {
        var window = 0
        while let piece = try await next() {
            var rest = piece[...]
            while !rest.isEmpty {
                while window <= 0 {
                    guard let any = try await stream.responses.next() else { return }
                    window += Int(try Self.unwrap(TransferTypes_WindowUpdate.self, any, named: "WindowUpdate")?.update ?? 0)
                }
                let part = rest.prefix(min(window, 256 << 10))
                try await stream.send(try Self.wrap("Data", TransferTypes_Data.with { $0.data = Data(part) }))
                window -= part.count
                rest = rest.dropFirst(part.count)
            }
        }
        stream.finish()
    }

    /// Receives an archive; the window is opened again as the reader takes it.
    func receive(_ stream: AnyStream, into consume: @Sendable (Data) async throws -> Void) async throws {
        let window = 4 << 20
        try await stream.send(try Self.wrap("WindowUpdate", TransferTypes_WindowUpdate.with { $0.update = Int32(window) }))
        var taken = 0
        while let any = try await stream.responses.next() {
            guard let data = try Self.unwrap(TransferTypes_Data.self, any, named: "Data")?.data else { continue }
            try await consume(data)
            taken += data.count
            if taken >= window / 2 {
                let update = Int32(taken)
                taken = 0
                // The sender may have sent its last and ended the call meanwhile; what it sent is still here to be read.
                try? await stream.send(try Self.wrap("WindowUpdate", TransferTypes_WindowUpdate.with { $0.update = update }))
            }
        }
    }
}

extension AuthConfig {
    var transferResponse: TransferTypes_AuthResponse {
        TransferTypes_AuthResponse.with {
            if let token = registrytoken, !token.isEmpty {
                $0.authType = .header
                $0.secret = "Bearer \(token)"
            } else if let token = identitytoken, !token.isEmpty {
                $0.authType = .refresh
                $0.secret = token
            } else if let name = username, !name.isEmpty {
                $0.authType = .credentials
                $0.username = name
                $0.secret = password ?? ""
            } else {
                $0.authType = .none
            }
        }
    }

    var isEmpty: Bool { [registrytoken, identitytoken, username].allSatisfy { ($0 ?? "").isEmpty } }

    /// Reads `X-Registry-Auth`: base64, of the URL's alphabet or the common one, of this object as JSON.
    ///
    /// - Throws: `.invalidArgument` in dockerd's words; nothing of the header's content appears.
    init(header: String) throws {
        var text = header.map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }
        while text.count % 4 != 0 { text.append("=") }
        guard let data = Data(base64Encoded: String(text)) else { throw DaemonError.invalid("invalid X-Registry-Auth header: must be a valid base64url-encoded JSON object") }
        if data.isEmpty {
            self.init()
            return
        }
        guard let value = try? JSONDecoder().decode(AuthConfig.self, from: data) else {
            throw DaemonError.invalid("invalid X-Registry-Auth header: must be a valid base64url-encoded JSON object")
        }
        self = value
        // Old clients put both into `auth`.
        if (username ?? "").isEmpty, let pair = auth.flatMap({ Data(base64Encoded: $0) }) {
            let parts = String(decoding: pair, as: UTF8.self).split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { (username, password) = (String(parts[0]), String(parts[1])) }
        }
    }
}
