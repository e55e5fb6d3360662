import DockerAPI
import Synchronization

/// One container in memory: its record, who waits for it, and the lock that puts operations on it in a row.
///
/// `record` may be read at any time. Whoever changes it across an `await` (start, exit, remove, rename, update) does so inside `serially`.
final class ManagedContainer: Sendable {
    enum WaitCondition: Sendable { case notRunning, nextExit, removed }

    struct WaitResult: Sendable, Equatable {
        var exitCode: Int
        /// The container could not be removed, or vanished.
        var error: String?
    }

    /// An attach that came before the start.
    struct PendingAttach: Sendable {
        let id: Int
        /// Connects the client to the socket and returns when no output can be lost any more.
        let connect: @Sendable (_ socket: String) async -> Void
        /// The start failed or the container was removed.
        let cancel: @Sendable () -> Void
    }

    private struct Waiter {
        let condition: WaitCondition
        let answer: @Sendable (WaitResult) -> Void
    }

    private struct State {
        /// One of the two is there.
        private var loaded: RecordSnapshot?
        private(set) var stored: StoredContainer?

        init(loaded: RecordSnapshot?, stored: StoredContainer?, mayHaveTask: Bool) {
            self.loaded = loaded
            self.stored = stored
            self.mayHaveTask = mayHaveTask
        }

        var snapshot: RecordSnapshot {
            mutating get {
                if let loaded { return loaded }
                let snapshot = RecordSnapshot(stored!.decoded())
                loaded = snapshot
                stored = nil
                return snapshot
            }
        }

        var record: ContainerRecord {
            mutating get { snapshot.record }
            _modify {
                var record = snapshot.record
                loaded = nil
                defer { loaded = RecordSnapshot(record) }
                yield &record
            }
        }

        /// How lists showed it last, without and with its sizes.
        var listed: [ListedContainer] = []

        var waiters: [Int: Waiter] = [:]
        var nextID = 0
        var pending: [PendingAttach] = []
        var execs: [String: ExecRecord] = [:]
        var health: HealthState?
        var restartTask: Task<Void, Never>?
        var lastRestartDelay: Duration?
        var attached = 0
        var removed = false
        var mayHaveTask: Bool
        var collecting: Task<Void, any Error>?
        var restartsByUser = false
    }

    let id: String
    private let state: Mutex<State>
    private let lock = AsyncLock()

    /// - Parameter mayHaveTask: whether the supervisor may know the container from an earlier life of the daemon.
    init(_ record: ContainerRecord, mayHaveTask: Bool) {
        id = record.id
        state = Mutex(State(loaded: RecordSnapshot(record), stored: nil, mayHaveTask: mayHaveTask))
    }

    /// One that rests: its record is read when somebody asks for it.
    init(_ stored: StoredContainer) {
        id = stored.id
        state = Mutex(State(loaded: nil, stored: stored, mayHaveTask: true))
    }

    /// Its record was not needed since the daemon's start. It does not run.
    var isAtRest: Bool { state.withLock { $0.stored != nil } }
    var isRunning: Bool { state.withLock { $0.stored == nil && $0.snapshot.record.lifecycle.isRunning } }
    var name: String { state.withLock { $0.stored?.name ?? $0.snapshot.record.name } }

    /// Digest of the manifest that it runs.
    var manifest: String { state.withLock { $0.stored?.manifest ?? $0.snapshot.record.image.manifest.digest ?? "" } }

    var imageUser: ImageUser {
        state.withLock { state in
            if let stored = state.stored { return ImageUser(containerID: id, imageID: stored.image, manifest: stored.manifest, isRunning: false) }
            let snapshot = state.snapshot
            return ImageUser(
                containerID: id, imageID: snapshot.record.image.id, manifest: snapshot.record.image.manifest.digest ?? "", isRunning: snapshot.record.lifecycle.isRunning)
        }
    }

    var record: ContainerRecord { snapshot.record }
    var lifecycle: ContainerLifecycle { snapshot.record.lifecycle }
    /// The record as it is now, without a copy of it.
    var snapshot: RecordSnapshot { state.withLock { $0.snapshot } }
    /// The same with the health, for lists.
    var shown: (snapshot: RecordSnapshot, health: String?) { state.withLock { ($0.snapshot, $0.health?.status) } }

    /// How a list showed the container the last time, if it looks the same now; else what `make` says.
    func listed(_ look: ListedContainer.Look, _ snapshot: RecordSnapshot, make: () throws -> [UInt8]) rethrows -> [UInt8] {
        let known = state.withLock { state in state.listed.first { $0.snapshot === snapshot && $0.look == look }?.text }
        if let known { return known }
        let new = ListedContainer(snapshot: snapshot, look: look, text: try make())
        state.withLock { state in
            state.listed.removeAll { $0.snapshot !== snapshot || ($0.look.sizes == nil) == (look.sizes == nil) }
            state.listed.append(new)
        }
        return new.text
    }
    var isRemoved: Bool { state.withLock { $0.removed } }

    /// Whether a task or a container record may exist in the supervisor: from the moment a start makes them until both are known to be gone.
    var mayHaveTask: Bool {
        get { state.withLock { $0.mayHaveTask } }
        set { state.withLock { $0.mayHaveTask = newValue } }
    }

    /// Runs the last step of giving the container up in the supervisor beside whatever else is done with it. Within `serially`.
    func collect(_ body: @escaping @Sendable () async throws -> Void) { state.withLock { $0.collecting = Task { try await body() } } }

    /// Returns when nothing that `collect` began is under way. Asked before anything is made anew under the container's id, and before it is said to be gone.
    /// - Throws: what the step has thrown, once: then `mayHaveTask` still stands.
    func collected() async throws {
        let task = state.withLock { state in
            defer { state.collecting = nil }
            return state.collecting
        }
        try await task?.value
    }

    /// The id as messages show it.
    var shortID: String { String(id.prefix(12)) }

    @discardableResult
    func mutate<T: Sendable>(_ body: (inout ContainerRecord) throws -> T) rethrows -> T { try state.withLock { try body(&$0.record) } }

    /// Runs `body` when every earlier operation on this container is done.
    func serially<T: Sendable>(_ body: () async throws -> T) async throws -> T {
        await lock.acquire()
        do {
            let result = try await body()
            lock.release()
            return result
        } catch {
            lock.release()
            throw error
        }
    }

    // MARK: Waiting

    /// Answers as soon as the condition holds. A cancelled wait answers with the present exit code.
    func wait(_ condition: WaitCondition) async -> WaitResult { await beginWait(condition).result() }

    /// A wait that counts from now on, whenever its result is asked for: nothing that happens in between is missed.
    func beginWait(_ condition: WaitCondition) -> ContainerWait {
        let (results, continuation) = AsyncStream.makeStream(of: WaitResult.self)
        let answer: @Sendable (WaitResult) -> Void = { result in
            continuation.yield(result)
            continuation.finish()
        }
        let (id, now) = state.withLock { state -> (Int, WaitResult?) in
            state.nextID += 1
            let lifecycle = state.snapshot.record.lifecycle
            let holds = state.removed || condition == .notRunning && !lifecycle.isRunning && !lifecycle.isRestarting
            if holds { return (state.nextID, WaitResult(exitCode: lifecycle.exitCode)) }
            state.waiters[state.nextID] = Waiter(condition: condition, answer: answer)
            return (state.nextID, nil)
        }
        if let now { answer(now) }
        continuation.onTermination = { [weak self] _ in
            // Never inside the lock: answers are given after it was released.
            self?.state.withLock { _ = $0.waiters.removeValue(forKey: id) }
        }
        return ContainerWait(container: self, results: results)
    }

    /// The process ended: `nextExit` and `notRunning` are answered, as in dockerd also when it will be restarted.
    func answerExitWaiters(exitCode: Int) { takeExitWaiters()(exitCode) }

    /// Those who wait for the end of the present life, to be answered by the call of what is returned. Who comes after this waits for the next one.
    func takeExitWaiters() -> (_ exitCode: Int) -> Void {
        let ready = state.withLock { state in
            let ready = state.waiters.filter { $0.value.condition != .removed }
            for key in ready.keys { state.waiters[key] = nil }
            return ready
        }
        return { exitCode in
            for waiter in ready.values { waiter.answer(WaitResult(exitCode: exitCode)) }
        }
    }

    /// The container is gone, or its removal failed.
    func answerRemovalWaiters(error: String?) {
        let (ready, code) = state.withLock { state in
            if error == nil { state.removed = true }
            let ready = error == nil ? state.waiters : state.waiters.filter { $0.value.condition == .removed }
            for key in ready.keys { state.waiters[key] = nil }
            return (ready, state.snapshot.record.lifecycle.exitCode)
        }
        for waiter in ready.values { waiter.answer(WaitResult(exitCode: code, error: error)) }
    }

    // MARK: Attach before start

    func addPending(connect: @escaping @Sendable (String) async -> Void, cancel: @escaping @Sendable () -> Void) {
        state.withLock { state in
            state.nextID += 1
            state.pending.append(PendingAttach(id: state.nextID, connect: connect, cancel: cancel))
        }
    }

    var pendingCount: Int { state.withLock { $0.pending.count } }

    func takePending() -> [PendingAttach] {
        state.withLock { state in
            defer { state.pending = [] }
            return state.pending
        }
    }

    // MARK: Execs, health, restart

    var execIDs: [String] { state.withLock { state in state.execs.values.filter { $0.isListed }.map { $0.id }.sorted() } }
    func exec(_ id: String) -> ExecRecord? { state.withLock { $0.execs[id] } }
    func setExec(_ exec: ExecRecord) { state.withLock { $0.execs[exec.id] = exec } }
    func removeExec(_ id: String) { state.withLock { $0.execs[id] = nil } }
    var execs: [ExecRecord] { state.withLock { Array($0.execs.values) } }

    @discardableResult
    func mutateExec<T: Sendable>(_ id: String, _ body: (inout ExecRecord) -> T) -> T? {
        state.withLock { state in
            guard var exec = state.execs[id] else { return nil }
            defer { state.execs[id] = exec }
            return body(&exec)
        }
    }

    var health: HealthState? { state.withLock { $0.health } }
    func setHealth(_ health: HealthState?) { state.withLock { $0.health = health } }
    func mutateHealth(_ body: (inout HealthState) -> Void) {
        state.withLock { state in
            guard var health = state.health else { return }
            body(&health)
            state.health = health
        }
    }

    /// Remembers the task that will restart the container; an earlier one is cancelled.
    func setRestart(_ task: Task<Void, Never>?, delay: Duration?) {
        let old = state.withLock { state in
            let old = state.restartTask
            state.restartTask = task
            state.lastRestartDelay = delay
            return old
        }
        old?.cancel()
    }

    /// `docker restart` is between its stop and its start: the end of the process is not that of an auto-removed container.
    var restartsByUser: Bool {
        get { state.withLock { $0.restartsByUser } }
        set { state.withLock { $0.restartsByUser = newValue } }
    }

    var lastRestartDelay: Duration? { state.withLock { $0.lastRestartDelay } }
}

/// A wait in progress.
struct ContainerWait: Sendable {
    fileprivate let container: ManagedContainer
    fileprivate let results: AsyncStream<ManagedContainer.WaitResult>

    /// Returns early, with an error, when the waiting task is cancelled.
    func result() async -> ManagedContainer.WaitResult {
        for await result in results { return result }
        return .init(exitCode: container.lifecycle.exitCode, error: "context canceled")
    }
}

/// A lock for code that awaits while holding it: first come, first served.
final class AsyncLock: Sendable {
    private struct State {
        var held = false
        var queue: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func acquire() async {
        if state.withLock({ state in
            defer { state.held = true }
            return !state.held
        }) {
            return
        }
        await withCheckedContinuation { continuation in
            let free = state.withLock { state in
                if !state.held {
                    state.held = true
                    return true
                }
                state.queue.append(continuation)
                return false
            }
            if free { continuation.resume() }
        }
    }

    func release() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard !state.queue.isEmpty else {
                state.held = false
                return nil
            }
            return state.queue.removeFirst()
        }
        next?.resume()
    }
}
