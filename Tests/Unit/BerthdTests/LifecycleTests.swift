@testable import berthd
import BerthDefaults
import Testing

private let noon = WallClock(seconds: 1_800_000_000, nanoseconds: 5)

@Test func `a created container can be started and then not again`() throws {
    var lifecycle = ContainerLifecycle()
    try lifecycle.requireStartable()
    lifecycle.didStart(pid: 7, at: noon, countingRestart: false)
    #expect(lifecycle.statusName == "running")
    #expect { try lifecycle.requireStartable() } throws: { ($0 as? DaemonError)?.code == .notModified }
}

@Test func `a paused container cannot be started`() {
    var lifecycle = ContainerLifecycle()
    lifecycle.didStart(pid: 7, at: noon, countingRestart: false)
    lifecycle.didPause()
    #expect(lifecycle.pid == 7)
    #expect { try lifecycle.requireStartable() } throws: { ($0 as? DaemonError)?.message == "cannot start a paused container, try unpause instead" }
}

@Test func `a container whose first start fails stays created and keeps the exit code`() {
    var lifecycle = ContainerLifecycle()
    lifecycle.startFailed("no such program", exitCode: 127, at: noon)
    #expect(lifecycle.statusName == "created")
    #expect(lifecycle.exitCode == 127)
    #expect(lifecycle.error == "no such program")
}

@Test func `a start that the engine's own trouble cut short is made again by the policy, and nothing else is`() {
    var lifecycle = ContainerLifecycle()
    lifecycle.didStart(pid: 7, at: noon, countingRestart: false)
    lifecycle.restartWasPostponed()
    #expect(lifecycle.statusName == "running")
    lifecycle.startFailed("the supervisor went away", exitCode: 128, at: noon)
    lifecycle.restartWasPostponed()
    #expect(lifecycle.statusName == "restarting")
    lifecycle.willRemove()
    lifecycle.restartWasPostponed()
    #expect(lifecycle.statusName == "removing")
}

@Test func `a restart by the policy counts and one by a user starts anew`() {
    var lifecycle = ContainerLifecycle()
    lifecycle.didStart(pid: 7, at: noon, countingRestart: false)
    lifecycle.didExit(code: 1, at: noon, restarts: true)
    #expect(lifecycle.statusName == "restarting")
    lifecycle.didStart(pid: 8, at: noon, countingRestart: true)
    #expect(lifecycle.restartCount == 1)
    lifecycle.didExit(code: 1, at: noon, restarts: false)
    lifecycle.didStart(pid: 9, at: noon, countingRestart: false)
    #expect(lifecycle.restartCount == 0)
}

private func delay(_ policy: String, code: Int = 1, max: Int = 0, count: Int = 0, byUser: Bool = false, ranFor: Duration = .seconds(1), last: Duration? = nil) -> Duration? {
    RestartDecision.delay(policy: policy, maximumRetryCount: max, restartCount: count, exitCode: code, stoppedByUser: byUser, ranFor: ranFor, lastDelay: last)
}

@Test func `restart policies decide by exit code, count and who stopped it`() {
    #expect(delay("no") == nil)
    #expect(delay("") == nil)
    #expect(delay("always", code: 0) == .milliseconds(100))
    #expect(delay("always", byUser: true) == nil)
    #expect(delay("on-failure", code: 0) == nil)
    #expect(delay("on-failure", max: 3, count: 2) != nil)
    #expect(delay("on-failure", max: 3, count: 3) == nil)
    #expect(delay("unless-stopped", byUser: true) == nil)
}

@Test func `the back-off doubles up to a minute and begins anew after a stable run`() {
    #expect(delay("always", last: .milliseconds(100)) == .milliseconds(200))
    #expect(delay("always", last: .seconds(40)) == .seconds(60))
    #expect(delay("always", ranFor: .seconds(11), last: .seconds(40)) == .milliseconds(100))
}
