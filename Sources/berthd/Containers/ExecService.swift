import BerthDefaults
import DockerAPI
import FoundationEssentials
import Glibc
import LinuxSystem
import NIOCore
import OCISpec
import Synchronization

/// A further process in a running container, from create to the moment nobody asks for it any more. Lives in memory only, as in Docker.
struct ExecRecord: Sendable {
    enum Phase: Sendable, Equatable {
        case created, starting
        case running(pid: Int32)
        case ended(exitCode: Int)
    }

    let id: String
    let containerID: String
    let request: ExecCreateRequest
    let detachKeys: [UInt8]
    var phase = Phase.created
    var pid: Int32 = 0
    var endedAt: WallClock?

    /// Listed in the container's `ExecIDs` until it ends.
    var isListed: Bool { if case .ended = phase { false } else { true } }
    var exitCode: Int? { if case .ended(let code) = phase { code } else { nil } }
}

/// Exec: create, start (with its streams or detached), resize, inspect.
struct ExecService: Sendable {
    let environment: ContainerEnvironment
    private let index = ExecIndex()
    private var traces: ExecTraces { ExecTraces(config: environment.config) }

    init(_ environment: ContainerEnvironment) { self.environment = environment }

    // MARK: Create

    func create(_ nameOrID: String, _ request: ExecCreateRequest) throws -> String {
        let command = request.Cmd ?? []
        guard !command.isEmpty else { throw DaemonError.invalid("No exec command specified") }
        let container = try store.find(nameOrID)
        try requireUsable(container)
        if let directory = request.WorkingDir, !directory.isEmpty, !directory.isAbsolutePath { throw DaemonError.invalid("Cwd must be an absolute path") }
        for entry in request.Env ?? [] where entry.isEmpty || entry.hasPrefix("=") { throw DaemonError.invalid("invalid environment variable: \(entry)") }
        if let user = request.User, !user.isEmpty { _ = try UserLookup.identity(user: user, groups: [], pid: container.lifecycle.pid) }
        let keys = try request.DetachKeys.flatMap { $0.isEmpty ? nil : $0 }.map { try DetachScanner.parse($0) } ?? DetachScanner.defaultKeys
        let record = ExecRecord(id: Identifier.random(), containerID: container.id, request: request, detachKeys: keys)
        container.setExec(record)
        index.add(record.id, containerID: container.id)
        environment.publish("exec_create: \(command.joined(separator: " "))", container.record, ["execID": record.id])
        return record.id
    }

    private var store: ContainerStore { environment.store }

    private func requireUsable(_ container: ManagedContainer) throws {
        let lifecycle = container.lifecycle
        if lifecycle.isRestarting { throw DaemonError.conflict("Container \(container.id) is restarting, wait until the container is running") }
        guard lifecycle.isRunning else { throw DaemonError.conflict("container \(container.id) is not running") }
        guard !lifecycle.isPaused else { throw DaemonError.conflict("Container \(container.name) is paused, unpause the container before exec") }
    }

    private func find(_ execID: String) throws -> (ManagedContainer, ExecRecord) {
        guard let containerID = index.container(of: execID) else { throw DaemonError.notFound("No such exec instance: \(execID)") }
        guard let container = store.get(id: containerID), let exec = container.exec(execID) else { throw DaemonError.notFound("No such container: \(execID)") }
        return (container, exec)
    }

    // MARK: Start

    /// Everything that answers with a status instead of a stream.
    func requireStartable(_ execID: String) throws -> ExecRecord {
        let (container, exec) = try find(execID)
        try requireUsable(container)
        switch exec.phase {
        case .created: return exec
        case .starting, .running: throw DaemonError.conflict("exec command \(execID) is already running")
        case .ended: throw DaemonError.conflict("exec command \(execID) has already run")
        }
    }

    /// Runs the process. With a connection its streams are relayed until they end; without one this returns as soon as the process runs.
    func start(_ execID: String, consoleSize: [UInt]?, stream: HijackedConnection?, framing: OutputFraming.Change = .none) async throws {
        let (container, exec) = try find(execID)
        let taken = container.mutateExec(execID) { exec in
            guard exec.phase == .created else { return false }
            exec.phase = .starting
            return true
        }
        guard taken == true else { throw DaemonError.conflict("exec command \(execID) is already running") }
        let command = (exec.request.Cmd ?? []).joined(separator: " ")
        environment.publish("exec_start: \(command)", container.record, ["execID": execID])
        do {
            try await launch(container, exec, consoleSize: consoleSize, stream: stream, framing)
        } catch {
            let failure = StartFailure(error)
            container.mutateExec(execID) {
                if $0.exitCode == nil { $0.phase = .ended(exitCode: failure.exitCode == 128 ? 126 : failure.exitCode) }
                $0.endedAt = .now()
            }
            await traces.collect(execID, of: container.id, environment.supervisor)
            throw failure.error
        }
    }

    private func launch(_ container: ManagedContainer, _ exec: ExecRecord, consoleSize: [UInt]?, stream: HijackedConnection?, _ framing: OutputFraming.Change) async throws {
        let request = exec.request
        let socket = "\(environment.config.execRoot)/io/\(exec.id.prefix(20)).sock"
        let usesStdin = (request.AttachStdin ?? false) && stream != nil
        let uri = LogDriver.uri(path: "", log: LogConfig(), attachSocket: socket, closesStdinOnce: true, attributes: [:])
        let isTerminal = request.Tty ?? false
        let stdio =
            stream == nil
            ? StdioURIs(terminal: isTerminal) : StdioURIs(stdin: usesStdin || isTerminal ? uri : "", stdout: uri, stderr: isTerminal ? "" : uri, terminal: isTerminal)
        let process = try ExecSpec.process(exec, container.record, consoleSize: consoleSize ?? request.ConsoleSize,
            linkEnvironment: ContainerService(environment).linkEnvironmentIfRunning(of: container.record), config: environment.config)
        traces.leave(exec.id, of: container.id)
        try await environment.supervisor.exec(id: container.id, execID: exec.id, process: Array(JSONBody.encode(process).readableBytesView), stdio: stdio)
        guard let stream else {
            try await run(container, exec)
            return
        }
        var streams: UInt8 = usesStdin ? 1 : 0
        if request.AttachStdout ?? false { streams |= 2 }
        if request.AttachStderr ?? false, !isTerminal { streams |= 4 }
        let registered = Registration()
        async let outcome = stream.relay(toSocket: socket, streams: streams, detachKeys: isTerminal ? exec.detachKeys : [], holdingInput: true, framing: framing) { error in
            registered.finish(error)
        }
        try await registered.wait()
        try await run(container, exec)
        stream.releaseInput()
        if try await outcome == .detached {
            environment.publish("exec_detach", container.record, ["execID": exec.id])
            return
        }
        unlink(socket)
        // The client asks for the exit code when the stream ends: let the exit event come first. It may be lost with a supervisor: then we ask.
        await awaitExit(container, exec.id, for: .seconds(1))
        await settle(container)
        await awaitExit(container, exec.id, for: .seconds(1))
    }

    private func run(_ container: ManagedContainer, _ exec: ExecRecord) async throws {
        let pid = try await environment.supervisor.startTask(id: container.id, execID: exec.id)
        container.mutateExec(exec.id) {
            $0.pid = pid
            if $0.phase == .starting { $0.phase = .running(pid: pid) }
        }
    }

    /// Short waits: the event is nearly always there already.
    private func awaitExit(_ container: ManagedContainer, _ execID: String, for patience: Duration) async {
        await index.waitForExit(execID, of: container, patience: patience)
    }

    // MARK: Exit

    /// Told by the exit monitor.
    func exited(containerID: String, execID: String, _ exit: SupervisorClient.Exit) {
        guard let container = store.get(id: containerID) else { return }
        let known: Bool? = container.mutateExec(execID) { exec in
            exec.phase = .ended(exitCode: exit.code)
            exec.endedAt = exit.at
            return true
        }
        guard known == true else {
            if container.health?.probe == execID { return }
            Task { await traces.collect(execID, of: containerID, environment.supervisor) }
            return
        }
        index.exited(execID)
        environment.publish("exec_die", container.record, ["execID": execID, "exitCode": String(exit.code)])
        Task { await traces.collect(execID, of: containerID, environment.supervisor) }
        forgetOld(container)
    }

    /// Asks after the execs that run as far as we know: the news of an end may have been lost with a supervisor.
    func settle(_ container: ManagedContainer) async {
        for exec in container.execs {
            guard case .running = exec.phase else { continue }
            do {
                let state = try await environment.supervisor.task(id: container.id, execID: exec.id)
                if state.status == .stopped { exited(containerID: container.id, execID: exec.id, state.exit) }
            } catch let error as DaemonError where error.code == .notFound {
                // Somebody has taken it out of its shim.
                exited(containerID: container.id, execID: exec.id, .init(code: 255, at: .now()))
            } catch {
                Log.debug("exec \(exec.id): \(error)")
            }
        }
    }

    /// Takes execs of an earlier life of ours that have ended out of their shims: after a start and after every reconnect. What still runs is collected
    /// when it ends.
    func collectStrays() async {
        for (container, exec) in traces.all() {
            let managed = store.get(id: container)
            if managed?.exec(exec)?.isListed == true || managed?.health?.probe == exec { continue }
            guard store.get(id: container)?.lifecycle.isRunning == true else {
                traces.remove(exec)
                continue
            }
            do {
                if try await environment.supervisor.task(id: container, execID: exec).status == .running { continue }
                await traces.collect(exec, of: container, environment.supervisor)
            } catch let error as DaemonError where error.code == .notFound {
                traces.remove(exec)
            } catch {
                Log.warning("exec \(exec) of an earlier run stays in its shim: \(error)")
            }
        }
    }

    /// An exec that was made and never started goes with the process that it was made for, before anybody hears of its end.
    func forgetUnstarted(_ container: ManagedContainer) {
        for exec in container.execs where exec.phase == .created {
            index.remove(exec.id)
            container.removeExec(exec.id)
        }
    }

    /// The container's end is the end of its execs.
    func containerEnded(_ container: ManagedContainer) {
        for exec in container.execs {
            traces.remove(exec.id)
            index.remove(exec.id)
            container.removeExec(exec.id)
            index.exited(exec.id)
        }
        // And of those that an earlier life of ours began.
        for (owner, exec) in traces.all() where owner == container.id { traces.remove(exec) }
    }

    /// An ended exec may be asked about for ten minutes, and no container keeps more than 1000: 10⁵ of them must not stay in memory.
    private func forgetOld(_ container: ManagedContainer) {
        let ended = container.execs.filter { !$0.isListed }.sorted { ($0.endedAt ?? .now()) < ($1.endedAt ?? .now()) }
        let oldest = WallClock.now().seconds - 600
        for (position, exec) in ended.enumerated() where ended.count - position > 1000 || (exec.endedAt?.seconds ?? 0) < oldest {
            container.removeExec(exec.id)
            index.remove(exec.id)
        }
    }

    // MARK: Resize, inspect

    func resize(_ execID: String, width: UInt32, height: UInt32) async throws {
        let (container, exec) = try find(execID)
        guard case .running = exec.phase else {
            // The client sends its size right after start; that is no error yet.
            if exec.phase == .starting || exec.phase == .created { throw DaemonError.conflict("exec process is not started") }
            throw DaemonError.conflict("exec process is not running")
        }
        try await environment.supervisor.resize(id: container.id, execID: execID, width: width, height: height)
    }

    func inspect(_ execID: String) throws -> ExecInspect {
        guard let containerID = index.container(of: execID), let exec = store.get(id: containerID)?.exec(execID) else { throw DaemonError.notFound("No such exec instance: \(execID)") }
        let command = exec.request.Cmd ?? []
        var result = ExecInspect()
        result.ID = exec.id
        result.ContainerID = containerID
        switch exec.phase {
        case .starting, .running: result.Running = true
        case .created, .ended: result.Running = false
        }
        result.ExitCode = exec.exitCode
        result.OpenStdin = exec.request.AttachStdin ?? false
        result.OpenStdout = exec.request.AttachStdout ?? false
        result.OpenStderr = exec.request.AttachStderr ?? false
        result.CanRemove = false
        result.DetachKeys = Data(exec.request.DetachKeys?.isEmpty == false ? exec.detachKeys : []).base64EncodedString()
        result.Pid = Int(exec.pid)
        var process = ExecInspect.ExecProcessConfig()
        process.tty = exec.request.Tty ?? false
        process.entrypoint = command.first ?? ""
        process.arguments = Array(command.dropFirst())
        process.privileged = exec.request.Privileged ?? false
        if let user = exec.request.User, !user.isEmpty { process.user = user }
        result.ProcessConfig = process
        return result
    }
}

/// Which container an exec belongs to, and who waits for its end.
private final class ExecIndex: Sendable {
    private struct State {
        var containers: [String: String] = [:]
        var waiters: [String: [CheckedContinuation<Void, Never>]] = [:]
    }
    private let state = Mutex(State())

    func add(_ id: String, containerID: String) { state.withLock { $0.containers[id] = containerID } }
    func remove(_ id: String) { state.withLock { $0.containers[id] = nil } }
    func container(of id: String) -> String? { state.withLock { $0.containers[id] } }

    func exited(_ id: String) {
        let waiters = state.withLock { $0.waiters.removeValue(forKey: id) ?? [] }
        for waiter in waiters { waiter.resume() }
    }

    func waitForExit(_ id: String, of container: ManagedContainer, patience: Duration) async {
        let timer = Task {
            try? await Task.sleep(for: patience)
            if !Task.isCancelled { self.exited(id) }
        }
        await withCheckedContinuation { continuation in
            let now = state.withLock { state in
                guard container.exec(id)?.isListed == true else { return true }
                state.waiters[id, default: []].append(continuation)
                return false
            }
            if now { continuation.resume() }
        }
        timer.cancel()
    }
}

/// One event that somebody waits for: the shim has registered a reader, or could not.
final class Registration: Sendable {
    private struct State {
        var result: Result<Void, any Error>?
        var waiter: CheckedContinuation<Void, any Error>?
    }
    private let state = Mutex(State())

    func finish(_ error: (any Error)?) {
        let result: Result<Void, any Error> = error.map { .failure($0) } ?? .success(())
        let waiter = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            guard state.result == nil else { return nil }
            state.result = result
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(with: result)
    }

    func wait() async throws {
        try await withCheckedThrowingContinuation { continuation in
            let result = state.withLock { state -> Result<Void, any Error>? in
                if let result = state.result { return result }
                state.waiter = continuation
                return nil
            }
            if let result { continuation.resume(with: result) }
        }
    }
}
