import CProtobufC

/// How a checkpoint is made: `containerd.runc.v1.CheckpointOptions`, or the message of that name in `containerd.linux.runc`.
package struct CheckpointTaskOptions: Sendable, Equatable {
    package static let typeName = "containerd.runc.v1.CheckpointOptions"
    package static let linuxTypeName = "containerd.linux.runc.CheckpointOptions"

    /// The container ends instead of going on.
    package var exits = false
    package var openTCP = false
    package var externalUnixSockets = false
    package var terminal = false
    package var fileLocks = false
    package var emptyNamespaces: [String] = []
    package var cgroupsMode = ""
    /// Where CRIU logs; empty for a directory that goes afterwards.
    package var workPath = ""

    package init() {}

    /// - Parameter message: of either type; nil and empty for all defaults.
    package init(_ message: AnyMessage?) throws(ProtobufError) {
        guard let message, !message.typeURL.isEmpty else { return }
        switch message.typeName {
        case Self.typeName:
            let unpacked = try Unpacked(Self.typeName, message.value, containerd__runc__v1__checkpoint_options__unpack)
            let fields = unpacked.pointer.pointee
            (exits, openTCP, externalUnixSockets) = (fields.exit != 0, fields.open_tcp != 0, fields.external_unix_sockets != 0)
            (terminal, fileLocks) = (fields.terminal != 0, fields.file_locks != 0)
            emptyNamespaces = (0..<fields.n_empty_namespaces).map { String(cString: fields.empty_namespaces[$0]!) }
            (cgroupsMode, workPath) = (String(cString: fields.cgroups_mode), String(cString: fields.work_path))
        case Self.linuxTypeName:
            let unpacked = try Unpacked(Self.linuxTypeName, message.value, containerd__linux__runc__checkpoint_options__unpack)
            let fields = unpacked.pointer.pointee
            (exits, openTCP, externalUnixSockets) = (fields.exit != 0, fields.open_tcp != 0, fields.external_unix_sockets != 0)
            (terminal, fileLocks) = (fields.terminal != 0, fields.file_locks != 0)
            emptyNamespaces = (0..<fields.n_empty_namespaces).map { String(cString: fields.empty_namespaces[$0]!) }
            (cgroupsMode, workPath) = (String(cString: fields.cgroups_mode), String(cString: fields.work_path))
        default: throw ProtobufError(message: "checkpoint options of type \(message.typeURL)")
        }
    }
}

package struct CheckpointTaskRequest: Sendable {
    package var id: String
    /// The directory for CRIU's images.
    package var path: String
    package var options: AnyMessage?

    package init(id: String, path: String, options: AnyMessage? = nil) {
        self.id = id
        self.path = path
        self.options = options
    }

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("CheckpointTaskRequest", bytes, containerd__task__v3__checkpoint_task_request__unpack)
        let message = unpacked.pointer.pointee
        self.init(id: String(cString: message.id), path: String(cString: message.path), options: AnyMessage(message.options))
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__task__v3__checkpoint_task_request__init)
        message.pointee.id = arena.string(id)
        message.pointee.path = arena.string(path)
        message.pointee.options = options.map(arena.any)
        return arena.pack(message)
    }
}
