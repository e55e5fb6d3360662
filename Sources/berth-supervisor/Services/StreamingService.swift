import BerthDefaults
import ContainerdAPI
import GRPCSocket
import SwiftProtobuf
import Synchronization

/// containerd.services.streaming.v1: a client opens a stream under a name of its own and gives the name to a transfer.
struct StreamingService: GRPCService {
    let streams: StreamRegistry

    func register(in handlers: inout GRPCHandlers) {
        handlers.bidirectional(StreamingAPI.stream) { messages, responses, context in
            let namespace = try context.requireNamespace()
            guard let first = try await messages.next() else { return }
            guard let start = AnyMessages.unpack(first, as: Streaming_StreamInit.self), !start.id.isEmpty else {
                throw StorageError(.invalidArgument, "first message of a stream must be a StreamInit with an id: invalid argument")
            }
            let ended = OneTimeSignal()
            let stream = ClientStream(id: start.id, messages: messages, responses: responses) { ended.set() }
            try streams.add(stream, in: namespace)
            defer { streams.remove(start.id, in: namespace) }
            // The client waits for this before it uses the name.
            try await stream.send(Google_Protobuf_Empty())
            // Whoever the stream belongs to closes it; a client that goes away cancels this task.
            await ended.wait()
        }
    }
}

/// Something that happens once and that one task waits for.
final class OneTimeSignal: Sendable {
    private enum State {
        case open, waiting(UnsafeContinuation<Void, Never>), done
    }

    private let state = Mutex(State.open)

    func set() {
        let waiter = state.withLock { state -> UnsafeContinuation<Void, Never>? in
            defer { state = .done }
            if case .waiting(let continuation) = state { return continuation }
            return nil
        }
        waiter?.resume()
    }

    /// Returns after `set`, or when the task is cancelled.
    func wait() async {
        await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                let isDone = state.withLock { state -> Bool in
                    if case .done = state { return true }
                    state = .waiting(continuation)
                    return false
                }
                if isDone { continuation.resume() }
            }
        } onCancel: {
            set()
        }
    }
}
