import BerthDefaults
import ContainerdAPI
import DockerAPI
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
                Task { await self.containerExited(event.containerID, exit) }
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

    /// The init of a container ended: answers waiters, then commits, then cleans up, then restarts or removes.
    func containerExited(_ id: String, _ exit: SupervisorClient.Exit) async {
        guard let container = environment.store.get(id: id) else {
            await collectStranger(id)
            return
        }
        do {
            try await container.serially { try await finish(container, exit) }
        } catch {
            Log.error("the end of container \(id) could not be recorded: \(error)")
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
        container.answerExitWaiters(exitCode: exit.code)
        environment.publish("die", before, ["exitCode": String(exit.code), "execDuration": String(ranFor.components.seconds)])

        let record = container.record
        // The shim keeps the exit status until the task is deleted: commit first.
        try await environment.store.save(record)
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

    private func scheduleRestart(_ container: ManagedContainer, after delay: Duration) {
        let task = Task {
            do { try await Task.sleep(for: delay) } catch { return }
            do {
                try await service.start(container, byPolicy: true)
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
    }

    // MARK: Reconciliation

    /// Compares the records with the supervisor's tasks.
    ///
    /// - A running task: adopted with its pid. - A stopped one: its exit is handled as if the event had come. - A created one that was never started: deleted.
    /// - A record that runs without a task: its shim is gone, so its exit status is unknown; 255, as dockerd says.
    private func reconcile(atStart: Bool) async throws {
        let tasks = try await environment.supervisor.tasks()
        var byID: [String: SupervisorClient.TaskState] = [:]
        for task in tasks { byID[task.containerID] = task }
        for container in environment.store.all {
            let task = byID.removeValue(forKey: container.id)
            let lifecycle = container.lifecycle
            switch task?.status {
            case .running, .paused:
                if let task, lifecycle.pid != task.pid || !lifecycle.isRunning || atStart {
                    container.mutate { $0.lifecycle.adopt(pid: task.pid, paused: task.status == .paused) }
                    if atStart { HealthMonitor(environment: environment).begin(container) }
                }
            case .stopped:
                if let task {
                    if lifecycle.isRunning { await containerExited(container.id, task.exit) } else { await collectStranger(container.id) }
                }
            case .created:
                // A start in progress holds the lock; only what an earlier life of the daemon left is dropped.
                if atStart { await dropHalfStarted(container) }
            case .unknown: break
            case nil:
                if lifecycle.isRunning { await containerExited(container.id, .init(code: 255, at: .now())) }
            }
        }
        if atStart {
            HostMounts(environment.config).releaseAll { id in environment.store.get(id: id)?.lifecycle.isRunning ?? false }
            for (id, task) in byID {
                Log.warning("a task without a container is ended: \(id)")
                if task.status != .stopped { try? await environment.supervisor.kill(id: id, signal: 9, all: true) }
                await collectStranger(id)
            }
        }
    }

    private func dropHalfStarted(_ container: ManagedContainer) async {
        try? await environment.supervisor.kill(id: container.id, signal: 9, all: true)
        await collectStranger(container.id)
        container.mutate { $0.lifecycle.startFailed("the daemon ended in the middle of the start", exitCode: 128, at: .now()) }
        let record = container.record
        try? await environment.store.save(record)
    }

    /// Containers that should run and do not: after a start of the machine or of the daemon.
    func startWanted() async {
        for container in environment.store.all {
            let record = container.record
            guard !record.lifecycle.isRunning, record.lifecycle.startedBefore else { continue }
            let policy = record.hostConfig.RestartPolicy?.Name ?? ""
            let wanted =
                policy == "always" || policy == "unless-stopped" && !record.lifecycle.stoppedByUser
                || record.lifecycle.isRestarting
            if wanted {
                container.mutate { $0.lifecycle.didCancelRestart() }
                Task {
                    do { try await service.start(container, byPolicy: true) } catch { Log.error("cannot start container \(container.id): \(error)") }
                }
            } else if record.autoRemove {
                do { try await container.serially { try await service.removeLocked(container, removingVolumes: true) } } catch {
                    Log.error("cannot remove container \(container.id): \(error)")
                }
            }
        }
    }
}
