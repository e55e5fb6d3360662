import CProtobufC

// What a shim is asked for. Every initializer reads one message of protos/task.proto; `execID` is empty for the init process.

/// One mount of a root filesystem: `containerd.types.Mount`.
package struct MountMessage: Sendable, Equatable {
    package var type: String
    package var source: String
    /// Below the root filesystem; empty for the root itself.
    package var target: String
    package var options: [String]

    package init(type: String, source: String, target: String = "", options: [String]) {
        self.type = type
        self.source = source
        self.target = target
        self.options = options
    }

    init(_ message: Containerd__Types__Mount) {
        self.init(
            type: String(cString: message.type), source: String(cString: message.source), target: String(cString: message.target),
            options: (0..<message.n_options).map { String(cString: message.options[$0]!) })
    }

    func build(in arena: MessageArena) -> UnsafeMutablePointer<Containerd__Types__Mount> {
        let message = arena.make(containerd__types__mount__init)
        message.pointee.type = arena.string(type)
        message.pointee.source = arena.string(source)
        message.pointee.target = arena.string(target)
        message.pointee.n_options = options.count
        message.pointee.options = arena.strings(options)
        return message
    }
}

/// Where a process's three streams go: URIs, empty for none.
package struct StdioAddresses: Sendable, Equatable {
    package var stdin: String
    package var stdout: String
    package var stderr: String
    package var terminal: Bool

    package init(stdin: String = "", stdout: String = "", stderr: String = "", terminal: Bool = false) {
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.terminal = terminal
    }

    package var isNull: Bool { stdin.isEmpty && stdout.isEmpty && stderr.isEmpty }
}

package struct CreateTaskRequest: Sendable {
    package var id: String
    package var bundle: String
    package var rootfs: [MountMessage]
    package var stdio: StdioAddresses
    package var checkpoint: String
    package var options: AnyMessage?

    package init(id: String, bundle: String, rootfs: [MountMessage] = [], stdio: StdioAddresses = StdioAddresses(), checkpoint: String = "", options: AnyMessage? = nil) {
        self.id = id
        self.bundle = bundle
        self.rootfs = rootfs
        self.stdio = stdio
        self.checkpoint = checkpoint
        self.options = options
    }

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("CreateTaskRequest", bytes, containerd__task__v3__create_task_request__unpack)
        let message = unpacked.pointer.pointee
        self.init(
            id: String(cString: message.id), bundle: String(cString: message.bundle),
            rootfs: (0..<message.n_rootfs).map { MountMessage(message.rootfs[$0]!.pointee) },
            stdio: StdioAddresses(
                stdin: String(cString: message.stdin), stdout: String(cString: message.stdout), stderr: String(cString: message.stderr),
                terminal: message.terminal != 0),
            checkpoint: String(cString: message.checkpoint), options: AnyMessage(message.options))
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__task__v3__create_task_request__init)
        message.pointee.id = arena.string(id)
        message.pointee.bundle = arena.string(bundle)
        message.pointee.n_rootfs = rootfs.count
        message.pointee.rootfs = arena.list(rootfs.map { $0.build(in: arena) })
        message.pointee.terminal = stdio.terminal ? 1 : 0
        message.pointee.stdin = arena.string(stdio.stdin)
        message.pointee.stdout = arena.string(stdio.stdout)
        message.pointee.stderr = arena.string(stdio.stderr)
        message.pointee.checkpoint = arena.string(checkpoint)
        message.pointee.options = options.map(arena.any)
        return arena.pack(message)
    }
}

package struct ExecProcessRequest: Sendable {
    package var id: String
    package var execID: String
    package var stdio: StdioAddresses
    /// JSON of the runtime specification's Process.
    package var spec: [UInt8]

    package init(id: String, execID: String, stdio: StdioAddresses = StdioAddresses(), spec: [UInt8]) {
        self.id = id
        self.execID = execID
        self.stdio = stdio
        self.spec = spec
    }

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("ExecProcessRequest", bytes, containerd__task__v3__exec_process_request__unpack)
        let message = unpacked.pointer.pointee
        self.init(
            id: String(cString: message.id), execID: String(cString: message.exec_id),
            stdio: StdioAddresses(
                stdin: String(cString: message.stdin), stdout: String(cString: message.stdout), stderr: String(cString: message.stderr),
                terminal: message.terminal != 0),
            spec: AnyMessage(message.spec)?.value ?? [])
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__task__v3__exec_process_request__init)
        message.pointee.id = arena.string(id)
        message.pointee.exec_id = arena.string(execID)
        message.pointee.terminal = stdio.terminal ? 1 : 0
        message.pointee.stdin = arena.string(stdio.stdin)
        message.pointee.stdout = arena.string(stdio.stdout)
        message.pointee.stderr = arena.string(stdio.stderr)
        message.pointee.spec = arena.any(AnyMessage(typeURL: "types.containerd.io/opencontainers/runtime-spec/1/Process", value: spec))
        return arena.pack(message)
    }
}

/// The requests that name a process and nothing else: State, Start, Delete, Wait; and with an empty `execID` Pids, Pause, Resume, Stats, Connect.
package struct ProcessRequest: Sendable {
    package var id: String
    package var execID: String

    package init(id: String, execID: String = "") {
        self.id = id
        self.execID = execID
    }

    /// All of them have `id` as field 1 and, where there is one, `exec_id` as field 2: a StateRequest reads each.
    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("request", bytes, containerd__task__v3__state_request__unpack)
        self.init(id: String(cString: unpacked.pointer.pointee.id), execID: String(cString: unpacked.pointer.pointee.exec_id))
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__task__v3__state_request__init)
        message.pointee.id = arena.string(id)
        message.pointee.exec_id = arena.string(execID)
        return arena.pack(message)
    }
}

package struct ResizePtyRequest: Sendable {
    package var id: String
    package var execID: String
    package var width: UInt32
    package var height: UInt32

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("ResizePtyRequest", bytes, containerd__task__v3__resize_pty_request__unpack)
        let message = unpacked.pointer.pointee
        (id, execID) = (String(cString: message.id), String(cString: message.exec_id))
        (width, height) = (message.width, message.height)
    }
}

package struct KillRequest: Sendable {
    package var id: String
    package var execID: String
    package var signal: UInt32
    /// Every process of the container, not its init alone.
    package var all: Bool

    package init(id: String, execID: String = "", signal: UInt32, all: Bool = false) {
        self.id = id
        self.execID = execID
        self.signal = signal
        self.all = all
    }

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("KillRequest", bytes, containerd__task__v3__kill_request__unpack)
        let message = unpacked.pointer.pointee
        self.init(id: String(cString: message.id), execID: String(cString: message.exec_id), signal: message.signal, all: message.all != 0)
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__task__v3__kill_request__init)
        message.pointee.id = arena.string(id)
        message.pointee.exec_id = arena.string(execID)
        message.pointee.signal = signal
        message.pointee.all = all ? 1 : 0
        return arena.pack(message)
    }
}

package struct CloseIORequest: Sendable {
    package var id: String
    package var execID: String
    package var stdin: Bool

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("CloseIORequest", bytes, containerd__task__v3__close_iorequest__unpack)
        let message = unpacked.pointer.pointee
        (id, execID, stdin) = (String(cString: message.id), String(cString: message.exec_id), message.stdin != 0)
    }
}

package struct UpdateTaskRequest: Sendable {
    package var id: String
    /// JSON of the runtime specification's LinuxResources.
    package var resources: [UInt8]

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("UpdateTaskRequest", bytes, containerd__task__v3__update_task_request__unpack)
        let message = unpacked.pointer.pointee
        (id, resources) = (String(cString: message.id), AnyMessage(message.resources)?.value ?? [])
    }
}

package struct ShutdownRequest: Sendable {
    package var id: String
    /// Even while a container is there.
    package var now: Bool

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("ShutdownRequest", bytes, containerd__task__v3__shutdown_request__unpack)
        (id, now) = (String(cString: unpacked.pointer.pointee.id), unpacked.pointer.pointee.now != 0)
    }
}
