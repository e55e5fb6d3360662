import BerthDefaults
import DockerAPI
import Glibc

extension ContainerService {
    private static let defaultStopSeconds = 10
    /// How long a process killed with SIGKILL may take to be gone before the request fails.
    private static let killPatience = Duration.seconds(10)

    /// Stop signal, a wait, SIGKILL. 304 when the container does not run.
    func stop(_ nameOrID: String, signal: String?, seconds: Int?) async throws {
        let container = try store.find(nameOrID)
        let lifecycle = container.lifecycle
        guard lifecycle.isRunning || lifecycle.isRestarting else { throw DaemonError(.notModified, "container is already stopped") }
        do {
            try await stop(container, signal: signal, seconds: seconds)
        } catch let error as DaemonError where error.code != .invalidArgument {
            throw DaemonError(error.code, "cannot stop container: \(nameOrID): \(error.message)")
        }
    }

    /// Also the first half of a restart, which tells of it in the same way.
    private func stop(_ container: ManagedContainer, signal: String?, seconds: Int?) async throws {
        try await end(container, signal: signal, seconds: seconds)
        environment.publish("stop", container.record)
    }

    func end(_ container: ManagedContainer, signal: String?, seconds: Int?) async throws {
        let record = container.record
        let number = try SignalNumber.parse(signal.flatMap { $0.isEmpty ? nil : $0 } ?? record.config.StopSignal.flatMap { $0.isEmpty ? nil : $0 } ?? "SIGTERM")
        let patience = seconds ?? record.config.StopTimeout ?? Self.defaultStopSeconds
        guard try await cancelRestart(of: container) == false else { return }
        try await send(number, to: container, byUser: true)
        if patience < 0 {
            _ = await container.wait(.notRunning)
            return
        }
        if await waitForExit(of: container, for: .seconds(patience)) { return }
        Log.info("container \(container.shortID) did not end within \(patience) s of signal \(number): killing it")
        try await killAndWait(container)
    }

    /// A restart waiting for its back-off is called off. True when that was all there was to stop.
    private func cancelRestart(of container: ManagedContainer) async throws -> Bool {
        try await container.serially {
            guard container.lifecycle.isRestarting else { return false }
            container.setRestart(nil, delay: nil)
            try await commit(container) {
                $0.lifecycle.willStopByUser()
                $0.lifecycle.didCancelRestart()
            }
            container.answerExitWaiters(exitCode: container.lifecycle.exitCode)
            return true
        }
    }

    /// SIGKILL and the wait for it to take effect.
    func killAndWait(_ container: ManagedContainer) async throws {
        try await send(UInt32(SIGKILL), to: container, byUser: true)
        try await waitForDeath(of: container)
    }

    /// After SIGKILL: an answer without an error says that the process is gone.
    private func waitForDeath(of container: ManagedContainer) async throws {
        if await waitForExit(of: container, for: Self.killPatience) { return }
        throw DaemonError.internalError("tried to kill container, but did not receive an exit event")
    }

    func waitForExit(of container: ManagedContainer, for duration: Duration) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask { await container.wait(.notRunning).error == nil }
            group.addTask {
                try? await Task.sleep(for: duration)
                return false
            }
            let first = await group.next() ?? false
            group.cancelAll()
            return first || !container.lifecycle.isRunning
        }
    }

    func kill(_ nameOrID: String, signal: String?) async throws {
        let container = try store.find(nameOrID)
        let number = try SignalNumber.parse(signal.flatMap { $0.isEmpty ? nil : $0 } ?? "SIGKILL")
        do {
            if container.lifecycle.isRestarting {
                // Between two runs there is no process; a signal that means the end is the end of the runs.
                let stopSignal = try SignalNumber.parse(container.record.config.StopSignal.flatMap { $0.isEmpty ? nil : $0 } ?? "SIGTERM")
                if number == UInt32(SIGKILL) || number == stopSignal { _ = try await cancelRestart(of: container) }
                return
            }
            guard container.lifecycle.isRunning else { throw DaemonError.conflict("container \(container.id) is not running") }
            let stopSignal = try SignalNumber.parse(container.record.config.StopSignal.flatMap { $0.isEmpty ? nil : $0 } ?? "SIGTERM")
            // A signal that means stop keeps the restart policy away; SIGHUP and the like do not.
            try await send(number, to: container, byUser: number == UInt32(SIGKILL) || number == stopSignal)
            if number == UInt32(SIGKILL) { try await waitForDeath(of: container) }
        } catch let error as DaemonError {
            throw DaemonError(error.code, "cannot kill container: \(nameOrID): \(error.message)")
        }
    }

    private func send(_ signal: UInt32, to container: ManagedContainer, byUser: Bool) async throws {
        try await container.serially {
            let lifecycle = container.lifecycle
            guard lifecycle.isRunning else { return }
            if byUser { container.mutate { $0.lifecycle.willStopByUser() } }
            do {
                try await supervisor.kill(id: container.id, signal: signal)
                environment.publish("kill", container.record, ["signal": String(signal)])
                // A frozen process gets its signal when it thaws; only for SIGKILL is that what the user means.
                if signal == UInt32(SIGKILL), lifecycle.isPaused {
                    try? await supervisor.resume(id: container.id)
                    container.mutate { $0.lifecycle.didResume() }
                }
            } catch let error as DaemonError where error.code == .notFound {
                // It ended in this moment; the exit event is on its way.
            }
        }
    }

    func restart(_ nameOrID: String, signal: String?, seconds: Int?) async throws {
        let container = try store.find(nameOrID)
        do {
            container.restartsByUser = true
            defer { container.restartsByUser = false }
            if container.lifecycle.isRunning || container.lifecycle.isRestarting { try await stop(container, signal: signal, seconds: seconds) }
            try await start(container, byPolicy: false)
        } catch let error as DaemonError {
            throw DaemonError(error.code, "Cannot restart container \(nameOrID): \(error.message)")
        }
        environment.publish("restart", container.record)
    }
}
