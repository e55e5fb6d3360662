import BerthDefaults
import ContainerdAPI
import GRPCSocket
import NIOCore
import SwiftProtobuf

/// The supervisor's gRPC services as verbs of our domain: the only file that makes task, container and snapshot messages.
///
/// Works the same against a stock containerd. Errors come out as `DaemonError` with the code and containerd's text, without gRPC's frame.
struct SupervisorClient: Sendable {
    struct Exit: Sendable, Equatable {
        var code: Int
        var at: WallClock
    }

    struct TaskState: Sendable {
        enum Status: Sendable { case created, running, paused, stopped, unknown }
        var containerID: String
        var pid: Int32
        var status: Status
        /// Meaningful when stopped.
        var exit: Exit
    }

    /// How the task is run, from HostConfig.Runtime and the daemon's table.
    struct RuntimeChoice: Sendable, Equatable {
        /// `io.containerd.berth.v1`
        var shim: String
        /// A binary with runc's command line instead of the shim's own; empty: the shim's choice.
        var binaryName: String
    }

    let grpc: GRPCClient
    let namespace: String
    /// containerd's name of the snapshotter for new containers.
    var snapshotter: String

    /// How long a call is made again whose connection broke.
    private static let repeatingTime = Duration.seconds(20)

    /// - Parameter repeats: for what may be done twice: when the connection breaks before the answer, as when the supervisor is replaced, the call is made
    ///   again.
    private func call<Request: Message, Response: Message>(
        _ method: RPCMethod<Request, Response>, _ request: Request, timeout: Duration? = nil, repeats: Bool = false
    ) async throws -> Response {
        let deadline = ContinuousClock.now + Self.repeatingTime
        while true {
            do {
                return try await single(method, request, timeout: timeout)
            } catch let error as DaemonError where repeats && error.code == .unavailable && ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    private func single<Request: Message, Response: Message>(_ method: RPCMethod<Request, Response>, _ request: Request, timeout: Duration?) async throws -> Response {
        do {
            return try await grpc.unary(method, request, namespace: namespace, timeout: timeout)
        } catch {
            // A runtime's failure ends with its code in Docker's answers: containerd's clients write it behind what the shim says.
            let isRuntimes = error.message.hasPrefix("OCI runtime ") && !error.message.hasSuffix(": unknown")
            throw DaemonError(error.errorCode, isRuntimes ? error.message + ": unknown" : error.message)
        }
    }

    // MARK: Snapshots

    /// The snapshotter to use: the configured one, which has to be there, or the first of those that work there.
    func chooseSnapshotter(_ config: DaemonConfig) async throws -> String {
        if !config.storageDriver.isEmpty {
            // Nobody has this key: "not found" is what a snapshotter that works says.
            let request = Snapshots_StatSnapshotRequest.with {
                $0.snapshotter = config.storageDriver
                $0.key = "berth-probe"
            }
            do { _ = try await call(SnapshotsAPI.stat, request) } catch let error as DaemonError where error.code == .notFound {} catch let error as DaemonError {
                throw DaemonError(error.code, "storage driver \(config.storageDriver): \(error.message)")
            }
            return config.storageDriver
        }
        let request = Introspection_PluginsRequest.with { $0.filters = ["type==io.containerd.snapshotter.v1"] }
        let working = try await call(IntrospectionAPI.plugins, request).plugins.filter { !$0.hasInitErr }.map(\.id)
        // Our supervisor names the one that it was started with first; containerd lists them in no order.
        let wanted = config.containerd.isEmpty ? working.filter(StorageDrivers.built.contains) : StorageDrivers.built.filter(working.contains)
        guard let first = wanted.first else {
            throw DaemonError.internalError("none of the storage drivers \(StorageDrivers.built.joined(separator: ", ")) works on \(config.supervisorSocket)")
        }
        return first
    }

    /// A writable layer for a container. An existing one with this key is an error.
    func prepareSnapshot(key: String, parent: String, sizeLimit: Int64? = nil) async throws -> [Types_Mount] {
        var request = Snapshots_PrepareSnapshotRequest()
        request.snapshotter = snapshotter
        request.key = key
        request.parent = parent
        // The garbage collector keeps what a root label names.
        request.labels = ["containerd.io/gc.root": WallClock.now().rfc3339]
        if let sizeLimit { request.labels[Defaults.snapshotSizeLabel] = "\(sizeLimit)" }
        return try await call(SnapshotsAPI.prepare, request).mounts
    }

    func snapshotMounts(key: String, in snapshotter: String) async throws -> [Types_Mount] {
        var request = Snapshots_MountsRequest()
        request.snapshotter = snapshotter
        request.key = key
        return try await call(SnapshotsAPI.mounts, request, repeats: true).mounts
    }

    /// Removes a layer; one that is gone already is fine.
    func removeSnapshot(key: String, in snapshotter: String) async throws {
        var request = Snapshots_RemoveSnapshotRequest()
        request.snapshotter = snapshotter
        request.key = key
        try await ignoringNotFound { _ = try await self.call(SnapshotsAPI.remove, request, repeats: true) }
    }

    /// Bytes of the container's own layer.
    func snapshotUsage(key: String, in snapshotter: String) async throws -> Int64 {
        var request = Snapshots_UsageRequest()
        request.snapshotter = snapshotter
        request.key = key
        return try await call(SnapshotsAPI.usage, request, repeats: true).size
    }

    // MARK: Containers

    /// Registers the container with its spec (JSON of OCI's config.json). What an earlier, failed start left under the id is replaced.
    func createContainer(id: String, image: String, spec: [UInt8], snapshotter: String, runtime: RuntimeChoice, labels: [String: String]) async throws {
        var container = Containers_Container()
        container.id = id
        container.image = image
        container.labels = labels
        container.snapshotter = snapshotter
        container.snapshotKey = id
        container.runtime.name = runtime.shim
        container.spec = Google_Protobuf_Any.with {
            $0.typeURL = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
            $0.value = .init(spec)
        }
        let message = Containers_CreateContainerRequest.with { $0.container = container }
        do {
            _ = try await call(ContainersAPI.create, message)
        } catch let error as DaemonError where error.code == .alreadyExists {
            _ = try? await deleteTask(id: id)
            try await deleteContainer(id: id)
            _ = try await call(ContainersAPI.create, message)
        }
    }

    func deleteContainer(id: String) async throws {
        let request = Containers_DeleteContainerRequest.with { $0.id = id }
        try await ignoringNotFound { _ = try await self.call(ContainersAPI.delete, request, repeats: true) }
    }

    // MARK: Tasks

    /// Makes the init process, which waits for `startTask`.
    func createTask(id: String, rootfs: [Types_Mount], stdio: StdioURIs, runtime: RuntimeChoice) async throws -> Int32 {
        var request = Tasks_CreateTaskRequest()
        request.containerID = id
        request.rootfs = rootfs
        request.stdin = stdio.stdin
        request.stdout = stdio.stdout
        request.stderr = stdio.stderr
        request.terminal = stdio.terminal
        if !runtime.binaryName.isEmpty {
            request.options = try Google_Protobuf_Any.with {
                $0.typeURL = "containerd.runc.v1.Options"
                $0.value = try Runc_Options.with { $0.binaryName = runtime.binaryName }.serializedData()
            }
        }
        let deadline = ContinuousClock.now + Self.repeatingTime
        while true {
            do {
                return Int32(bitPattern: try await call(TasksAPI.create, request).pid)
            } catch let error as DaemonError where error.code == .alreadyExists && ContinuousClock.now < deadline {
                // The last life's, whose deletion was cut short. One that runs refuses to be deleted; one that is not there yet is being made for a
                // daemon that has ended, and is taken back as soon as the supervisor can.
                if try await deleteTask(id: id) == nil { try await Task.sleep(for: .milliseconds(20)) }
            }
        }
    }

    /// Starts the init, or with `execID` an exec. Answers with the pid.
    @discardableResult
    func startTask(id: String, execID: String = "") async throws -> Int32 {
        let request = Tasks_StartRequest.with {
            $0.containerID = id
            $0.execID = execID
        }
        return Int32(bitPattern: try await call(TasksAPI.start, request).pid)
    }

    /// Gives up the stopped task and with it the shim. nil when there is none.
    @discardableResult
    func deleteTask(id: String) async throws -> Exit? {
        let request = Tasks_DeleteTaskRequest.with { $0.containerID = id }
        do {
            let response = try await call(TasksAPI.delete, request, repeats: true)
            return Exit(code: Int(response.exitStatus), at: WallClock(response.exitedAt))
        } catch let error as DaemonError where error.code == .notFound {
            return nil
        }
    }

    func deleteExec(id: String, execID: String) async throws {
        let request = Tasks_DeleteProcessRequest.with {
            $0.containerID = id
            $0.execID = execID
        }
        try await ignoringNotFound { _ = try await self.call(TasksAPI.deleteProcess, request, repeats: true) }
    }

    /// - Throws: notFound; deadlineExceeded when its shim does not answer.
    func task(id: String, execID: String = "") async throws -> TaskState {
        let request = Tasks_GetRequest.with {
            $0.containerID = id
            $0.execID = execID
        }
        return TaskState(try await call(TasksAPI.get, request, repeats: true).process, containerID: id)
    }

    func tasks() async throws -> [TaskState] {
        try await call(TasksAPI.list, Tasks_ListTasksRequest(), repeats: true).tasks.map { TaskState($0, containerID: $0.containerID.isEmpty ? $0.id : $0.containerID) }
    }

    func kill(id: String, execID: String = "", signal: UInt32, all: Bool = false) async throws {
        let request = Tasks_KillRequest.with {
            $0.containerID = id
            $0.execID = execID
            $0.signal = signal
            $0.all = all
        }
        _ = try await call(TasksAPI.kill, request, repeats: signal == 9)
    }

    func exec(id: String, execID: String, process: [UInt8], stdio: StdioURIs) async throws {
        let request = Tasks_ExecProcessRequest.with {
            $0.containerID = id
            $0.execID = execID
            $0.stdin = stdio.stdin
            $0.stdout = stdio.stdout
            $0.stderr = stdio.stderr
            $0.terminal = stdio.terminal
            $0.spec = Google_Protobuf_Any.with {
                $0.typeURL = "types.containerd.io/opencontainers/runtime-spec/1/Process"
                $0.value = .init(process)
            }
        }
        _ = try await call(TasksAPI.exec, request)
    }

    func resize(id: String, execID: String = "", width: UInt32, height: UInt32) async throws {
        let request = Tasks_ResizePtyRequest.with {
            $0.containerID = id
            $0.execID = execID
            $0.width = width
            $0.height = height
        }
        _ = try await call(TasksAPI.resizePty, request)
    }

    func pause(id: String) async throws { _ = try await call(TasksAPI.pause, Tasks_PauseTaskRequest.with { $0.containerID = id }) }
    func resume(id: String) async throws { _ = try await call(TasksAPI.resume, Tasks_ResumeTaskRequest.with { $0.containerID = id }) }

    func pids(id: String) async throws -> [Int32] {
        try await call(TasksAPI.listPids, Tasks_ListPidsRequest.with { $0.containerID = id }).processes.map { Int32(bitPattern: $0.pid) }
    }

    /// New limits: JSON of `linux.resources`.
    func update(id: String, resources: [UInt8]) async throws {
        let request = Tasks_UpdateTaskRequest.with {
            $0.containerID = id
            $0.resources = Google_Protobuf_Any.with {
                $0.typeURL = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
                $0.value = .init(resources)
            }
        }
        _ = try await call(TasksAPI.update, request)
    }

    /// The cgroup's counters, as the message named by the type URL (cgroups v1 or v2).
    func metrics(id: String) async throws -> Google_Protobuf_Any {
        let request = Tasks_MetricsRequest.with { $0.filters = ["id==\(id)"] }
        guard let metric = try await call(TasksAPI.metrics, request).metrics.first else { throw DaemonError.notFound("no metrics for container \(id)") }
        return metric.data
    }

    // MARK: Events and version

    /// Task events of our namespace, from the moment this returns. The sequence ends with an error when the connection is lost.
    func taskEvents() async throws -> GRPCMessages<Types_Envelope> {
        let request = EventsService_SubscribeRequest.with { $0.filters = ["namespace==\(namespace),topic~=|^/tasks/|"] }
        do {
            return try await grpc.serverStream(EventsAPI.subscribe, request, namespace: namespace)
        } catch {
            throw DaemonError(error.errorCode, error.message)
        }
    }

    func version(timeout: Duration = .seconds(5)) async throws -> (version: String, revision: String) {
        let response = try await call(VersionAPI.version, Google_Protobuf_Empty(), timeout: timeout)
        return (response.version, response.revision)
    }

    private func ignoringNotFound(_ body: () async throws -> Void) async throws {
        do { try await body() } catch let error as DaemonError where error.code == .notFound {}
    }
}

/// Where a process's streams go: the URIs of Tasks.Create and Tasks.Exec.
struct StdioURIs: Sendable, Equatable {
    var stdin = ""
    var stdout = ""
    var stderr = ""
    var terminal = false
}

extension SupervisorClient.TaskState {
    init(_ process: TaskTypes_Process, containerID: String) {
        self.containerID = containerID
        pid = Int32(bitPattern: process.pid)
        status =
            switch process.status {
            case .created: .created
            case .running, .pausing: .running
            case .paused: .paused
            case .stopped: .stopped
            default: .unknown
            }
        exit = .init(code: Int(process.exitStatus), at: WallClock(process.exitedAt))
    }
}

extension WallClock {
    init(_ timestamp: Google_Protobuf_Timestamp) { self.init(seconds: timestamp.seconds, nanoseconds: timestamp.nanos) }
}
