import BerthDefaults
import ContainerdAPI
import GRPCSocket
import NIOCore
import SwiftProtobuf
import Synchronization

/// A task's live shim: its bundle and the connection to it.
///
/// A connection that breaks is not the end of a shim: it is made again, and only when nobody listens on the shim's socket any more the shim is gone.
/// (Taking a broken connection for a death would end the container, since that is what cleaning up after a shim does.)
final class Shim: Sendable {
    let bundle: Bundle
    private let bootstrap: Bundle.Bootstrap
    private let loop: any EventLoop

    var key: TaskKey { bundle.key }
    var id: String { bundle.key.id }

    private enum Link {
        case open(ShimConnection)
        /// Whether the shim lives is being found out.
        case lost
        case ended
    }

    private struct State {
        var link: Link
        /// Delete has been asked for: the end of the shim is what we want.
        var isLeaving = false
        /// Connections in a row on which nothing was ever answered.
        var fruitless = 0
        /// Those who wait for the link to be open or ended, by number.
        var waiters: [UInt64: UnsafeContinuation<Void, Never>] = [:]
        var nextWaiter: UInt64 = 0
        var reconnection: Task<Void, Never>?
        var died: (@Sendable (Shim) -> Void)?
        /// How the task's first process ended, as far as we have heard.
        var exit: Shim_DeleteResponse?
        /// What the clean-up after a shim that died has found, for those who waited for the task.
        var death: Shim_DeleteResponse?
        var deathWaiters: [UnsafeContinuation<Shim_DeleteResponse?, Never>] = []
        var isBuried = false
        /// Asks until it is answered, after a question was not.
        var patience: Task<Void, Never>?
    }

    private static let longestFruitlessness = 20
    private static let pauseBetweenAttempts = Duration.milliseconds(50)

    private let state: Mutex<State>

    private init(bundle: Bundle, bootstrap: Bundle.Bootstrap, connection: ShimConnection) {
        self.bundle = bundle
        self.bootstrap = bootstrap
        loop = connection.loop
        state = Mutex(State(link: .open(connection)))
    }

    /// Connects to the shim of `bundle`.
    /// - Throws: `unavailable` when nobody listens there, `deadlineExceeded` when it does not accept for now.
    static func connect(_ bundle: Bundle, to bootstrap: Bundle.Bootstrap, on loop: any EventLoop) async throws(GRPCStatus) -> Shim {
        Shim(bundle: bundle, bootstrap: bootstrap, connection: try await ShimConnection.connect(bundle.key, to: bootstrap, on: loop))
    }

    /// Watches over the connection from now on.
    /// - Parameter died: called when the shim has ended and that was not asked for.
    func watch(died: @escaping @Sendable (Shim) -> Void) {
        let connection = state.withLock { state -> ShimConnection? in
            state.died = died
            if case .open(let connection) = state.link { return connection }
            return nil
        }
        if let connection { watch(connection) }
    }

    // MARK: The connection

    private func watch(_ connection: ShimConnection) { connection.whenClosed { [self] in lost(connection, hadAnswers: $0) } }

    private func lost(_ connection: ShimConnection, hadAnswers: Bool) {
        state.withLock { state in
            guard case .open(let current) = state.link, current === connection else { return }
            state.link = .lost
            state.fruitless = hadAnswers ? 0 : state.fruitless + 1
            let isHopeless = state.fruitless > Self.longestFruitlessness
            let isRepeated = state.fruitless > 1
            state.reconnection = Task { [self] in
                if isHopeless { return ended() }
                if isRepeated { try? await Task.sleep(for: Self.pauseBetweenAttempts) }
                await reconnect()
            }
        }
    }

    private func reconnect() async {
        while true {
            do throws(GRPCStatus) {
                let connection = try await ShimConnection.connect(key, to: bootstrap, on: loop)
                let isWanted = state.withLock { state in
                    guard case .lost = state.link else { return false }
                    state.link = .open(connection)
                    return true
                }
                guard isWanted else { return connection.close() }
                watch(connection)
                resumeWaiters()
                if !state.withLock({ $0.isLeaving }) { Log.info("connected to a shim again", ["container": id, "namespace": key.namespace]) }
                return
            } catch {
                if error.code == .unavailable { return ended() }
                try? await Task.sleep(for: Self.pauseBetweenAttempts)
            }
        }
    }

    private func ended() {
        let died = state.withLock { state -> (@Sendable (Shim) -> Void)? in
            if case .ended = state.link { return nil }
            state.link = .ended
            return state.isLeaving ? nil : state.died
        }
        resumeWaiters()
        died?(self)
    }

    private func resumeWaiters() {
        let waiters = state.withLock { state in
            defer { state.waiters = [:] }
            return state.waiters
        }
        for waiter in waiters.values { waiter.resume() }
    }

    /// Waits for a change of the link, or for `timeout`.
    /// - Parameter isSettled: whether there is nothing to wait for, asked inside the lock.
    private func waitForChange(timeout: Duration?, unless isSettled: @Sendable (Link) -> Bool) async {
        var timer: Scheduled<Void>?
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let number = state.withLock { state -> UInt64? in
                if isSettled(state.link) { return nil }
                state.nextWaiter += 1
                state.waiters[state.nextWaiter] = continuation
                return state.nextWaiter
            }
            guard let number else { return continuation.resume() }
            guard let timeout else { return }
            timer = loop.scheduleTask(in: TimeAmount(timeout)) { [self] in state.withLock { $0.waiters.removeValue(forKey: number) }?.resume() }
        }
        timer?.cancel()
    }

    /// Lets go of a shim that does not end.
    func abandon() {
        let connection = state.withLock { state -> ShimConnection? in
            defer { state.link = .ended }
            if case .open(let connection) = state.link { return connection }
            return nil
        }
        resumeWaiters()
        connection?.close()
    }

    // MARK: Its end

    /// From now on the shim may go.
    func expectEnd() { state.withLock { $0.isLeaving = true } }

    func stay() { state.withLock { $0.isLeaving = false } }

    /// Returns when the shim has ended or after `timeout`.
    /// - Returns: whether it has ended.
    func waitForEnd(timeout: Duration) async -> Bool {
        let deadline = ContinuousClock.now + timeout
        while true {
            if hasEnded { return true }
            let left = deadline - ContinuousClock.now
            guard left > .zero else { return false }
            await waitForChange(timeout: left) { if case .ended = $0 { true } else { false } }
        }
    }

    var hasEnded: Bool { state.withLock { if case .ended = $0.link { true } else { false } } }

    /// How the task's first process ended, for a Delete whose answer was lost.
    var exit: Shim_DeleteResponse? {
        get { state.withLock { $0.exit } }
        set { state.withLock { $0.exit = newValue } }
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

    // MARK: Calls

    /// A call of the task API. While the connection is being made again it waits.
    /// - Parameter repeats: for a call that may be carried out twice: it is made again when the connection breaks before its answer.
    /// - Throws: `unavailable` when the shim has ended, or when the connection broke and it is not known whether the call was carried out.
    func call<Request, Response>(
        _ method: RPCMethod<Request, Response>, _ request: Request, timeout: Duration? = nil, repeats: Bool = false
    ) async throws(GRPCStatus) -> Response {
        let deadline = timeout.map { ContinuousClock.now + $0 }
        while true {
            let left = deadline.map { max(.milliseconds(1), $0 - ContinuousClock.now) }
            switch state.withLock({ $0.link }) {
            case .ended: throw GRPCStatus(.unavailable, "shim of \(key): it has ended")
            case .lost:
                await waitForChange(timeout: left) { if case .lost = $0 { false } else { true } }
                if let deadline, ContinuousClock.now >= deadline {
                    throw GRPCStatus(.deadlineExceeded, "shim of \(key): no connection for \(method.name) within \(timeout ?? .zero)")
                }
            case .open(let connection):
                do throws(GRPCStatus) { return try await connection.call(method, request, timeout: left) } catch {
                    guard repeats, error.code == .unavailable, connection.hasClosed else { throw error }
                }
            }
        }
    }

    // MARK: Silence

    /// Whether a question has not been answered in time, and nothing has since.
    var isSilent: Bool { state.withLock { $0.patience != nil } }

    /// A question was not answered in time: until one is, the shim counts as silent, and is not waited for where others are.
    func fallSilent() {
        state.withLock { state in
            guard state.patience == nil else { return }
            state.patience = Task { [self] in
                _ = try? await call(ShimAPI.state, .with { $0.id = id }, repeats: true)
                wakeUp()
            }
        }
    }

    private func wakeUp() { state.withLock { $0.patience = nil } }
}
