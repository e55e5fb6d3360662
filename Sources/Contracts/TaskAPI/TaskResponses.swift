import CProtobufC

// What a shim answers. `encoded()` writes one message of protos/task.proto; requests without a result are answered with `google.protobuf.Empty`,
// which is no bytes.

/// The life of a process: `containerd.v1.types.Status`.
package enum TaskStatus: UInt32, Sendable { case unknown = 0, created, running, stopped, paused, pausing }

/// The one number that Create and Start answer.
package struct PidResponse: Sendable {
    package var pid: UInt32

    package init(pid: UInt32) { self.pid = pid }

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        pid = try Unpacked("StartResponse", bytes, containerd__task__v3__start_response__unpack).pointer.pointee.pid
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__task__v3__start_response__init)
        message.pointee.pid = pid
        return arena.pack(message)
    }
}

package struct DeleteResponse: Sendable {
    package var pid: UInt32
    package var exitStatus: UInt32
    package var exitedAt: Timestamp?

    package init(pid: UInt32, exitStatus: UInt32, exitedAt: Timestamp?) {
        self.pid = pid
        self.exitStatus = exitStatus
        self.exitedAt = exitedAt
    }

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("DeleteResponse", bytes, containerd__task__v3__delete_response__unpack)
        let message = unpacked.pointer.pointee
        self.init(pid: message.pid, exitStatus: message.exit_status, exitedAt: Timestamp(message.exited_at))
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__task__v3__delete_response__init)
        message.pointee.pid = pid
        message.pointee.exit_status = exitStatus
        message.pointee.exited_at = arena.timestamp(exitedAt)
        return arena.pack(message)
    }
}

package struct StateResponse: Sendable {
    package var id: String
    package var bundle: String
    package var pid: UInt32
    package var status: TaskStatus
    package var stdio: StdioAddresses
    package var exitStatus: UInt32
    package var exitedAt: Timestamp?
    package var execID: String

    package init(id: String, bundle: String, pid: UInt32, status: TaskStatus, stdio: StdioAddresses, exitStatus: UInt32, exitedAt: Timestamp?, execID: String) {
        self.id = id
        self.bundle = bundle
        self.pid = pid
        self.status = status
        self.stdio = stdio
        self.exitStatus = exitStatus
        self.exitedAt = exitedAt
        self.execID = execID
    }

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("StateResponse", bytes, containerd__task__v3__state_response__unpack)
        let message = unpacked.pointer.pointee
        self.init(
            id: String(cString: message.id), bundle: String(cString: message.bundle), pid: message.pid,
            status: TaskStatus(rawValue: UInt32(message.status.rawValue)) ?? .unknown,
            stdio: StdioAddresses(
                stdin: String(cString: message.stdin), stdout: String(cString: message.stdout), stderr: String(cString: message.stderr),
                terminal: message.terminal != 0),
            exitStatus: message.exit_status, exitedAt: Timestamp(message.exited_at), execID: String(cString: message.exec_id))
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__task__v3__state_response__init)
        message.pointee.id = arena.string(id)
        message.pointee.bundle = arena.string(bundle)
        message.pointee.pid = pid
        message.pointee.status = Containerd__V1__Types__Status(rawValue: status.rawValue)
        message.pointee.stdin = arena.string(stdio.stdin)
        message.pointee.stdout = arena.string(stdio.stdout)
        message.pointee.stderr = arena.string(stdio.stderr)
        message.pointee.terminal = stdio.terminal ? 1 : 0
        message.pointee.exit_status = exitStatus
        message.pointee.exited_at = arena.timestamp(exitedAt)
        message.pointee.exec_id = arena.string(execID)
        return arena.pack(message)
    }
}

package struct WaitResponse: Sendable {
    package var exitStatus: UInt32
    package var exitedAt: Timestamp?

    package init(exitStatus: UInt32, exitedAt: Timestamp?) {
        self.exitStatus = exitStatus
        self.exitedAt = exitedAt
    }

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("WaitResponse", bytes, containerd__task__v3__wait_response__unpack)
        self.init(exitStatus: unpacked.pointer.pointee.exit_status, exitedAt: Timestamp(unpacked.pointer.pointee.exited_at))
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__task__v3__wait_response__init)
        message.pointee.exit_status = exitStatus
        message.pointee.exited_at = arena.timestamp(exitedAt)
        return arena.pack(message)
    }
}

package struct PidsResponse: Sendable {
    /// Each process of the container; the exec it is the first process of, if any.
    package var processes: [(pid: UInt32, execID: String?)]

    package init(processes: [(pid: UInt32, execID: String?)]) { self.processes = processes }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__task__v3__pids_response__init)
        let list = processes.map { process in
            let row = arena.make(containerd__v1__types__process_info__init)
            row.pointee.pid = process.pid
            if let execID = process.execID {
                let details = arena.make(containerd__runc__v1__process_details__init)
                details.pointee.exec_id = arena.string(execID)
                row.pointee.info = arena.any(AnyMessage(typeURL: "containerd.runc.v1.ProcessDetails", value: arena.pack(details)))
            }
            return row
        }
        message.pointee.n_processes = list.count
        message.pointee.processes = arena.list(list)
        return arena.pack(message)
    }
}

package struct StatsResponse: Sendable {
    package var stats: AnyMessage

    package init(stats: AnyMessage) { self.stats = stats }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__task__v3__stats_response__init)
        message.pointee.stats = arena.any(stats)
        return arena.pack(message)
    }
}

package struct ConnectResponse: Sendable {
    package var shimPid: UInt32
    package var taskPid: UInt32
    package var version: String

    package init(shimPid: UInt32, taskPid: UInt32, version: String) {
        self.shimPid = shimPid
        self.taskPid = taskPid
        self.version = version
    }

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("ConnectResponse", bytes, containerd__task__v3__connect_response__unpack)
        let message = unpacked.pointer.pointee
        self.init(shimPid: message.shim_pid, taskPid: message.task_pid, version: String(cString: message.version))
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__task__v3__connect_response__init)
        message.pointee.shim_pid = shimPid
        message.pointee.task_pid = taskPid
        message.pointee.version = arena.string(version)
        return arena.pack(message)
    }
}

extension Timestamp {
    init?(_ pointer: UnsafeMutablePointer<Google__Protobuf__Timestamp>?) {
        guard let pointer else { return nil }
        self.init(seconds: pointer.pointee.seconds, nanoseconds: pointer.pointee.nanos)
    }
}
