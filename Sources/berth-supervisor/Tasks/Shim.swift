import BerthDefaults
import ContainerdAPI
import GRPCSocket
import Synchronization

/// A task's live shim: its bundle and the connection to it.
final class Shim: Sendable {
    let bundle: Bundle
    let connection: ShimConnection

    var key: TaskKey { bundle.key }
    var id: String { bundle.key.id }

    private struct State {
        /// Delete has been asked for: the end of the connection is what we want.
        var isLeaving = false
        var hasClosed = false
        var closeWaiters: [UnsafeContinuation<Void, Never>] = []
        /// What the clean-up after a shim that died has found, for those who waited for the task.
        var death: Shim_DeleteResponse?
        var deathWaiters: [UnsafeContinuation<Shim_DeleteResponse?, Never>] = []
        var isBuried = false
    }

    private let state = Mutex(State())

    init(bundle: Bundle, connection: ShimConnection) {
        self.bundle = bundle
        self.connection = connection
    }

    /// Watches for the end of the connection.
    /// - Parameter died: called when it was not asked for.
    func watch(died: @escaping @Sendable (Shim) -> Void) {
        connection.whenClosed { [self] in
            let (waiters, isLeaving) = state.withLock { state in
                state.hasClosed = true
                defer { state.closeWaiters = [] }
                return (state.closeWaiters, state.isLeaving)
            }
            for waiter in waiters { waiter.resume() }
            if !isLeaving { died(self) }
        }
    }

    /// From now on the shim may go.
    func expectEnd() { state.withLock { $0.isLeaving = true } }

    func stay() { state.withLock { $0.isLeaving = false } }

    /// Returns when the connection has ended or after `timeout`.
    /// - Returns: whether it has ended.
    func waitForEnd(timeout: Duration) async -> Bool {
        let timer = Task {
            try await Task.sleep(for: timeout)
            giveUpWaiting()
        }
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let closed = state.withLock { state -> Bool in
                if !state.hasClosed { state.closeWaiters.append(continuation) }
                return state.hasClosed
            }
            if closed { continuation.resume() }
        }
        timer.cancel()
        return state.withLock { $0.hasClosed }
    }

    private func giveUpWaiting() {
        let waiters = state.withLock { state in
            defer { state.closeWaiters = [] }
            return state.closeWaiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// The exit that was found after the shim died; nil when the task was deleted in the ordinary way.
    func exitAfterDeath() async -> Shim_DeleteResponse? {
        await withUnsafeContinuation { continuation in
            let answer = state.withLock { state -> Shim_DeleteResponse?? in
                if state.isBuried || state.isLeaving { return .some(state.death) }
                state.deathWaiters.append(continuation)
                return nil
            }
            if let answer { continuation.resume(returning: answer) }
        }
    }

    func bury(_ exit: Shim_DeleteResponse?) {
        let waiters = state.withLock { state in
            state.death = exit
            state.isBuried = true
            defer { state.deathWaiters = [] }
            return state.deathWaiters
        }
        for waiter in waiters { waiter.resume(returning: exit) }
    }

    /// A call of the task API.
    func call<Request, Response>(
        _ method: RPCMethod<Request, Response>, _ request: Request, timeout: Duration? = nil
    ) async throws(GRPCStatus) -> Response {
        try await connection.call(method, request, timeout: timeout)
    }
}
