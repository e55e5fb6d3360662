import NIOCore
import Synchronization

/// Where the event loop puts the messages of a stream and one reader takes them.
///
/// At most `highWatermark` bytes wait here; beyond that the peer's window is not refilled, so that a reader that is slow makes the sender wait.
final class MessageInbox: Sendable {
    private static let highWatermark = 1 << 20

    private struct State {
        var messages = CircularBuffer<ByteBuffer>(initialCapacity: 1)
        var bytes = 0
        /// Received, not yet credited to the sender because too much was waiting.
        var withheld = 0
        var end: Result<Void, GRPCStatus>?
        var waiter: UnsafeContinuation<Result<ByteBuffer?, GRPCStatus>, Never>?
        var isCancelled = false
    }

    private let state = Mutex(State())
    /// Tells the stream that so many bytes may be credited. Called on any thread.
    private let credit: @Sendable (Int) -> Void

    init(credit: @escaping @Sendable (Int) -> Void) { self.credit = credit }

    /// - Parameter received: bytes that arrived on the wire since the last call, to be credited when there is room.
    func push(_ messages: [ByteBuffer], received: Int) {
        let (waiter, first, now) = state.withLock { state -> (UnsafeContinuation<Result<ByteBuffer?, GRPCStatus>, Never>?, ByteBuffer?, Int) in
            for message in messages {
                state.messages.append(message)
                state.bytes += message.readableBytes
            }
            var waiter: UnsafeContinuation<Result<ByteBuffer?, GRPCStatus>, Never>?
            var first: ByteBuffer?
            if let waiting = state.waiter, let message = state.messages.popFirst() {
                state.waiter = nil
                state.bytes -= message.readableBytes
                (waiter, first) = (waiting, message)
            }
            state.withheld += received
            guard state.bytes < Self.highWatermark else { return (waiter, first, 0) }
            defer { state.withheld = 0 }
            return (waiter, first, state.withheld)
        }
        if now > 0 { credit(now) }
        if let waiter { waiter.resume(returning: .success(first)) }
    }

    /// No further messages. The first end counts.
    func finish(_ end: Result<Void, GRPCStatus>) {
        let waiter = state.withLock { state -> UnsafeContinuation<Result<ByteBuffer?, GRPCStatus>, Never>? in
            if state.end == nil { state.end = end }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: end.map { nil })
    }

    /// The next message, nil at a good end. One reader at a time.
    func next() async throws(GRPCStatus) -> ByteBuffer? {
        let result = await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Result<ByteBuffer?, GRPCStatus>, Never>) in
                let (answer, now) = state.withLock { state -> (Result<ByteBuffer?, GRPCStatus>?, Int) in
                    if let message = state.messages.popFirst() {
                        state.bytes -= message.readableBytes
                        guard state.bytes < Self.highWatermark, state.withheld > 0 else { return (.success(message), 0) }
                        defer { state.withheld = 0 }
                        return (.success(message), state.withheld)
                    }
                    if let end = state.end { return (end.map { nil }, 0) }
                    if state.isCancelled { return (.failure(GRPCStatus(.cancelled, "cancelled by the caller")), 0) }
                    // Two calls of a client can name the same stream: that must not end the program.
                    if state.waiter != nil { return (.failure(GRPCStatus(.failedPrecondition, "another reader waits for this stream's messages")), 0) }
                    state.waiter = continuation
                    return (nil, 0)
                }
                if now > 0 { credit(now) }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> UnsafeContinuation<Result<ByteBuffer?, GRPCStatus>, Never>? in
                state.isCancelled = true
                defer { state.waiter = nil }
                return state.waiter
            }
            waiter?.resume(returning: .failure(GRPCStatus(.cancelled, "cancelled by the caller")))
        }
        return try result.get()
    }
}
