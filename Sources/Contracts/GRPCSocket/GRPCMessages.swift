import NIOCore
package import SwiftProtobuf

/// The messages of a stream, in order: a server's answers at the client, a client's at the server. One reader.
///
/// Ends with nil after the peer's good end, and with the status of the call otherwise. Letting go of a client's answers cancels the call.
package final class GRPCMessages<M: Message>: AsyncSequence, Sendable {
    package typealias Element = M
    package typealias Failure = GRPCStatus

    private let inbox: MessageInbox
    private let onRelease: (@Sendable () -> Void)?

    init(inbox: MessageInbox, onRelease: (@Sendable () -> Void)?) {
        self.inbox = inbox
        self.onRelease = onRelease
    }

    deinit { onRelease?() }

    /// The next message; nil at the end.
    package func next() async throws(GRPCStatus) -> M? {
        guard let bytes = try await inbox.next() else { return nil }
        return try parseMessage(bytes)
    }

    package struct AsyncIterator: AsyncIteratorProtocol {
        let messages: GRPCMessages

        package mutating func next() async throws(GRPCStatus) -> M? { try await messages.next() }

        package mutating func next(isolation actor: isolated (any Actor)?) async throws(GRPCStatus) -> M? { try await messages.next() }
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(messages: self) }
}

/// What streams need of the call behind them, on either side.
protocol MessageSink: AnyObject, Sendable {
    /// Queues a framed message; returns when there is room for another.
    func send(_ message: ByteBuffer) async throws(GRPCStatus)
}

/// A server's answers on a stream.
package struct GRPCResponseWriter<M: Message>: Sendable {
    let sink: any MessageSink

    /// Sends one message. Returns when the next one may come: a reader that is slow holds the writer.
    /// - Throws: the status with which the call ended, when the client is gone or the deadline has passed.
    package func write(_ message: M) async throws(GRPCStatus) { try await sink.send(try frameMessage(message)) }
}

/// Writers that wait until a stream has room again. Belongs to one event loop.
struct DrainWaiters {
    private var waiting: [UnsafeContinuation<Result<Void, GRPCStatus>, Never>] = []

    mutating func add(_ continuation: UnsafeContinuation<Result<Void, GRPCStatus>, Never>) { waiting.append(continuation) }

    mutating func resume(_ result: Result<Void, GRPCStatus>) {
        let ready = waiting
        waiting = []
        for continuation in ready { continuation.resume(returning: result) }
    }
}

extension EventLoop {
    /// Runs at once when already there.
    func run(_ body: @escaping @Sendable () -> Void) {
        if inEventLoop { body() } else { execute(body) }
    }
}
