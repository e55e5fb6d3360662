import DockerAPI
import Synchronization

/// `/events` for any number of readers, with a short memory for `since`.
///
/// Publishing never waits: a reader that falls more than `readerBacklog` events behind is cut off, as it would be with a full socket.
final class EventHub: Sendable {
    struct Event: Sendable {
        let message: EventMessage
        let nanoseconds: Int64
    }

    private struct State {
        var recent: [Event] = []
        var readers: [Int: AsyncStream<Event>.Continuation] = [:]
        var nextReader = 0
    }

    /// dockerd keeps as many.
    private static let memory = 256
    private static let readerBacklog = 8192
    private let state = Mutex(State())

    var readerCount: Int { state.withLock { $0.readers.count } }

    /// `type`: container image network volume daemon. `attributes` are what filters and `--format` see, `name` among them.
    func publish(type: String, action: String, id: String, attributes: [String: String]) {
        let now = WallClock.now()
        var message = EventMessage()
        message.Type = type
        message.Action = action
        message.Actor = .init(ID: id, Attributes: attributes)
        message.scope = "local"
        message.time = now.seconds
        message.timeNano = now.nanosecondsSinceEpoch
        if type == "container" || type == "image" {
            message.status = action
            message.id = id
            if type == "container" { message.from = attributes["image"] }
        }
        let event = Event(message: message, nanoseconds: now.nanosecondsSinceEpoch)
        state.withLock { state in
            if state.recent.count >= Self.memory { state.recent.removeFirst(state.recent.count - Self.memory + 1) }
            state.recent.append(event)
            for (id, reader) in state.readers {
                if case .dropped = reader.yield(event) {
                    reader.finish()
                    state.readers[id] = nil
                }
            }
        }
    }

    /// What happened since `since` (nanoseconds; nil: nothing of the past) and then, in order and without a gap, what happens.
    func subscribe(since: Int64?) -> (past: [Event], live: AsyncStream<Event>) {
        let (stream, continuation) = AsyncStream.makeStream(of: Event.self, bufferingPolicy: .bufferingOldest(Self.readerBacklog))
        let past = state.withLock { state in
            let id = state.nextReader
            state.nextReader += 1
            state.readers[id] = continuation
            continuation.onTermination = { [weak self] _ in self?.forget(id) }
            guard let since else { return [Event]() }
            return state.recent.filter { $0.nanoseconds >= since }
        }
        return (past, stream)
    }

    private func forget(_ id: Int) {
        // Called while the lock is held when `publish` finishes a reader itself; that one is removed there.
        Task { self.state.withLock { $0.readers[id] = nil } }
    }
}
