import BerthDefaults
import Glibc
import LinuxSystem
import TaskAPI

/// The calls of `containerd.task.v2.Task` and `containerd.task.v3.Task`, which differ in their name alone.
final class TaskService {
    private let environment: ContainerTask.Environment
    private var container: ContainerTask?
    private let onShutdown: () -> Void

    init(environment: ContainerTask.Environment, onShutdown: @escaping () -> Void) {
        self.environment = environment
        self.onShutdown = onShutdown
    }

    var hasContainer: Bool { container != nil }
    /// Something runs that a shutdown would orphan.
    var hasRunningContainer: Bool { container.map { !$0.initHasEnded } ?? false }

    func handle(_ request: TTRPCRequest, _ reply: TTRPCConnection.Reply) {
        guard request.service == "containerd.task.v2.Task" || request.service == "containerd.task.v3.Task" else {
            return reply(failure: TTRPCStatus(.unimplemented, "service \(request.service)"))
        }
        do {
            try call(request.method, request.payload, reply)
        } catch let status as TTRPCStatus {
            reply(failure: status)
        } catch let malformed as ProtobufError {
            reply(failure: .invalidArgument(malformed.description))
        } catch {
            reply(failure: .unknown("\(error)"))
        }
    }

    private func call(_ method: String, _ payload: [UInt8], _ reply: TTRPCConnection.Reply) throws {
        switch method {
        case "Create": try create(CreateTaskRequest(decoding: payload), reply)
        case "Start":
            let request = try ProcessRequest(decoding: payload)
            try find(request.id).start(request.execID, reply)
        case "Delete":
            let request = try ProcessRequest(decoding: payload)
            try find(request.id).delete(request.execID, reply)
        case "State":
            let request = try ProcessRequest(decoding: payload)
            reply(try find(request.id).describe(request.execID).encoded())
        case "Wait":
            let request = try ProcessRequest(decoding: payload)
            try find(request.id).find(request.execID).wait(reply)
        case "Exec":
            let request = try ExecProcessRequest(decoding: payload)
            try find(request.id).addExec(request, reply)
        case "Kill":
            let request = try KillRequest(decoding: payload)
            try find(request.id).kill(request, reply)
        case "Pause": try find(ProcessRequest(decoding: payload).id).pause(reply)
        case "Resume": try find(ProcessRequest(decoding: payload).id).resume(reply)
        case "Pids": reply(try find(ProcessRequest(decoding: payload).id).pids().encoded())
        case "Stats": reply(try find(ProcessRequest(decoding: payload).id).stats().encoded())
        case "Update":
            let request = try UpdateTaskRequest(decoding: payload)
            try find(request.id).update(request.resources, reply)
        case "ResizePty":
            let request = try ResizePtyRequest(decoding: payload)
            try find(request.id).resize(request)
            reply()
        case "CloseIO":
            let request = try CloseIORequest(decoding: payload)
            try find(request.id).closeIO(request)
            reply()
        case "Checkpoint":
            let request = try CheckpointTaskRequest(decoding: payload)
            try find(request.id).checkpoint(request, reply)
        case "Connect":
            let pid = (try? find(ProcessRequest(decoding: payload).id))?.process.pid ?? 0
            reply(ConnectResponse(shimPid: UInt32(getpid()), taskPid: UInt32(pid), version: Defaults.version).encoded())
        case "Shutdown":
            // As with containerd's shim: while there is a container, this asks for nothing.
            let request = try ShutdownRequest(decoding: payload)
            reply()
            if container == nil || request.now { onShutdown() }
        default: throw TTRPCStatus(.unimplemented, "method \(method)")
        }
    }

    private func find(_ id: String) throws(TTRPCStatus) -> ContainerTask {
        guard let container, container.id == id else { throw .notCreated }
        return container
    }

    private func create(_ request: CreateTaskRequest, _ reply: TTRPCConnection.Reply) throws(TTRPCStatus) {
        guard container == nil else { throw .alreadyExists("container \(container?.id ?? "") of this shim") }
        guard ContainerTask.isValidID(request.id) else { throw .invalidArgument("container id \(request.id)") }
        guard request.bundle.isAbsolutePath else { throw .invalidArgument("bundle \(request.bundle): not an absolute path") }
        guard request.checkpoint.isEmpty || request.checkpoint.isAbsolutePath else { throw .invalidArgument("checkpoint \(request.checkpoint): not an absolute path") }
        let task = ContainerTask(environment: environment, request: request, options: try Self.options(request.options)) { [weak self] deleted in
            if self?.container === deleted { self?.container = nil }
        }
        container = task
        task.create { [weak self] result in
            switch result {
            case .success(let pid): reply(PidResponse(pid: pid).encoded())
            case .failure(let status):
                self?.container = nil
                reply(failure: status)
            }
        }
    }

    private static func options(_ message: AnyMessage?) throws(TTRPCStatus) -> RuntimeOptions {
        guard let message, !message.value.isEmpty else { return RuntimeOptions() }
        guard RuntimeOptions.accepts(message) else { throw .invalidArgument("runtime options of type \(message.typeURL)") }
        do throws(ProtobufError) { return try RuntimeOptions(message) } catch { throw .invalidArgument(error.description) }
    }

    func shutDown() { container?.shutDown() }
}
