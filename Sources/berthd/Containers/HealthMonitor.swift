import BerthDefaults
import DockerAPI
import Synchronization

/// The health of a running container: what inspect shows, and the task that probes.
struct HealthState: Sendable {
    var status = "starting"
    var failingStreak = 0
    var log: [HealthcheckResult] = []
    var task: Task<Void, Never>?
    /// The exec that is running as a probe now: its exit is the probe's to collect, not a stray one's.
    var probe: String?
}

/// Runs health checks as Docker does: a command in the container at intervals, its exit status the verdict.
struct HealthMonitor: Sendable {
    let environment: ContainerEnvironment

    private static let resultsKept = 5
    private static let outputLimit = 4096

    /// Begins probing when the container has a health check. Called at start and after a restart of the daemon.
    func begin(_ container: ManagedContainer) {
        let record = container.record
        guard let check = record.config.Healthcheck, let kind = check.Test?.first, kind != "NONE" else { return }
        guard let command = command(check, shell: record.config.Shell) else { return }
        // What earlier runs said stays readable, as with dockerd; the verdict begins anew.
        var state = HealthState()
        state.log = container.health?.log ?? []
        // Before the first look of the loop, which asks whether the container is still starting.
        container.setHealth(state)
        let task = Task { await probeLoop(container, check, command) }
        container.mutateHealth { $0.task = task }
    }

    static func end(_ container: ManagedContainer) {
        container.health?.task?.cancel()
        // A container that does not run is not healthy, as dockerd sees it.
        container.mutateHealth {
            $0.task = nil
            $0.status = "unhealthy"
        }
    }

    private func command(_ check: HealthConfig, shell: [String]?) -> [String]? {
        let words = check.Test ?? []
        switch words.first {
        case "CMD": return Array(words.dropFirst())
        case "CMD-SHELL": return (shell?.isEmpty == false ? shell! : ["/bin/sh", "-c"]) + words.dropFirst()
        default: return nil
        }
    }

    private func probeLoop(_ container: ManagedContainer, _ check: HealthConfig, _ command: [String]) async {
        func nanoseconds(_ value: Int64?, default missing: Int64) -> Duration { .nanoseconds((value ?? 0) == 0 ? missing : value!) }
        let interval = nanoseconds(check.Interval, default: 30_000_000_000)
        let timeout = nanoseconds(check.Timeout, default: 30_000_000_000)
        let startInterval = nanoseconds(check.StartInterval, default: 5_000_000_000)
        let startPeriod = Duration.nanoseconds(check.StartPeriod ?? 0)
        let retries = (check.Retries ?? 0) == 0 ? 3 : check.Retries!
        let began = ContinuousClock.now
        while !Task.isCancelled {
            let inStartPeriod = ContinuousClock.now - began < startPeriod && container.health?.status == "starting"
            do { try await Task.sleep(for: inStartPeriod ? min(startInterval, interval) : interval) } catch { return }
            guard container.lifecycle.isRunning else { return }
            if container.lifecycle.isPaused { continue }
            let result = await probe(container, command, timeout: timeout)
            if Task.isCancelled { return }
            guard let result else { continue }
            record(result, of: container, retries: retries, forgiving: ContinuousClock.now - began < startPeriod)
        }
    }

    /// nil when the engine could not carry the probe out, as while its supervisor is replaced: that says nothing about the container.
    private func probe(_ container: ManagedContainer, _ command: [String], timeout: Duration) async -> HealthcheckResult? {
        var result = HealthcheckResult()
        result.Start = WallClock.now().rfc3339
        do {
            let run = try await ProbeRunner(environment: environment).run(container, command, timeout: timeout, outputLimit: Self.outputLimit)
            result.ExitCode = run.exitCode
            result.Output = run.output
        } catch let error as DaemonError where error.code == .unavailable || error.code == .deadlineExceeded {
            Log.debug("a probe of container \(container.shortID) was cut short: \(error)")
            return nil
        } catch {
            result.ExitCode = -1
            result.Output = "\(error)"
        }
        result.End = WallClock.now().rfc3339
        return result
    }

    private func record(_ result: HealthcheckResult, of container: ManagedContainer, retries: Int, forgiving: Bool) {
        let before = container.health?.status
        container.mutateHealth { state in
            state.log.append(result)
            if state.log.count > Self.resultsKept { state.log.removeFirst(state.log.count - Self.resultsKept) }
            if result.ExitCode == 0 {
                state.failingStreak = 0
                state.status = "healthy"
            } else if !(forgiving && state.status == "starting") {
                state.failingStreak += 1
                if state.failingStreak >= retries { state.status = "unhealthy" }
            }
        }
        if let now = container.health?.status, now != before { environment.publish("health_status: \(now)", container.record) }
    }
}
