import DockerAPI
import Synchronization

/// Messages of a build on their way to its client. The build waits while many of them do.
///
/// One side puts, the other takes.
final class MessageQueue: Sendable {
    private static let limit = 64

    private struct State {
        var messages: [ProgressMessage] = []
        var end: Result<Void, any Error>?
        var isAbandoned = false
        var taker: CheckedContinuation<Void, Never>?
        var putter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// - Throws: `.cancelled` when nobody takes messages any more.
    func put(_ message: ProgressMessage) async throws {
        while true {
            let (isDone, taker) = try state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
                if state.isAbandoned { throw BuildCancellation.error }
                guard state.messages.count < Self.limit else { return (false, nil) }
                state.messages.append(message)
                defer { state.taker = nil }
                return (true, state.taker)
            }
            taker?.resume()
            if isDone { return }
            await withCheckedContinuation { continuation in
                let goesOn = state.withLock { state in
                    if state.messages.count < Self.limit || state.isAbandoned { return true }
                    state.putter = continuation
                    return false
                }
                if goesOn { continuation.resume() }
            }
        }
    }

    /// Nothing more comes.
    func finish(_ error: (any Error)?) {
        let taker = state.withLock { state in
            state.end = error.map { .failure($0) } ?? .success(())
            defer { state.taker = nil }
            return state.taker
        }
        taker?.resume()
    }

    /// Nobody takes any more.
    func abandon() {
        let (taker, putter) = state.withLock { state in
            state.isAbandoned = true
            defer { (state.taker, state.putter) = (nil, nil) }
            return (state.taker, state.putter)
        }
        taker?.resume()
        putter?.resume()
    }

    /// The next message; nil at the end.
    ///
    /// - Throws: what the build ended in, once; after that it is the end.
    func next() async throws -> ProgressMessage? {
        while true {
            let (message, end, putter) = state.withLock { state -> (ProgressMessage?, Result<Void, any Error>?, CheckedContinuation<Void, Never>?) in
                if state.isAbandoned { return (nil, .success(()), nil) }
                guard !state.messages.isEmpty else {
                    defer { if state.end != nil { state.end = .success(()) } }
                    return (nil, state.end, nil)
                }
                defer { state.putter = nil }
                return (state.messages.removeFirst(), nil, state.putter)
            }
            putter?.resume()
            if let message { return message }
            if let end {
                try end.get()
                return nil
            }
            await withCheckedContinuation { continuation in
                let goesOn = state.withLock { state in
                    if !state.messages.isEmpty || state.end != nil || state.isAbandoned { return true }
                    state.taker = continuation
                    return false
                }
                if goesOn { continuation.resume() }
            }
        }
    }
}
