import BerthDefaults
import Synchronization

/// The wish of a client that went away. A build looks at it between its steps and brings what it has begun to its end, so that nothing half done is left.
final class BuildCancellation: Sendable {
    private struct State {
        var isCancelled = false
        var interrupt: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    func cancel() {
        let interrupt = state.withLock { state in
            state.isCancelled = true
            defer { state.interrupt = nil }
            return state.interrupt
        }
        interrupt?()
    }

    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    /// - Throws: `.cancelled` once somebody has asked for it.
    func check() throws { if isCancelled { throw Self.error } }

    static let error = DaemonError(.cancelled, "build cancelled")

    /// Runs `body`, which takes long and ends early when `interrupt` was called.
    func during<Value>(_ interrupt: @escaping @Sendable () -> Void, _ body: () async throws -> Value) async throws -> Value {
        let isLate = state.withLock { state in
            if !state.isCancelled { state.interrupt = interrupt }
            return state.isCancelled
        }
        if isLate { throw Self.error }
        defer { state.withLock { $0.interrupt = nil } }
        let value = try await body()
        try check()
        return value
    }

    /// The same for work that ends when its task is cancelled.
    func during<Value: Sendable>(task body: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let task = Task { try await body() }
        return try await during({ task.cancel() }) { try await task.value }
    }
}
