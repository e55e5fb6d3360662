import Cgroups
import Glibc
import LinuxSystem
import TaskAPI

/// The container of this shim: its init process, its execs, its runtime.
///
/// Launching is in ContainerTask+Launch.swift, the calls that act on a running container in ContainerTask+Control.swift.
final class ContainerTask {
    /// What the container shares with the shim that holds it.
    struct Environment {
        let loop: EventLoop
        let reaper: ChildReaper
        let buffers: SharedBuffers
        let publisher: EventPublisher
        let namespace: String
        let sockets: SocketPaths
    }

    let environment: Environment
    let request: CreateTaskRequest
    let options: RuntimeOptions
    let runtime: RuntimeInvocation
    let process: ManagedProcess
    var execs: [String: ManagedProcess] = [:]
    var cgroup: Cgroup?
    var oom: OOMWatcher?
    var isPaused = false
    var isPausing = false
    /// Killed before it was there.
    var isKilledEarly = false
    /// The init process is number 1 of its pid namespace: the kernel kills all others when it ends.
    var ownsPIDNamespace = false
    /// The init process has been reaped, and its end is told when that of every exec has been.
    private var heldInitExit: ExitRecord?
    /// The runtime's `delete`, begun before anybody asked for it.
    private var deletion: Deletion?
    private lazy var isRootMounted = !request.rootfs.isEmpty
    private let onDeleted: (ContainerTask) -> Void

    var id: String { request.id }
    var bundle: String { request.bundle }
    /// CRIU's images of which the init process is made at Start; empty for a new container.
    var checkpoint: String { request.checkpoint.isEmpty ? options.criuImagePath : request.checkpoint }

    init(environment: Environment, request: CreateTaskRequest, options: RuntimeOptions, onDeleted: @escaping (ContainerTask) -> Void) {
        self.environment = environment
        self.request = request
        self.options = options
        self.onDeleted = onDeleted
        runtime = RuntimeInvocation(
            settings: RuntimeSettings(options: options, namespace: environment.namespace), bundle: request.bundle, reaper: environment.reaper)
        let stdio = ContainerTask.makeStdio(environment, request, options, addresses: request.stdio, name: request.id)
        process = ManagedProcess(execID: "", addresses: request.stdio, stdio: stdio, spec: [], state: ProcessState(phase: .creating))
    }

    static func makeStdio(
        _ environment: Environment, _ request: CreateTaskRequest, _ options: RuntimeOptions, addresses: StdioAddresses, name: String
    ) -> ProcessStdio {
        ProcessStdio(
            context: .init(
                loop: environment.loop, buffers: environment.buffers, reaper: environment.reaper, namespace: environment.namespace, container: request.id,
                sockets: environment.sockets, ownerUID: options.ioUID, ownerGID: options.ioGID),
            addresses: addresses, name: name)
    }

    /// - Throws: NotFound, as containerd words it.
    func find(_ execID: String) throws(TTRPCStatus) -> ManagedProcess {
        if execID.isEmpty { return process }
        guard let exec = execs[execID] else { throw .notFound("process does not exist \(execID)") }
        return exec
    }

    var initHasEnded: Bool { heldInitExit != nil || process.state.hasEnded }

    func publish(_ event: TaskEvent) { environment.publisher.publish(event) }

    static func timestamp() -> Timestamp {
        let now = Clock.now()
        return Timestamp(seconds: Int64(now.seconds), nanoseconds: Int32(now.nanoseconds))
    }

    // MARK: ends

    /// A process of the container has been reaped.
    func ended(_ ended: ManagedProcess, _ exit: ChildExit) {
        let record = ExitRecord(status: exit.status, time: ContainerTask.timestamp())
        if ended.isInit {
            oom?.check()
            oom?.stop()
            isPaused = false
            if ownsPIDNamespace { return initEnded(record) }
            // Nobody else kills what the init process leaves behind in a pid namespace that it shares.
            heldInitExit = record
            runtime.run(["kill", "--all", id, "9"]) { [self] _ in initEnded(record) }
        } else {
            finish(ended, record)
            if let heldInitExit, !execs.values.contains(where: { $0.isLive }) { initEnded(heldInitExit) }
        }
    }

    /// The end of the init process is the last one to be told.
    private func initEnded(_ record: ExitRecord) {
        guard !execs.values.contains(where: { $0.isLive }) else {
            heldInitExit = record
            return
        }
        heldInitExit = nil
        finish(process, record)
    }

    /// A start that failed was the last thing the end of the init process waited for.
    func execEndedWithoutProcess() { if let heldInitExit, ownsPIDNamespace { initEnded(heldInitExit) } }

    private func finish(_ ended: ManagedProcess, _ record: ExitRecord) {
        ended.stdio.processEnded()
        apply(ended.state.exited(record), to: ended)
    }

    /// Carries out what the state machine has decided.
    func apply(_ actions: [ProcessState.Action], to target: ManagedProcess) {
        for action in actions {
            switch action {
            case .publishStart:
                if target.isInit { publish(.start(container: id, pid: UInt32(target.pid))) }
                else { publish(.execStarted(container: id, exec: target.execID, pid: UInt32(target.pid))) }
            case .publishExit(let record):
                publish(.exit(container: id, process: target.isInit ? id : target.execID, pid: UInt32(target.pid), status: record.status, at: record.time))
                target.answerWaiters()
                if target.isInit { deleteAhead() }
            }
        }
    }

    // MARK: State, Wait, Delete

    func describe(_ execID: String) throws(TTRPCStatus) -> StateResponse {
        let target = try find(execID)
        var status = target.state.taskStatus
        if isPausing { status = .pausing } else if isPaused && status == .running { status = .paused }
        return StateResponse(
            id: execID.isEmpty ? id : execID, bundle: bundle, pid: UInt32(target.pid), status: status, stdio: target.addresses,
            exitStatus: target.state.exit?.status ?? 0, exitedAt: target.state.exit?.time, execID: execID)
    }

    func delete(_ execID: String, _ reply: TTRPCConnection.Reply) throws(TTRPCStatus) {
        let target = try find(execID)
        switch target.state.phase {
        case .creating: throw .failedPrecondition("cannot delete a process that is being created")
        case .starting, .running: throw .failedPrecondition("cannot delete a \(isPaused ? "paused" : "running") process")
        case .created, .stopped: break
        }
        guard !target.isDeleting else { throw .failedPrecondition("process \(execID.isEmpty ? id : execID) is being deleted") }
        target.isDeleting = true
        if target.isInit { deleteContainer(reply) } else { deleteExec(target, reply) }
    }

    private func deleteExec(_ target: ManagedProcess, _ reply: TTRPCConnection.Reply) {
        target.stdio.whenDrained { [self] in
            target.stdio.close()
            execs[target.execID] = nil
            unlink("\(bundle)/\(target.execID).pid")
            reply(DeleteResponse(pid: UInt32(target.pid), exitStatus: target.state.exit?.status ?? 0, exitedAt: target.state.exit?.time).encoded())
        }
    }

    /// The runtime cleans up while the last output is still being taken.
    private func deleteContainer(_ reply: TTRPCConnection.Reply) {
        var failure: String?
        var waitsFor = 3
        let step = { [self] in
            waitsFor -= 1
            guard waitsFor == 0 else { return }
            if let failure {
                process.isDeleting = false
                return reply(failure: .unknown("failed to delete task: \(failure)"))
            }
            finishDelete(reply)
        }
        // A container that was created and never started still has its init process, waiting.
        let force = process.state.phase == .created ? ["--force"] : []
        deleteInRuntime(force) { result in
            if case .failure(let error) = result, !error.message.contains(text: "does not exist") { failure = error.message }
            step()
        }
        process.stdio.whenDrained(step)
        // With `--force` the init process ends only now. Its end is told before that of the task.
        var isOver = false
        let over = {
            guard !isOver else { return }
            isOver = true
            step()
        }
        process.whenEnded(over)
        if !isOver { environment.loop.after(milliseconds: 5000, over) }
    }

    /// The container has ended, and what comes next is its deletion: our own runtime cleans up while the news of the exit travels. Of another runtime
    /// somebody may still want to ask something.
    private func deleteAhead() {
        guard runtime.settings.isBundled, deletion == nil else { return }
        let ahead = Deletion()
        deletion = ahead
        runtime.run(["delete", id]) { [self] result in
            if case .success = result { unmountRoot() }
            ahead.end(result)
        }
    }

    /// With the last mount of an overlay the kernel writes out all of the file system that holds its layers, which takes a millisecond at best. Once: whoever
    /// has the answer to Delete may use the layers.
    func unmountRoot() {
        guard isRootMounted else { return }
        isRootMounted = false
        RootfsMounts.unmount(request.rootfs.count, at: "\(bundle)/rootfs")
    }

    private func deleteInRuntime(_ force: [String], _ completion: @escaping (Result<Void, RuntimeInvocation.Failure>) -> Void) {
        guard let deletion else { return runtime.run(["delete"] + force + [id], completion: completion) }
        deletion.whenEnded { [self] result in
            if case .success = result { return completion(result) }
            runtime.run(["delete"] + force + [id], completion: completion)
        }
    }

    private func finishDelete(_ reply: TTRPCConnection.Reply) {
        oom?.stop()
        for exec in execs.values { exec.stdio.close() }
        process.stdio.close()
        execs = [:]
        unmountRoot()
        let exit = process.state.exit
        publish(.delete(container: id, pid: UInt32(process.pid), status: exit?.status ?? 0, at: exit?.time))
        onDeleted(self)
        reply(DeleteResponse(pid: UInt32(process.pid), exitStatus: exit?.status ?? 0, exitedAt: exit?.time).encoded())
    }

    /// The shim ends.
    func shutDown() {
        for exec in execs.values { exec.stdio.shutDown() }
        process.stdio.shutDown()
    }
}
