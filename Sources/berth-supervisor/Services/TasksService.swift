import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import GRPCSocket
import SwiftProtobuf

/// containerd.services.tasks.v1: what runs. Each call finds the task's shim and passes on.
struct TasksService: GRPCService {
    /// How long `Get` waits for its shim.
    private static let stateTimeout = Duration.seconds(2)

    let database: MetadataDatabase
    let tasks: TaskManager
    let checkpoints: TaskCheckpoints

    func register(in handlers: inout GRPCHandlers) {
        registerLifecycle(in: &handlers)
        registerProcesses(in: &handlers)
        registerState(in: &handlers)
    }

    private func shim(_ id: String, _ context: GRPCContext) async throws -> Shim {
        let namespace = try context.requireNamespace()
        guard Identifiers.isValid(id), Identifiers.isValid(namespace) else { throw SupervisorError(.notFound, "task \(id) not found: not found") }
        return try await tasks.shim(of: TaskKey(namespace: namespace, id: id))
    }

    // MARK: Create, start, delete

    private func registerLifecycle(in handlers: inout GRPCHandlers) {
        handlers.unary(TasksAPI.create) { request, context in
            let pid = try await create(request, namespace: try context.requireNamespace())
            return .with {
                $0.containerID = request.containerID
                $0.pid = pid
            }
        }
        handlers.unary(TasksAPI.start) { request, context in
            let response = try await shim(request.containerID, context).call(
                ShimAPI.start,
                .with {
                    $0.id = request.containerID
                    $0.execID = request.execID
                })
            // A restored task is made, and its images are read.
            if request.execID.isEmpty { checkpoints.directories.remove(of: TaskKey(namespace: try context.requireNamespace(), id: request.containerID)) }
            return .with { $0.pid = response.pid }
        }
        handlers.unary(TasksAPI.delete) { request, context in
            let namespace = try context.requireNamespace()
            let exit = try await tasks.delete(TaskKey(namespace: namespace, id: request.containerID))
            return .with {
                $0.id = request.containerID
                $0.pid = exit.pid
                $0.exitStatus = exit.exitStatus
                $0.exitedAt = exit.exitedAt
            }
        }
        handlers.unary(TasksAPI.checkpoint) { request, context in
            try await checkpoint(request, try await shim(request.containerID, context), lease: context.lease)
        }
    }

    private func create(_ request: Tasks_CreateTaskRequest, namespace: String) async throws -> UInt32 {
        let container = try database.read { try ContainerRecords.get(request.containerID, in: namespace, $0) }
        guard container.sandbox.isEmpty else {
            throw SupervisorError(.unimplemented, "task \(request.containerID): sandbox \(container.sandbox): sandboxes are not supported: not implemented")
        }
        guard request.taskApiAddress.isEmpty else {
            throw SupervisorError(.unimplemented, "task \(request.containerID): a task API address of the client's is not supported: not implemented")
        }
        var options = request.hasOptions && !request.options.value.isEmpty ? request.options : nil
        if options == nil, container.runtime.hasOptions { options = container.runtime.options }
        let key = TaskKey(namespace: namespace, id: request.containerID)
        return try await tasks.create(
            key,
            TaskManager.CreateRequest(
                runtime: request.runtimePath.isEmpty ? container.runtime.name : request.runtimePath, spec: [UInt8](container.spec.value), options: options,
                rootfs: request.rootfs, stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.terminal)
        ) { try await checkpointDirectory(request, key) }
    }

    // MARK: Checkpoints

    /// Where the images are from which the task is to be made: the client's own directory, or one that is made of its content. Empty for a new task.
    private func checkpointDirectory(_ request: Tasks_CreateTaskRequest, _ key: TaskKey) async throws -> String {
        let own = try TaskCheckpoints.imagePath(atCreate: request.options)
        guard own.isEmpty, request.hasCheckpoint else { return own }
        return try await BlockingThread.run { [checkpoints] in try checkpoints.unpack(request.checkpoint, for: key) }
    }

    /// Has the shim save the task, in a directory of the client's or as content.
    private func checkpoint(_ request: Tasks_CheckpointTaskRequest, _ shim: Shim, lease: String?) async throws -> Tasks_CheckpointTaskResponse {
        let container = try database.read { try ContainerRecords.get(request.containerID, in: shim.key.namespace, $0) }
        func save(in path: String) async throws {
            _ = try await shim.call(
                ShimAPI.checkpoint,
                .with {
                    $0.id = request.containerID
                    $0.path = path
                    if request.hasOptions { $0.options = request.options }
                })
        }
        let own = try TaskCheckpoints.imagePath(atCheckpoint: request.options)
        if !own.isEmpty {
            try await save(in: own)
            return Tasks_CheckpointTaskResponse()
        }
        let directory = try checkpoints.directories.makeNew()
        defer { checkpoints.directories.remove(directory) }
        try await save(in: directory)
        return try await BlockingThread.run { [checkpoints] in
            let descriptors = try checkpoints.store(directory, spec: container.spec, of: shim.key, lease: lease)
            return .with { $0.descriptors = descriptors }
        }
    }

    // MARK: Processes

    private func registerProcesses(in handlers: inout GRPCHandlers) {
        handlers.unary(TasksAPI.exec) { request, context in
            try Identifiers.validate(request.execID, "exec ID")
            _ = try await shim(request.containerID, context).call(
                ShimAPI.exec,
                .with {
                    $0.id = request.containerID
                    $0.execID = request.execID
                    $0.stdin = request.stdin
                    $0.stdout = request.stdout
                    $0.stderr = request.stderr
                    $0.terminal = request.terminal
                    $0.spec = request.spec
                })
            return Google_Protobuf_Empty()
        }
        handlers.unary(TasksAPI.deleteProcess) { request, context in
            let exit = try await shim(request.containerID, context).call(
                ShimAPI.delete,
                .with {
                    $0.id = request.containerID
                    $0.execID = request.execID
                })
            return .with {
                $0.id = request.execID
                $0.pid = exit.pid
                $0.exitStatus = exit.exitStatus
                $0.exitedAt = exit.exitedAt
            }
        }
        handlers.unary(TasksAPI.kill) { request, context in
            _ = try await shim(request.containerID, context).call(
                ShimAPI.kill,
                .with {
                    $0.id = request.containerID
                    $0.execID = request.execID
                    $0.signal = request.signal
                    $0.all = request.all
                })
            return Google_Protobuf_Empty()
        }
        handlers.unary(TasksAPI.resizePty) { request, context in
            _ = try await shim(request.containerID, context).call(
                ShimAPI.resizePty,
                .with {
                    $0.id = request.containerID
                    $0.execID = request.execID
                    $0.width = request.width
                    $0.height = request.height
                }, repeats: true)
            return Google_Protobuf_Empty()
        }
        handlers.unary(TasksAPI.closeIO) { request, context in
            _ = try await shim(request.containerID, context).call(
                ShimAPI.closeIO,
                .with {
                    $0.id = request.containerID
                    $0.execID = request.execID
                    $0.stdin = request.stdin
                }, repeats: true)
            return Google_Protobuf_Empty()
        }
        handlers.unary(TasksAPI.wait) { request, context in
            let shim = try await shim(request.containerID, context)
            do throws(GRPCStatus) {
                let exit = try await shim.call(
                    ShimAPI.wait,
                    .with {
                        $0.id = request.containerID
                        $0.execID = request.execID
                    }, repeats: true)
                return .with {
                    $0.exitStatus = exit.exitStatus
                    $0.exitedAt = exit.exitedAt
                }
            } catch {
                // The shim died while we waited: its clean-up knows, or decides, how the container ended.
                guard error.code == .unavailable, shim.hasEnded, let exit = await shim.exitAfterDeath() else { throw error }
                return .with {
                    $0.exitStatus = request.execID.isEmpty ? exit.exitStatus : 137
                    $0.exitedAt = exit.exitedAt
                }
            }
        }
    }

    // MARK: State

    private func registerState(in handlers: inout GRPCHandlers) {
        handlers.unary(TasksAPI.get) { request, context in
            let shim = try await shim(request.containerID, context)
            let state = try await shim.call(
                ShimAPI.state,
                .with {
                    $0.id = request.containerID
                    $0.execID = request.execID
                }, timeout: Self.stateTimeout, repeats: true)
            return .with { $0.process = Self.process(state, container: request.containerID) }
        }
        handlers.unary(TasksAPI.list) { request, context in
            let shims = await tasks.shims(in: try context.requireNamespace())
            let processes = await ShimSurvey.ask(shims) { shim throws(GRPCStatus) in
                Self.process(try await shim.call(ShimAPI.state, .with { $0.id = shim.id }, repeats: true), container: shim.id)
            } silent: { shim in
                // A shim that hangs has a task all the same.
                .with {
                    $0.id = shim.id
                    $0.status = .unknown
                }
            }
            return .with { $0.tasks = processes.sorted { $0.id < $1.id } }
        }
        handlers.unary(TasksAPI.pause) { request, context in
            _ = try await shim(request.containerID, context).call(ShimAPI.pause, .with { $0.id = request.containerID })
            return Google_Protobuf_Empty()
        }
        handlers.unary(TasksAPI.resume) { request, context in
            _ = try await shim(request.containerID, context).call(ShimAPI.resume, .with { $0.id = request.containerID })
            return Google_Protobuf_Empty()
        }
        handlers.unary(TasksAPI.listPids) { request, context in
            let response = try await shim(request.containerID, context).call(ShimAPI.pids, .with { $0.id = request.containerID }, repeats: true)
            return .with { $0.processes = response.processes }
        }
        handlers.unary(TasksAPI.update) { request, context in
            _ = try await shim(request.containerID, context).call(
                ShimAPI.update,
                .with {
                    $0.id = request.containerID
                    $0.resources = request.resources
                    $0.annotations = request.annotations
                }, repeats: true)
            return Google_Protobuf_Empty()
        }
        handlers.unary(TasksAPI.metrics) { request, context in
            let namespace = try context.requireNamespace()
            let filters = try FilterSet(request.filters)
            let shims = await tasks.shims(in: namespace).filter { shim in
                filters.matches { path in
                    switch path {
                    case ["id"]: shim.id
                    case ["namespace"]: namespace
                    default: nil
                    }
                }
            }
            let metrics = await ShimSurvey.ask(shims) { shim throws(GRPCStatus) -> Types_Metric? in
                let stats = try await shim.call(ShimAPI.stats, .with { $0.id = shim.id }, repeats: true)
                return .with {
                    $0.timestamp = Timestamps.proto(Clock.now)
                    $0.id = shim.id
                    $0.data = stats.stats
                }
            } silent: { _ in nil }
            return .with { $0.metrics = metrics.sorted { $0.id < $1.id } }
        }
    }

    private static func process(_ state: Shim_StateResponse, container: String) -> TaskTypes_Process {
        .with {
            $0.containerID = container
            $0.id = state.execID.isEmpty ? state.id : state.execID
            $0.pid = state.pid
            $0.status = state.status
            $0.stdin = state.stdin
            $0.stdout = state.stdout
            $0.stderr = state.stderr
            $0.terminal = state.terminal
            $0.exitStatus = state.exitStatus
            if state.hasExitedAt { $0.exitedAt = state.exitedAt }
        }
    }
}
