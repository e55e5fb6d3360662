import CProtobufC

/// What a shim tells about its task. Each case is one message of protos/events.proto with a topic of its own.
package enum TaskEvent: Sendable {
    case create(CreateTaskRequest, pid: UInt32)
    case start(container: String, pid: UInt32)
    case execAdded(container: String, exec: String)
    case execStarted(container: String, exec: String, pid: UInt32)
    /// `process` is the container's id for its init process, otherwise the exec's.
    case exit(container: String, process: String, pid: UInt32, status: UInt32, at: Timestamp)
    case outOfMemory(container: String)
    case paused(container: String)
    case resumed(container: String)
    case delete(container: String, pid: UInt32, status: UInt32, at: Timestamp?)

    package var topic: String {
        switch self {
        case .create: "/tasks/create"
        case .start: "/tasks/start"
        case .execAdded: "/tasks/exec-added"
        case .execStarted: "/tasks/exec-started"
        case .exit: "/tasks/exit"
        case .outOfMemory: "/tasks/oom"
        case .paused: "/tasks/paused"
        case .resumed: "/tasks/resumed"
        case .delete: "/tasks/delete"
        }
    }

    package func message() -> AnyMessage {
        let arena = MessageArena()
        switch self {
        case .create(let request, let pid):
            let message = arena.make(containerd__events__task_create__init)
            message.pointee.container_id = arena.string(request.id)
            message.pointee.bundle = arena.string(request.bundle)
            message.pointee.n_rootfs = request.rootfs.count
            message.pointee.rootfs = arena.list(request.rootfs.map { $0.build(in: arena) })
            let io = arena.make(containerd__events__task_io__init)
            io.pointee.stdin = arena.string(request.stdio.stdin)
            io.pointee.stdout = arena.string(request.stdio.stdout)
            io.pointee.stderr = arena.string(request.stdio.stderr)
            io.pointee.terminal = request.stdio.terminal ? 1 : 0
            message.pointee.io = io
            message.pointee.checkpoint = arena.string(request.checkpoint)
            message.pointee.pid = pid
            return AnyMessage(typeURL: "containerd.events.TaskCreate", value: arena.pack(message))
        case .start(let container, let pid):
            let message = arena.make(containerd__events__task_start__init)
            message.pointee.container_id = arena.string(container)
            message.pointee.pid = pid
            return AnyMessage(typeURL: "containerd.events.TaskStart", value: arena.pack(message))
        case .execAdded(let container, let exec):
            let message = arena.make(containerd__events__task_exec_added__init)
            message.pointee.container_id = arena.string(container)
            message.pointee.exec_id = arena.string(exec)
            return AnyMessage(typeURL: "containerd.events.TaskExecAdded", value: arena.pack(message))
        case .execStarted(let container, let exec, let pid):
            let message = arena.make(containerd__events__task_exec_started__init)
            message.pointee.container_id = arena.string(container)
            message.pointee.exec_id = arena.string(exec)
            message.pointee.pid = pid
            return AnyMessage(typeURL: "containerd.events.TaskExecStarted", value: arena.pack(message))
        case .exit(let container, let process, let pid, let status, let time):
            let message = arena.make(containerd__events__task_exit__init)
            message.pointee.container_id = arena.string(container)
            message.pointee.id = arena.string(process)
            message.pointee.pid = pid
            message.pointee.exit_status = status
            message.pointee.exited_at = arena.timestamp(time)
            return AnyMessage(typeURL: "containerd.events.TaskExit", value: arena.pack(message))
        case .outOfMemory(let container):
            let message = arena.make(containerd__events__task_oom__init)
            message.pointee.container_id = arena.string(container)
            return AnyMessage(typeURL: "containerd.events.TaskOOM", value: arena.pack(message))
        case .paused(let container):
            let message = arena.make(containerd__events__task_paused__init)
            message.pointee.container_id = arena.string(container)
            return AnyMessage(typeURL: "containerd.events.TaskPaused", value: arena.pack(message))
        case .resumed(let container):
            let message = arena.make(containerd__events__task_resumed__init)
            message.pointee.container_id = arena.string(container)
            return AnyMessage(typeURL: "containerd.events.TaskResumed", value: arena.pack(message))
        case .delete(let container, let pid, let status, let time):
            let message = arena.make(containerd__events__task_delete__init)
            message.pointee.container_id = arena.string(container)
            message.pointee.pid = pid
            message.pointee.exit_status = status
            message.pointee.exited_at = arena.timestamp(time)
            return AnyMessage(typeURL: "containerd.events.TaskDelete", value: arena.pack(message))
        }
    }
}

/// An event on its way: `containerd.types.Envelope`.
package struct EventEnvelope: Sendable {
    package var timestamp: Timestamp
    package var namespace: String
    package var topic: String
    package var event: AnyMessage

    package init(timestamp: Timestamp, namespace: String, topic: String, event: AnyMessage) {
        self.timestamp = timestamp
        self.namespace = namespace
        self.topic = topic
        self.event = event
    }

    /// Reads a ForwardRequest, the wrapper in which the event service gets it.
    package init(decodingForwardRequest bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("ForwardRequest", bytes, containerd__services__events__ttrpc__v1__forward_request__unpack)
        guard let envelope = unpacked.pointer.pointee.envelope?.pointee, let event = AnyMessage(envelope.event) else { throw ProtobufError(message: "ForwardRequest") }
        self.init(
            timestamp: Timestamp(envelope.timestamp) ?? Timestamp(seconds: 0, nanoseconds: 0), namespace: String(cString: envelope.namespace_),
            topic: String(cString: envelope.topic), event: event)
    }

    package func forwardRequest() -> [UInt8] {
        let arena = MessageArena()
        let envelope = arena.make(containerd__types__envelope__init)
        envelope.pointee.timestamp = arena.timestamp(timestamp)
        envelope.pointee.namespace_ = arena.string(namespace)
        envelope.pointee.topic = arena.string(topic)
        envelope.pointee.event = arena.any(event)
        let request = arena.make(containerd__services__events__ttrpc__v1__forward_request__init)
        request.pointee.envelope = envelope
        return arena.pack(request)
    }
}
