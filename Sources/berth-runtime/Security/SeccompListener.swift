import BerthDefaults
import JSONCodec
import LinuxSystem
import OCISpec

/// Hands the notification descriptor of a filter to the program that will answer for it.
///
/// Spec: OCI runtime-spec, config-linux.md#seccomp (`listenerPath`), runtime.md "The Container Process State".
enum SeccompListener {
    /// What is checked before anything is started.
    static func check(_ seccomp: RuntimeSpec.Linux.Seccomp) throws(RuntimeError) {
        let notifies = seccomp.syscalls.contains { $0.action == "SCMP_ACT_NOTIFY" }
        let path = seccomp.listenerPath ?? ""
        if notifies && path.isEmpty { throw SeccompCompiler.invalid("listenerPath: SCMP_ACT_NOTIFY needs a listener") }
        if !path.isEmpty && !path.hasPrefix("/") { throw SeccompCompiler.invalid("listenerPath: \(path.debugDescription) is not an absolute path") }
        if path.isEmpty, seccomp.listenerMetadata ?? "" != "" { throw SeccompCompiler.invalid("listenerMetadata: there is no listenerPath") }
    }

    /// Sends the state of the container's process, with the descriptor beside it, as one message.
    static func send(
        _ descriptor: borrowing OwnedFD, to path: String, metadata: String?, pid: Int32, state: RuntimeState
    ) throws(RuntimeError) {
        let message = ContainerProcessState(fds: [ContainerProcessState.seccompFdName], pid: Int(pid), metadata: metadata, state: state)
        let bytes = try ConfigLoader.encode(message)
        let fd = descriptor.rawValue
        try during("seccomp listener \(path)") { () throws(SystemError) in
            let socket = try DescriptorPassing.connect(path)
            try DescriptorPassing.send(bytes, descriptors: [fd], over: socket, name: path)
        }
    }
}
