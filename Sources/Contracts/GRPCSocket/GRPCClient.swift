import Glibc
package import NIOCore
package import SwiftProtobuf

/// A client of one gRPC server on a unix socket.
///
/// One connection carries all calls. It is made at the first call and again after it was lost; calls in flight at that moment end as `unavailable`,
/// and whether the server did them is unknown. Waits at most `patience` for a server that is not listening.
package final class GRPCClient: Sendable {
    private let core: ClientCore

    /// The event loop the connection lives on.
    package var eventLoop: any EventLoop { core.loop }
    /// The socket's path.
    package var path: String { core.path }

    /// - Parameters:
    ///   - path: the socket.
    ///   - group: the connection lives on one of its loops.
    ///   - patience: how long a call waits for a server that refuses connections, for example while it restarts.
    package init(path: String, group: any EventLoopGroup, patience: Duration = .zero) {
        core = ClientCore(path: path, loop: group.next(), patience: patience)
    }

    deinit { close() }

    /// Ends the connection and with it all calls.
    package func close() {
        let core = core
        core.loop.execute { core.close() }
    }

    /// One request, one answer.
    /// - Parameters:
    ///   - namespace: containerd's namespace header.
    ///   - metadata: further headers, names in lower case.
    ///   - timeout: after it the call ends as `deadlineExceeded`, and the server is told beforehand.
    package func unary<Request, Response>(
        _ method: RPCMethod<Request, Response>, _ request: Request, namespace: String? = nil, metadata: [(String, String)] = [],
        timeout: Duration? = nil
    ) async throws(GRPCStatus) -> Response {
        let bytes = try frameMessage(request)
        let call = ClientCall(loop: core.loop, path: method.path, namespace: namespace, metadata: metadata, timeout: timeout)
        let result = await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Result<ByteBuffer, GRPCStatus>, Never>) in
                core.loop.run { [core] in call.start(.unary { continuation.resume(returning: $0) }, on: core, first: bytes) }
            }
        } onCancel: {
            core.loop.run { call.cancel(GRPCStatus(.cancelled, "\(method.path): cancelled by the caller")) }
        }
        return try parseMessage(try result.get())
    }

    /// One request, any number of answers. Letting go of what is returned cancels the call. An error of the call comes from the sequence.
    package func serverStream<Request, Response>(
        _ method: RPCMethod<Request, Response>, _ request: Request, namespace: String? = nil, metadata: [(String, String)] = [],
        timeout: Duration? = nil
    ) async throws(GRPCStatus) -> GRPCMessages<Response> {
        let bytes = try frameMessage(request)
        let call = ClientCall(loop: core.loop, path: method.path, namespace: namespace, metadata: metadata, timeout: timeout)
        return try await open(call, first: bytes)
    }

    /// Requests and answers in both directions, independent of each other.
    package func bidirectional<Request, Response>(
        _ method: RPCMethod<Request, Response>, namespace: String? = nil, metadata: [(String, String)] = [], timeout: Duration? = nil
    ) async throws(GRPCStatus) -> GRPCCall<Request, Response> {
        let call = ClientCall(loop: core.loop, path: method.path, namespace: namespace, metadata: metadata, timeout: timeout)
        let messages: GRPCMessages<Response> = try await open(call, first: nil)
        return GRPCCall(responses: messages, call: call)
    }

    private func open<Response>(_ call: ClientCall, first: ByteBuffer?) async throws(GRPCStatus) -> GRPCMessages<Response> {
        let inbox = MessageInbox { [weak call] in call?.credit($0) }
        let failure = await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<GRPCStatus?, Never>) in
                core.loop.run { [core] in
                    call.start(.stream(inbox), on: core, first: first) { continuation.resume(returning: $0) }
                }
            }
        } onCancel: {
            core.loop.run { call.cancel(GRPCStatus(.cancelled, "cancelled by the caller")) }
        }
        if let failure { throw failure }
        let loop = core.loop
        return GRPCMessages(inbox: inbox) { loop.run { call.cancel(GRPCStatus(.cancelled, "cancelled by the caller")) } }
    }
}

/// A call with messages in both directions, at the client.
package struct GRPCCall<Request: Message, Response: Message>: Sendable {
    /// Letting go of it cancels the call.
    package let responses: GRPCMessages<Response>
    private let call: ClientCall

    init(responses: GRPCMessages<Response>, call: ClientCall) {
        self.responses = responses
        self.call = call
    }

    /// Sends one message; returns when the next one may come.
    /// - Throws: the status with which the call ended, when it has.
    package func send(_ message: Request) async throws(GRPCStatus) { try await call.send(try frameMessage(message)) }

    /// No further requests; answers may still come.
    package func finish() { call.finishSending() }
}
