import BerthDefaults
import JSONCodec
import LinuxSystem
import OCISpec

/// Hands the notification descriptor of a filter to the program that will answer for it.
///
/// Spec: OCI runtime-spec, config-linux.md#seccomp (`listenerPath`), runtime.md "The Container Process State".
enum SeccompListener {
    /// What is checked before anything is started.
    static func check(_ seccomp: RuntimeSpec.Linux.Seccomp, notifies: Bool) throws(RuntimeError) {
        let path = seccomp.listenerPath ?? ""
        if notifies && path.isEmpty { throw SeccompCompiler.invalid("listenerPath: SCMP_ACT_NOTIFY needs a listener") }
        if !path.isEmpty && !path.isAbsolutePath { throw SeccompCompiler.invalid("listenerPath: \(path.debugDescription) is not an absolute path") }
        if path.isEmpty, seccomp.listenerMetadata ?? "" != "" { throw SeccompCompiler.invalid("listenerMetadata: there is no listenerPath") }
    }

    /// The same for what arrived from the init: exactly one descriptor, which is closed afterwards.
    static func forward(_ descriptors: [CInt], _ filter: SeccompFilter?, pid: Int32, state: RuntimeState) throws(RuntimeError) {
        let files = descriptors.map { OwnedFDBox($0) }
        guard let seccomp = filter?.profile, let path = seccomp.listenerPath, files.count == 1 else { throw RuntimeError(.internalError, "seccomp notification without a listener") }
        try send(files[0].file, to: path, metadata: seccomp.listenerMetadata, pid: pid, state: state)
    }

    /// Sends the state of the container's process, with the descriptor beside it, as one message.
    static func send(
        _ descriptor: borrowing OwnedFD, to path: String, metadata: String?, pid: Int32, state: RuntimeState
    ) throws(RuntimeError) {
        let message = ContainerProcessState(fds: [ContainerProcessState.seccompFdName], pid: Int(pid), metadata: metadata, state: state)
        let bytes = try ConfigLoader.encode(message)
        let fd = descriptor.rawValue
        try during("failed to connect with seccomp agent specified in the seccomp profile") { () throws(SystemError) in
            let socket = try DescriptorPassing.connect(path)
            try DescriptorPassing.send(bytes, descriptors: [fd], over: socket, name: path)
        }
    }
}

/// A descriptor in an array.
private final class OwnedFDBox {
    let file: OwnedFD
    init(_ raw: CInt) { file = OwnedFD(adopting: raw) }
}
