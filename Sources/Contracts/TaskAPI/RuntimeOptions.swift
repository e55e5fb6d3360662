import CProtobufC

/// The client's wishes for a runtime with runc's command line: `containerd.runc.v1.Options`, or `containerd.linux.runc.CreateOptions`, which containerd's Go
/// client sends to every runtime whose name does not begin with `io.containerd.runc`.
package struct RuntimeOptions: Sendable, Equatable {
    package static let typeName = "containerd.runc.v1.Options"
    package static let createOptionsName = "containerd.linux.runc.CreateOptions"

    package var noPivotRoot = false
    package var noNewKeyring = false
    package var shimCgroup = ""
    package var ioUID: UInt32 = 0
    package var ioGID: UInt32 = 0
    package var binaryName = ""
    package var root = ""
    package var systemdCgroup = false
    /// CRIU's images of which the container is to be made; empty for a new one.
    package var criuImagePath = ""
    /// Where CRIU logs at a restore; empty for a directory in the bundle.
    package var criuWorkPath = ""

    package init() {}

    /// Whether `message` is of one of the types that are read.
    package static func accepts(_ message: AnyMessage) -> Bool { message.typeName == typeName || message.typeName == createOptionsName }

    /// - Parameter message: of a type that is accepted.
    package init(_ message: AnyMessage) throws(ProtobufError) {
        if message.typeName == Self.createOptionsName { try self.init(decodingCreateOptions: message.value) } else { try self.init(decoding: message.value) }
    }

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked(RuntimeOptions.typeName, bytes, containerd__runc__v1__options__unpack)
        let message = unpacked.pointer.pointee
        noPivotRoot = message.no_pivot_root != 0
        noNewKeyring = message.no_new_keyring != 0
        shimCgroup = String(cString: message.shim_cgroup)
        (ioUID, ioGID) = (message.io_uid, message.io_gid)
        binaryName = String(cString: message.binary_name)
        root = String(cString: message.root)
        systemdCgroup = message.systemd_cgroup != 0
        (criuImagePath, criuWorkPath) = (String(cString: message.criu_image_path), String(cString: message.criu_work_path))
    }

    /// What this message says about checkpoints beside the paths belongs to a call that makes one.
    private init(decodingCreateOptions bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked(RuntimeOptions.createOptionsName, bytes, containerd__linux__runc__create_options__unpack)
        let message = unpacked.pointer.pointee
        noPivotRoot = message.no_pivot_root != 0
        noNewKeyring = message.no_new_keyring != 0
        shimCgroup = String(cString: message.shim_cgroup)
        (ioUID, ioGID) = (message.io_uid, message.io_gid)
        (criuImagePath, criuWorkPath) = (String(cString: message.criu_image_path), String(cString: message.criu_work_path))
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__runc__v1__options__init)
        message.pointee.no_pivot_root = noPivotRoot ? 1 : 0
        message.pointee.no_new_keyring = noNewKeyring ? 1 : 0
        message.pointee.shim_cgroup = arena.string(shimCgroup)
        message.pointee.io_uid = ioUID
        message.pointee.io_gid = ioGID
        message.pointee.binary_name = arena.string(binaryName)
        message.pointee.root = arena.string(root)
        message.pointee.systemd_cgroup = systemdCgroup ? 1 : 0
        message.pointee.criu_image_path = arena.string(criuImagePath)
        message.pointee.criu_work_path = arena.string(criuWorkPath)
        return arena.pack(message)
    }
}
