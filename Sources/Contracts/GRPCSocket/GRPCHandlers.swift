import NIOCore
import SwiftProtobuf

/// The methods a server answers. Any other path is answered with `unimplemented`.
///
/// Handlers run as tasks on the connection's event loop: what blocks belongs elsewhere. What a handler throws becomes the call's status: a `GRPCStatus`
/// as it is, anything else through `mapError`.
package struct GRPCHandlers: Sendable {
    enum Handler: Sendable {
        /// Takes the one request when it is complete, returns the framed answer.
        case unary(@Sendable (ByteBuffer, GRPCContext) async throws -> ByteBuffer)
        /// Starts with the headers.
        case streaming(@Sendable (MessageInbox, any MessageSink, GRPCContext) async throws -> Void)
        /// One request, many answers: starts when the request is complete.
        case serverStreaming(@Sendable (ByteBuffer, any MessageSink, GRPCContext) async throws -> Void)
    }

    private(set) var table: [String: Handler] = [:]
    let mapError: @Sendable (any Error) -> GRPCStatus

    /// - Parameter mapError: the status of errors that are not a `GRPCStatus`.
    package init(mapError: @escaping @Sendable (any Error) -> GRPCStatus = { GRPCStatus(.unknown, "\($0)") }) {
        self.mapError = mapError
    }

    /// The paths that are answered, sorted.
    package var paths: [String] { table.keys.sorted() }

    package mutating func unary<Request, Response>(
        _ method: RPCMethod<Request, Response>, _ body: @escaping @Sendable (Request, GRPCContext) async throws -> Response
    ) {
        table[method.path] = .unary { bytes, context in
            try frameMessage(try await body(try parseMessage(bytes), context))
        }
    }

    package mutating func serverStream<Request, Response>(
        _ method: RPCMethod<Request, Response>,
        _ body: @escaping @Sendable (Request, GRPCResponseWriter<Response>, GRPCContext) async throws -> Void
    ) {
        table[method.path] = .serverStreaming { bytes, sink, context in
            try await body(try parseMessage(bytes), GRPCResponseWriter(sink: sink), context)
        }
    }

    package mutating func clientStream<Request, Response>(
        _ method: RPCMethod<Request, Response>, _ body: @escaping @Sendable (GRPCMessages<Request>, GRPCContext) async throws -> Response
    ) {
        table[method.path] = .streaming { inbox, sink, context in
            let response = try await body(GRPCMessages(inbox: inbox, onRelease: nil), context)
            try await sink.send(try frameMessage(response))
        }
    }

    package mutating func bidirectional<Request, Response>(
        _ method: RPCMethod<Request, Response>,
        _ body: @escaping @Sendable (GRPCMessages<Request>, GRPCResponseWriter<Response>, GRPCContext) async throws -> Void
    ) {
        table[method.path] = .streaming { inbox, sink, context in
            try await body(GRPCMessages(inbox: inbox, onRelease: nil), GRPCResponseWriter(sink: sink), context)
        }
    }

    func status(of error: any Error) -> GRPCStatus {
        switch error {
        case let status as GRPCStatus: status
        case is CancellationError: GRPCStatus(.cancelled, "call cancelled")
        default: mapError(error)
        }
    }
}
