import BerthDefaults
import ContainerdAPI
import DockerAPI
import Glibc
import GRPCSocket
import SwiftProtobuf

/// Follows the supervisor's task events: exits, restart policies, auto-remove, out-of-memory, and the return to what really runs after either side was away.
///
/// Events are a stream that can break; what they say is only trusted together with a look at all tasks after every (re)connect. Exit codes and times of
/// containers that ended meanwhile come from their shims, which keep them until they are collected.
struct ExitMonitor: Sendable {
    let service: ContainerService
    let execs: ExecService
    private var environment: ContainerEnvironment { service.environment }

    init(service: ContainerService, execs: ExecService) {
        self.service = service
        self.execs = execs
    }

    /// Runs until it is cancelled. `ready` is called once, after the first look at all tasks.
    func run(ready: @Sendable () async -> Void) async {
        var announced = false
        var delay = Duration.milliseconds(20)
        while !Task.isCancelled {
            do {
                let events = try await environment.supervisor.taskEvents()
                try await reconcile(atStart: !announced)
                if !announced {
                    announced = true
                    await ready()
                }
                delay = .milliseconds(20)
                for try await envelope in events { handle(envelope) }
                Log.warning("the supervisor ended the event stream")
            } catch {
                if Task.isCancelled { return }
                Log.warning("lost the supervisor's events: \(error)")
            }
            try? await Task.sleep(for: delay)
            delay = min(delay * 2, .seconds(1))
        }
    }

    // MARK: Events

    /// Never waits: each exit is worked on in a task of its own, in order per container through its lock.
    private func handle(_ envelope: Types_Envelope) {
        let payload = [UInt8](envelope.event.value)
        switch envelope.topic {
        case "/tasks/exit":
            guard let event = try? Events_TaskExit(serializedBytes: payload) else { return }
            let exit = SupervisorClient.Exit(code: Int(event.exitStatus), at: WallClock(event.exitedAt))
            if event.id == event.containerID || event.id.isEmpty {
                Task { await self.containerExited(event.containerID, exit, pid: Int32(bitPattern: event.pid)) }
            } else {
                execs.exited(containerID: event.containerID, execID: event.id, exit)
            }
        case "/tasks/oom":
            guard let event = try? Events_TaskOOM(serializedBytes: payload), let container = environment.store.get(id: event.containerID) else { return }
            container.mutate { $0.lifecycle.didRunOutOfMemory() }
            environment.publish("oom", container.record)
        case "/tasks/paused", "/tasks/resumed", "/tasks/create", "/tasks/start", "/tasks/delete", "/tasks/exec-added", "/tasks/exec-started": break
        default: Log.debug("an event nobody waits for: \(envelope.topic)")
        }
    }

    /// The init of a container ended: tells of it, commits, answers waiters, then cleans up, then restarts or removes.
    /// - Parameter pid: of the process that ended; 0 when that is not known. The news of an earlier life may come after the next one has begun.
    func containerExited(_ id: String, _ exit: SupervisorClient.Exit, pid: Int32) async {
        guard let container = environment.store.get(id: id) else {
            await collectStranger(id)
            return
        }
        do {
            try await container.serially {
                guard container.lifecycle.isRunning else { return }
                if pid == 0 { try await settleUnnamed(exit, container) } else if pid == container.lifecycle.pid { try await finish(container, exit) }
            }
        } catch {
            Log.error("the end of container \(id) could not be recorded: \(error)")
        }
    }

    /// The end of a process without a pid is told after a shim that died in the middle of a creation. By the time it is heard of, the start may have been made
    /// once more, and that life may be over as well: what is so now counts, and the news only where there is nothing to ask.
    private func settleUnnamed(_ exit: SupervisorClient.Exit, _ container: ManagedContainer) async throws {
        guard let task = try await state(of: container.id) else { return try await finish(container, exit) }
        switch task.status {
        case .stopped: try await finish(container, task.exit)
        case .created, .running, .paused: return
        case .unknown: Task { await askAndSettle(container) }
        }
    }

    private func finish(_ container: ManagedContainer, _ exit: SupervisorClient.Exit) async throws {
        let before = container.record
        guard before.lifecycle.isRunning else { return }
        let ranFor = Duration.nanoseconds(max(0, exit.at.nanosecondsSinceEpoch - (before.lifecycle.startedAt ?? exit.at).nanosecondsSinceEpoch))
        let policy = before.hostConfig.RestartPolicy
        let delay = RestartDecision.delay(
            policy: policy?.Name ?? "", maximumRetryCount: policy?.MaximumRetryCount ?? 0, restartCount: before.lifecycle.restartCount, exitCode: exit.code,
            stoppedByUser: before.lifecycle.stoppedByUser, ranFor: ranFor, lastDelay: container.lastRestartDelay)
        // A SIGKILL that nobody sent may be the kernel's answer to the memory limit; its event may still be on the way.
        container.mutate { $0.lifecycle.didExit(code: exit.code, at: exit.at, restarts: delay != nil) }
        HealthMonitor.end(container)
        execs.forgetUnstarted(container)
        let answerWaiters = container.takeExitWaiters()
        // Before the commit: a stop looks at the state, and its event is to come after this one.
        environment.publish("die", before, ["exitCode": String(exit.code), "execDuration": String(ranFor.components.seconds)])

        let record = container.record
        // The shim keeps the exit status until the task is deleted: commit first. Whoever waits is told what a crash cannot take back, or what is so, where it cannot be written down.
        var failure: (any Error)?
        do { try await environment.store.save(record) } catch { failure = error }
        answerWaiters(exit.code)
        if let failure { throw failure }
        async let released: Void = environment.networks.release(record.id)
        // What stays because the supervisor is away is collected by the next start or the removal.
        try? await service.collectTask(of: container)
        await released
        HostMounts(environment.config).releaseContainer(record.id)
        environment.publishVolumes("unmount", record)
        execs.containerEnded(container)
        if let delay {
            scheduleRestart(container, after: delay)
        } else if record.autoRemove, !container.restartsByUser {
            do { try await service.removeLocked(container, removingVolumes: true) } catch { Log.error("cannot remove container \(record.id) on exit: \(error)") }
        }
    }

    /// - Parameter delay: nil for a start at once, which is no part of a back-off.
    private func scheduleRestart(_ container: ManagedContainer, after delay: Duration?) {
        let task = Task {
            if let delay { do { try await Task.sleep(for: delay) } catch { return } }
            do {
                try await service.start(container, byPolicy: true)
            } catch let error as DaemonError where error.code == .unavailable {
                Log.warning("container \(container.id) is restarted later: \(error)")
                try? await container.serially {
                    // Stopped or removed meanwhile.
                    guard !Task.isCancelled, container.lifecycle.isRestarting else { return }
                    scheduleRestart(container, after: delay ?? RestartDecision.firstDelay)
                }
            } catch is CancellationError {
                // Stopped by a user.
            } catch let error as DaemonError where error.code == .notModified || error.code == .notFound {
                // Started or removed by somebody else.
            } catch {
                Log.error("cannot restart container \(container.id): \(error)")
                container.answerExitWaiters(exitCode: container.lifecycle.exitCode)
            }
        }
        container.setRestart(task, delay: delay)
    }

    /// A task without a container of ours: left over from a removal that a crash cut short.
    private func collectStranger(_ id: String) async {
        _ = try? await environment.supervisor.deleteTask(id: id)
        try? await environment.supervisor.deleteContainer(id: id)
        unlink(environment.attachSocket(of: id))
    }

    // MARK: Reconciliation

    /// Compares the records with the supervisor's tasks.
    ///
    /// - A running task: adopted with its pid.
    /// - A stopped one: its exit is handled as if the event had come.
    /// - A created one that was never started: deleted.
    /// - A record that runs without a task: its shim is gone, so its exit status is unknown; 255, as dockerd says.
    private func reconcile(atStart: Bool) async throws {
        var byID: [String: SupervisorClient.TaskState] = [:]
        for task in try await environment.supervisor.tasks() { byID[task.containerID] = task }
        for container in environment.store.all {
            let task = byID.removeValue(forKey: container.id)
            if task == nil, container.isAtRest { continue }
            if atStart {
                // Nobody else works on containers yet.
                await settle(container, task, atStart: true)
            } else if !agrees(container.lifecycle, task) {
                // What was listed may be history by now, when a start or a removal is under way: it counts what is so once those are done.
                Task { await askAndSettle(container) }
            }
            if !atStart, container.execs.contains(where: \.isListed) { Task { await execs.settle(container) } }
        }
        guard atStart else {
            // The news of their end may have been lost with the last supervisor.
            Task { await execs.collectStrays() }
            return
        }
        HostMounts(environment.config).releaseAll { id in environment.store.get(id: id)?.lifecycle.isRunning ?? false }
        for (id, task) in byID {
            Log.warning("a task without a container is ended: \(id)")
            if task.status != .stopped { try? await environment.supervisor.kill(id: id, signal: 9, all: true) }
            await collectStranger(id)
        }
        await execs.collectStrays()
    }

    private func agrees(_ lifecycle: ContainerLifecycle, _ task: SupervisorClient.TaskState?) -> Bool {
        switch task?.status {
        case .running: lifecycle.isRunning && !lifecycle.isPaused && lifecycle.pid == task?.pid
        case .paused: lifecycle.isPaused && lifecycle.pid == task?.pid
        case .stopped, .created, .unknown: false
        case nil: !lifecycle.isRunning
        }
    }

    /// Settles with what is so now. A shim that does not answer is asked until it does, or until the container does not run any more.
    private func askAndSettle(_ container: ManagedContainer) async {
        while !Task.isCancelled {
            do {
                // Outside the lock first: a shim that is stuck must not keep the container from being removed.
                _ = try await state(of: container.id)
                try await container.serially {
                    guard !container.isRemoved else { return }
                    await settle(container, try await state(of: container.id), atStart: false)
                }
                return
            } catch let error as DaemonError where error.code == .deadlineExceeded {
                guard container.lifecycle.isRunning else { return }
                try? await Task.sleep(for: .seconds(1))
            } catch {
                // The supervisor went away: its return begins this anew.
                Log.debug("container \(container.shortID): \(error)")
                return
            }
        }
    }

    private func state(of id: String) async throws -> SupervisorClient.TaskState? {
        do { return try await environment.supervisor.task(id: id) } catch let error as DaemonError where error.code == .notFound { return nil }
    }

    /// Inside `serially`, or at the start.
    private func settle(_ container: ManagedContainer, _ task: SupervisorClient.TaskState?, atStart: Bool) async {
        let lifecycle = container.lifecycle
        switch task?.status {
        case .running, .paused:
            guard let task else { return }
            container.mutate { $0.lifecycle.adopt(pid: task.pid, paused: task.status == .paused) }
            if atStart || !lifecycle.isRunning { HealthMonitor(environment: environment).begin(container) }
        case .stopped:
            guard let task else { return }
            if lifecycle.isRunning { await finishOrLog(container, task.exit) } else { await collectStranger(container.id) }
        case .created:
            // What an earlier life of the daemon left in the middle of a start.
            if atStart { await dropHalfStarted(container) }
        case .unknown:
            if atStart, lifecycle.isRunning { HealthMonitor(environment: environment).begin(container) }
            Task { await askAndSettle(container) }
        case nil:
            if lifecycle.isRunning { await finishOrLog(container, .init(code: 255, at: .now())) }
        }
    }

    private func finishOrLog(_ container: ManagedContainer, _ exit: SupervisorClient.Exit) async {
        do { try await finish(container, exit) } catch { Log.error("the end of container \(container.id) could not be recorded: \(error)") }
    }

    private func dropHalfStarted(_ container: ManagedContainer) async {
        try? await environment.supervisor.kill(id: container.id, signal: 9, all: true)
        await collectStranger(container.id)
        if container.lifecycle.isRestarting { return }
        let policy = container.record.hostConfig.RestartPolicy?.Name ?? ""
        container.mutate {
            $0.lifecycle.startFailed("the daemon ended in the middle of the start", exitCode: 128, at: .now())
            // That was our doing: with a policy the start is made once more.
            if policy != "", policy != "no", !$0.lifecycle.stoppedByUser { $0.lifecycle.restartWasPostponed() }
        }
        let record = container.record
        try? await environment.store.save(record)
    }

    /// Containers that should run and do not: after a start of the machine or of the daemon.
    func startWanted() async {
        for container in environment.store.all where !container.isAtRest {
            let record = container.record
            guard !record.lifecycle.isRunning, record.lifecycle.startedBefore else { continue }
            let policy = record.hostConfig.RestartPolicy?.Name ?? ""
            let wanted =
                policy == "always" || policy == "unless-stopped" && !record.lifecycle.stoppedByUser
                || record.lifecycle.isRestarting
            if wanted {
                scheduleRestart(container, after: nil)
            } else if record.autoRemove {
                do { try await container.serially { try await service.removeLocked(container, removingVolumes: true) } } catch {
                    Log.error("cannot remove container \(container.id): \(error)")
                }
            }
        }
    }
}
