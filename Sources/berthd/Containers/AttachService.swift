import BerthDefaults
import DockerAPI
import NIOCore

/// `attach`: the streams of a container's own process, now or from its next start on.
struct AttachService: Sendable {
    struct Options: Sendable {
        var logs = false
        var stream = false
        var stdin = false
        var stdout = false
        var stderr = false
        var detachKeys: [UInt8] = DetachScanner.defaultKeys
        var framing = OutputFraming.Change.none
    }

    let environment: ContainerEnvironment
    let logs: LogReader

    /// What is refused before the connection becomes a stream.
    func check(_ nameOrID: String, _ options: Options) throws -> ManagedContainer {
        let container = try environment.store.find(nameOrID)
        let lifecycle = container.lifecycle
        if lifecycle.isPaused { throw DaemonError.conflict("container \(container.id) is paused, unpause the container before attach") }
        if lifecycle.isRestarting { throw DaemonError.conflict("container \(container.id) is restarting, wait until the container is running") }
        return container
    }

    /// Serves the connection until the container's streams end, the client goes or the detach keys come.
    func serve(_ container: ManagedContainer, _ options: Options, on connection: HijackedConnection) async throws {
        let record = container.record
        if options.logs {
            var wanted = LogReader.Options()
            (wanted.stdout, wanted.stderr) = (options.stdout, options.stderr)
            let framing = Exclusive(OutputFraming(options.framing))
            try await logs.replay(record, wanted) { piece in try await connection.write(framing.with { $0.apply(to: piece) }) }
        }
        environment.publish("attach", record)
        guard options.stream else { return }
        var streams: UInt8 = options.stdin && record.opensStdin ? 1 : 0
        if options.stdout { streams |= 2 }
        if options.stderr, !record.isTerminal { streams |= 4 }
        // Only what is typed on a terminal can detach: piped input may hold the same bytes.
        let keys = record.isTerminal ? options.detachKeys : []
        if container.lifecycle.isRunning {
            let outcome = try await connection.relay(toSocket: environment.attachSocket(of: container.id), streams: streams, detachKeys: keys, framing: options.framing) { _ in }
            ended(container, outcome)
            return
        }
        // Not started yet: the start connects us between creating the process and letting it go.
        let socket = await withCheckedContinuation { (continuation: CheckedContinuation<(String, Registration)?, Never>) in
            container.addPending { path in
                let registered = Registration()
                continuation.resume(returning: (path, registered))
                try? await registered.wait()
            } cancel: {
                continuation.resume(returning: nil)
            }
        }
        guard let (path, registered) = socket else { return }
        let outcome = try await connection.relay(toSocket: path, streams: streams, detachKeys: keys, framing: options.framing) { error in registered.finish(error) }
        ended(container, outcome)
    }

    private func ended(_ container: ManagedContainer, _ outcome: HijackedConnection.Outcome) {
        if outcome == .detached { environment.publish("detach", container.record) }
    }
}
