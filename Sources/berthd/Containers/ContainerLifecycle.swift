import BerthDefaults

/// The state of a container and what may happen in it: pure, no I/O. `ContainerService` carries out what it allows.
///
///     created ──start──▶ running ⇄ paused
///        │                 │ exit             removing ──▶ (gone) or dead
///        │                 ▼                     ▲
///        └──failed──▶ exited ◀── restarting      │ from created, exited, dead; running only by force
///                       └──start──▶ running
struct ContainerLifecycle: Sendable, Equatable, Codable {
    enum Phase: Sendable, Equatable, Codable {
        case created
        case running(pid: Int32)
        case paused(pid: Int32)
        /// Waits for the next attempt of its restart policy.
        case restarting
        case exited
        case removing
        /// A removal failed half way; only another removal is possible.
        case dead
    }

    private(set) var phase = Phase.created
    private(set) var startedAt: WallClock?
    private(set) var finishedAt: WallClock?
    private(set) var exitCode = 0
    private(set) var oomKilled = false
    private(set) var error = ""
    private(set) var restartCount = 0
    /// `stop` or `kill` by a user: restart policies other than `always` keep it down, and `always` until the daemon starts again.
    private(set) var stoppedByUser = false
    private(set) var startedBefore = false

    init() {}

    var isRunning: Bool {
        switch phase {
        case .running, .paused: true
        default: false
        }
    }

    var isPaused: Bool { if case .paused = phase { true } else { false } }
    var isRestarting: Bool { phase == .restarting }

    var pid: Int32 {
        switch phase {
        case .running(let pid), .paused(let pid): pid
        default: 0
        }
    }

    /// As `State.Status` of inspect.
    var statusName: String {
        switch phase {
        case .created: "created"
        case .running: "running"
        case .paused: "paused"
        case .restarting: "restarting"
        case .exited: "exited"
        case .removing: "removing"
        case .dead: "dead"
        }
    }

    // MARK: What is allowed

    func requireStartable() throws(DaemonError) {
        switch phase {
        case .created, .exited, .restarting: return
        case .paused: throw .conflict("cannot start a paused container, try unpause instead")
        case .running: throw DaemonError(.notModified, "container is already running")
        case .removing, .dead: throw .conflict("container is marked for removal and cannot be started")
        }
    }

    func requireRunning(id: String) throws(DaemonError) {
        if isRestarting { throw .conflict("Container \(id) is restarting, wait until the container is running") }
        guard isRunning else { throw .conflict("container \(id) is not running") }
    }

    // MARK: What happened

    /// `countingRestart`: by the restart policy, not by a user.
    mutating func didStart(pid: Int32, at time: WallClock, countingRestart: Bool) {
        phase = .running(pid: pid)
        startedAt = time
        finishedAt = nil
        exitCode = 0
        oomKilled = false
        error = ""
        startedBefore = true
        if !countingRestart {
            restartCount = 0
            stoppedByUser = false
        }
    }

    /// A running task that the supervisor knows and we did not, or with another pid: after a crash between start and commit.
    mutating func adopt(pid: Int32, paused: Bool) {
        phase = paused ? .paused(pid: pid) : .running(pid: pid)
        if startedAt == nil { startedAt = .now() }
        startedBefore = true
    }

    mutating func startFailed(_ message: String, exitCode code: Int, at time: WallClock) {
        error = message
        if exitCode == 0 || code != 128 { exitCode = code }
        // A container that never ran stays `created`, as in Docker.
        phase = startedBefore ? .exited : .created
        if startedBefore { finishedAt = time }
    }

    /// The attempt failed for a reason that is not the container's; there will be another one.
    mutating func restartWasPostponed() { if phase == .exited || phase == .created { phase = .restarting } }

    mutating func didPause() { if case .running(let pid) = phase { phase = .paused(pid: pid) } }
    mutating func didResume() { if case .paused(let pid) = phase { phase = .running(pid: pid) } }
    mutating func didRunOutOfMemory() { oomKilled = true }
    mutating func willStopByUser() { stoppedByUser = true }
    mutating func clearStoppedByUser() { stoppedByUser = false }

    /// The process ended. `restarts`: the policy's answer.
    mutating func didExit(code: Int, at time: WallClock, restarts: Bool) {
        exitCode = code
        finishedAt = time
        if restarts { restartCount += 1 }
        if phase != .removing { phase = restarts ? .restarting : .exited }
    }

    /// The wait for the next attempt was called off.
    mutating func didCancelRestart() { if phase == .restarting { phase = .exited } }

    mutating func willRemove() { phase = .removing }
    mutating func removalFailed() { phase = .dead }
}

/// When a container that ended is started again. Pure.
struct RestartDecision: Sendable, Equatable {
    enum Mode: String, Sendable { case no, always, onFailure = "on-failure", unlessStopped = "unless-stopped" }

    static let firstDelay = Duration.milliseconds(100)
    static let longestDelay = Duration.seconds(60)
    /// A run at least this long starts the back-off anew.
    static let stableRun = Duration.seconds(10)

    /// nil: stays down.
    static func delay(
        policy: String, maximumRetryCount: Int, restartCount: Int, exitCode: Int, stoppedByUser: Bool, ranFor: Duration, lastDelay: Duration?
    ) -> Duration? {
        guard !stoppedByUser, let mode = Mode(rawValue: policy.isEmpty ? "no" : policy) else { return nil }
        switch mode {
        case .no: return nil
        case .onFailure:
            guard exitCode != 0, maximumRetryCount == 0 || restartCount < maximumRetryCount else { return nil }
        case .always, .unlessStopped: break
        }
        guard let lastDelay, ranFor < stableRun else { return firstDelay }
        return min(lastDelay * 2, longestDelay)
    }
}
