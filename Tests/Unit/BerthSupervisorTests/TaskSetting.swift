import ContainerdAPI
import Foundation
import NIOCore
import NIOPosix
import Testing
@testable import berth_supervisor

/// A task manager over a directory of its own.
struct TaskSetting {
    let directory: String
    let group: MultiThreadedEventLoopGroup
    let events = EventExchange()
    let manager: TaskManager

    init(directory: String, group: MultiThreadedEventLoopGroup, shimTimeout: Duration = .seconds(10)) throws {
        self.directory = directory
        self.group = group
        let logs = try ShimLogs()
        manager = TaskManager(
            root: directory + "/shims", launcher: ShimLauncher(address: directory + "/s.sock", logs: logs, timeout: shimTimeout), logs: logs,
            events: events, group: group, checkpoints: CheckpointDirectories(root: directory + "/checkpoints"))
    }

    /// As after a restart: another manager over the same directory.
    func restarted() throws -> TaskSetting { try TaskSetting(directory: directory, group: group) }

    func bundle(_ id: String) -> String { "\(directory)/shims/moby/\(id)" }
    func exists(_ id: String) -> Bool { FileManager.default.fileExists(atPath: bundle(id)) }
}

func withSetting(shimTimeout: Duration = .seconds(10), _ body: (TaskSetting) async throws -> Void) async throws {
    let directory = "/tmp/berth-test-\(getpid())-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try await body(try TaskSetting(directory: directory, group: sharedLoop, shimTimeout: shimTimeout))
}

/// Never shut down: a shim of an ended test may be on its way to connect once more.
private let sharedLoop = MultiThreadedEventLoopGroup(numberOfThreads: 1)

func key(_ id: String) -> TaskKey { TaskKey(namespace: "moby", id: id) }

func request(_ shim: FakeShim) -> TaskManager.CreateRequest {
    .init(runtime: shim.binary, spec: Array("{\"ociVersion\":\"1.0.2\"}".utf8), options: nil, rootfs: [], stdin: "", stdout: "", stderr: "", terminal: false)
}

/// The next `count` exits, or what came within two seconds.
func exits(_ subscription: EventExchange.Subscription, _ count: Int) async -> [Events_TaskExit] {
    let task = Task {
        var found: [Events_TaskExit] = []
        for await envelope in subscription.envelopes {
            if let exit = AnyMessages.unpack(envelope.event, as: Events_TaskExit.self) { found.append(exit) }
            if found.count == count { break }
        }
        return found
    }
    let timer = Task {
        try await Task.sleep(for: .seconds(2))
        task.cancel()
    }
    defer { timer.cancel() }
    return await task.value
}

func eventually(_ condition: () -> Bool) async throws {
    for _ in 0..<500 {
        if condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("did not happen within five seconds")
}
