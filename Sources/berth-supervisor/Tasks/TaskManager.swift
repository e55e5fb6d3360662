import BerthDefaults
import ContainerdAPI
import GRPCSocket
import LinuxSystem
import NIOCore
import SwiftProtobuf
import Synchronization

/// Which container has which shim: starts them, finds them again after a restart, notices when one dies.
///
/// Holds no lock while anybody works: a task that starts, stops or hangs has its own entry, and calls for other tasks never meet it.
final class TaskManager: Sendable {
    private enum Entry: Sendable {
        /// A Create is under way; to everybody else the task does not exist yet.
        case starting
        /// After our restart: the shim is being asked whether it lives.
        case recovering(Task<Shim?, Never>)
        case live(Shim)
        /// The task is gone for clients; its shim and bundle are being removed.
        case cleaning(Task<Void, Never>)
    }

    private static let shutdownTimeout = Duration.seconds(3)
    private static let recoveryTimeout = Duration.seconds(5)
    /// How long a creation that nobody waits for may go on in its shim.
    private static let creationTimeout = Duration.seconds(60)
    private static let connectPause = Duration.milliseconds(100)

    private let root: String
    private let launcher: ShimLauncher
    private let logs: ShimLogs
    private let events: EventExchange
    private let exits = PublishedExits()
    private let group: any EventLoopGroup
    private let checkpoints: CheckpointDirectories
    private let entries = Mutex<[TaskKey: Entry]>([:])

    /// - Parameter root: the directory of all bundles, `<state>/shims`.
    init(root: String, launcher: ShimLauncher, logs: ShimLogs, events: EventExchange, group: any EventLoopGroup, checkpoints: CheckpointDirectories) {
        self.root = root
        self.launcher = launcher
        self.logs = logs
        self.events = events
        self.group = group
        self.checkpoints = checkpoints
    }

    private static func missing(_ key: TaskKey) -> SupervisorError { SupervisorError(.notFound, "task \(key.id) not found: not found") }

    // MARK: Finding

    /// The task's shim. Waits for one that is being recovered.
    /// - Throws: notFound.
    func shim(of key: TaskKey) async throws -> Shim {
        switch entries.withLock({ $0[key] }) {
        case .live(let shim): return shim
        case .recovering(let task):
            guard let shim = await task.value else { throw Self.missing(key) }
            return shim
        case .starting, .cleaning, nil: throw Self.missing(key)
        }
    }

    /// All tasks of a namespace, by id.
    func shims(in namespace: String) async -> [Shim] {
        var found: [Shim] = []
        for (key, entry) in entries.withLock({ $0 }) where key.namespace == namespace {
            switch entry {
            case .live(let shim): found.append(shim)
            case .recovering(let task): if let shim = await task.value { found.append(shim) }
            case .starting, .cleaning: break
            }
        }
        return found.sorted { $0.id < $1.id }
    }

    // MARK: Creating

    /// What `create` needs beside the task's name.
    struct CreateRequest: Sendable {
        /// The runtime's name or the path of its shim.
        var runtime: String
        /// config.json
        var spec: [UInt8]
        var options: Google_Protobuf_Any?
        var rootfs: [Types_Mount]
        var stdin: String
        var stdout: String
        var stderr: String
        var terminal: Bool
    }

    /// Starts the shim and creates the task in it.
    /// - Parameter checkpoint: the directory of CRIU's images of which the task is to be made, empty for a new one. Asked when the name is taken.
    /// - Returns: the pid of the container's first process, which waits for Start; 0 for one that is restored then.
    func create(_ key: TaskKey, _ request: CreateRequest, checkpoint: @Sendable () async throws -> String = { "" }) async throws -> UInt32 {
        let binary = try ShimLauncher.binary(forRuntime: request.runtime)
        try await reserve(key)
        let bundle = Bundle(key: key, root: root)
        let (shim, images): (Shim, String)
        do {
            images = try await checkpoint()
            let launcher = launcher
            let bootstrap = try await BlockingThread.run {
                try launcher.start(bundle, spec: request.spec, binary: binary, options: request.options)
            }
            do {
                shim = try await Shim.connect(bundle, to: bootstrap, on: group.next())
            } catch {
                // It said that it serves, and does not: nothing of it may stay.
                _ = try? await BlockingThread.run { try launcher.delete(bundle) }
                throw error
            }
        } catch {
            forget(key)
            throw error
        }
        do {
            let response = try await shim.call(
                ShimAPI.create,
                .with {
                    $0.id = key.id
                    $0.bundle = bundle.path
                    $0.rootfs = request.rootfs
                    $0.terminal = request.terminal
                    $0.stdin = request.stdin
                    $0.stdout = request.stdout
                    $0.stderr = request.stderr
                    $0.checkpoint = images
                    if let options = request.options { $0.options = options }
                })
            entries.withLock { $0[key] = .live(shim) }
            shim.watch { [self] shim in died(shim) }
            return response.pid
        } catch {
            shim.expectEnd()
            shim.watch { _ in }
            startCleaning(shim, isHalfMade: true)
            throw error
        }
    }

    /// Takes the name, after a predecessor is completely gone.
    private func reserve(_ key: TaskKey) async throws {
        while true {
            let entry = entries.withLock { entries -> Entry? in
                if entries[key] == nil { entries[key] = .starting }
                else { return entries[key] }
                return nil
            }
            switch entry {
            case nil: return
            case .cleaning(let task): await task.value
            case .recovering(let task): _ = await task.value
            case .starting, .live: throw SupervisorError(.alreadyExists, "task \(key.id): already exists")
            }
            try Task.checkCancellation()
            // The entry goes a moment after its task has ended.
            if case .recovering = entry { continue }
            await Task.yield()
        }
    }

    // MARK: Deleting

    /// Deletes a stopped task. Answers when the shim has let go of the container; shim and bundle go afterwards.
    func delete(_ key: TaskKey) async throws -> Shim_DeleteResponse {
        let shim = try await shim(of: key)
        let response: Shim_DeleteResponse
        shim.expectEnd()
        do {
            response = try await shim.call(ShimAPI.delete, .with { $0.id = key.id }, repeats: true)
        } catch {
            // The connection broke before the answer, and the task that was deleted is not there to be deleted again.
            if error.code == .notFound {
                // Neither is one there that we died in the middle of making: a shim without a task has no reason to stay, and would keep the name.
                startCleaning(shim, isHalfMade: false)
                if let exit = shim.exit { return exit }
                throw error
            }
            shim.stay()
            // The shim went away in the middle: what its clean-up finds is the answer.
            if error.code == .unavailable, shim.hasEnded {
                if isCurrent(shim) { died(shim) }
                if let exit = await shim.exitAfterDeath() { return exit }
            }
            throw error
        }
        // What a shim says about its own end is not waited for: whoever counts our descriptors after a delete finds none of the task's.
        logs.forget(key)
        startCleaning(shim, isHalfMade: false)
        return response
    }

    /// Whether it is the one that holds its task's name, and is not being cleaned up.
    private func isCurrent(_ shim: Shim) -> Bool { entries.withLock { if case .live(let current)? = $0[shim.key] { current === shim } else { false } } }

    /// Lets the shim end and removes the bundle, while the task's name stays taken.
    /// - Parameter isHalfMade: the creation failed or was given up: there may be a container, and it has to go first.
    private func startCleaning(_ shim: Shim, isHalfMade: Bool) {
        entries.withLock { entries in
            // Once: a second cleaning would end after the name was given to somebody else.
            if !isHalfMade { guard case .live(let current)? = entries[shim.key], current === shim else { return } }
            // Inside the lock: the entry must be there before the task takes it away.
            entries[shim.key] = .cleaning(
                Task { [self] in
                    if isHalfMade { await abandon(shim) }
                    _ = try? await shim.call(ShimAPI.shutdown, .with { $0.id = shim.id }, timeout: Self.shutdownTimeout)
                    if await !shim.waitForEnd(timeout: Self.shutdownTimeout) {
                        Log.warn("a shim does not end", ["container": shim.id, "namespace": shim.key.namespace])
                        shim.abandon()
                    }
                    shim.bury(nil)
                    await removeBundle(shim.bundle)
                })
        }
    }

    /// Kills and deletes what a failed creation may have left in its shim. One that was given up in the middle goes on in the shim until it is through.
    private func abandon(_ shim: Shim) async {
        let deadline = ContinuousClock.now + Self.creationTimeout
        while ContinuousClock.now < deadline {
            do {
                _ = try await shim.call(ShimAPI.delete, .with { $0.id = shim.id }, timeout: Self.recoveryTimeout)
                return
            } catch {
                guard error.code != .notFound, error.code != .unavailable else { return }
                let kill = Shim_KillRequest.with {
                    $0.id = shim.id
                    $0.signal = 9
                    $0.all = true
                }
                _ = try? await shim.call(ShimAPI.kill, kill, timeout: Self.recoveryTimeout)
                try? await Task.sleep(for: Self.connectPause)
            }
        }
    }

    private func removeBundle(_ bundle: Bundle) async {
        do { try await BlockingThread.run { try bundle.remove() } } catch {
            Log.error("cannot remove a bundle", ["container": bundle.key.id, "namespace": bundle.key.namespace, "error": "\(error)"])
        }
        forget(bundle.key)
    }

    private func forget(_ key: TaskKey) {
        logs.forget(key)
        exits.forget(key)
        checkpoints.remove(of: key)
        entries.withLock { $0[key] = nil }
    }

    // MARK: Dead shims

    /// The shim is gone and nobody asked for it: its container ends with it. Cleans up and reports the exit.
    private func died(_ shim: Shim) {
        Log.warn("shim disconnected, cleaning up", ["container": shim.id, "namespace": shim.key.namespace])
        entries.withLock { entries in
            entries[shim.key] = .cleaning(
                Task { [self] in
                    let exit = await bury(shim.bundle)
                    shim.bury(exit)
                    forget(shim.key)
                })
        }
    }

    /// Runs the shim's `delete` and publishes how the container ended.
    private func bury(_ bundle: Bundle) async -> Shim_DeleteResponse {
        var exit: Shim_DeleteResponse
        do {
            exit = try await BlockingThread.run { [launcher] in try launcher.delete(bundle) }
        } catch {
            Log.error("cannot clean up after a shim", ["container": bundle.key.id, "namespace": bundle.key.namespace, "error": "\(error)"])
            exit = .with {
                $0.exitStatus = 255
                $0.exitedAt = Timestamps.proto(Clock.now)
            }
        }
        if !exit.hasExitedAt { exit.exitedAt = Timestamps.proto(Clock.now) }
        if exits.claim(bundle) {
            events.publish(
                Events_TaskExit.with {
                    $0.containerID = bundle.key.id
                    $0.id = bundle.key.id
                    $0.pid = exit.pid
                    $0.exitStatus = exit.exitStatus
                    $0.exitedAt = exit.exitedAt
                }, topic: "/tasks/exit", namespace: bundle.key.namespace)
        }
        events.publish(
            Events_TaskDelete.with {
                $0.containerID = bundle.key.id
                $0.pid = exit.pid
                $0.exitStatus = exit.exitStatus
                $0.exitedAt = exit.exitedAt
            }, topic: "/tasks/delete", namespace: bundle.key.namespace)
        return exit
    }

    // MARK: Events of shims

    /// An event that a shim forwards: goes on to the subscribers, an exit at most once.
    func received(_ envelope: Types_Envelope) throws {
        if envelope.topic == "/tasks/exit", let exit = AnyMessages.unpack(envelope.event, as: Events_TaskExit.self), exit.id == exit.containerID {
            let key = TaskKey(namespace: envelope.namespace, id: exit.containerID)
            if case .live(let shim)? = entries.withLock({ $0[key] }) {
                shim.exit = .with {
                    $0.pid = exit.pid
                    $0.exitStatus = exit.exitStatus
                    $0.exitedAt = exit.exitedAt
                }
            }
            if entries.withLock({ $0[key] != nil }), !exits.claim(Bundle(key: key, root: root)) { return }
        }
        try events.forward(envelope)
    }

    // MARK: After a restart

    /// Looks for the shims of an earlier life. Returns as soon as their names are taken; the shims are then asked side by side.
    /// - Returns: how many there are.
    @discardableResult
    func recover() throws -> Int {
        guard Files.exists(root) else { return 0 }
        var count = 0
        for namespace in try Files.entries(of: root) {
            for id in try Files.entries(of: "\(root)/\(namespace)") {
                let bundle = Bundle(key: TaskKey(namespace: namespace, id: id), root: root)
                exits.restore(bundle)
                count += 1
                // The entry must be there before the task looks at it.
                entries.withLock { entries in entries[bundle.key] = .recovering(Task { [self] in await recover(bundle) }) }
            }
        }
        if count > 0 { Log.info("looking for shims of an earlier run", ["count": "\(count)"]) }
        return count
    }

    /// Connects to the shim. What happened to its task meanwhile is asked afterwards: a shim that does not answer holds up nobody who asks for it.
    private func recover(_ bundle: Bundle) async -> Shim? {
        do {
            let shim = try await findAgain(bundle)
            logs.follow(bundle)
            entries.withLock { $0[bundle.key] = .live(shim) }
            shim.watch { [self] shim in died(shim) }
            Task { [self] in
                if await !reportMissedExit(shim) { startCleaning(shim, isHalfMade: false) }
            }
            return shim
        } catch {
            Log.warn("no shim answers for a bundle, cleaning up", ["container": bundle.key.id, "namespace": bundle.key.namespace, "reason": "\(error)"])
            if (try? bundle.loadBootstrap()) != nil {
                _ = await bury(bundle)
            } else {
                // We died in the middle of its start: nobody has heard of it.
                _ = try? await BlockingThread.run { [launcher] in try launcher.delete(bundle) }
            }
            forget(bundle.key)
            return nil
        }
    }

    /// - Throws: when nobody listens on the shim's socket. As long as somebody does, the shim lives, however long it takes to accept.
    private func findAgain(_ bundle: Bundle) async throws -> Shim {
        let bootstrap = try bundle.loadBootstrap()
        while true {
            do throws(GRPCStatus) { return try await Shim.connect(bundle, to: bootstrap, on: group.next()) } catch {
                guard error.code == .deadlineExceeded else { throw error }
                try await Task.sleep(for: Self.connectPause)
            }
        }
    }

    /// Publishes the exit of a task that has stopped and of which nobody has heard.
    /// - Returns: whether the shim has a task at all: we may have died between its start and the task's creation.
    private func reportMissedExit(_ shim: Shim) async -> Bool {
        let state: Shim_StateResponse
        do { state = try await shim.call(ShimAPI.state, .with { $0.id = shim.id }, repeats: true) } catch {
            if error.code == .notFound { shim.expectEnd() }
            return error.code != .notFound
        }
        guard state.status == .stopped else { return true }
        shim.exit = .with {
            $0.pid = state.pid
            $0.exitStatus = state.exitStatus
            $0.exitedAt = state.exitedAt
        }
        guard exits.claim(shim.bundle) else { return true }
        events.publish(
            Events_TaskExit.with {
                $0.containerID = shim.id
                $0.id = shim.id
                $0.pid = state.pid
                $0.exitStatus = state.exitStatus
                $0.exitedAt = state.exitedAt
            }, topic: "/tasks/exit", namespace: shim.key.namespace)
        return true
    }
}
