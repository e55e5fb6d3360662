import Glibc
import NIOCore

/// `struct ucred`, which glibc's headers hide from Swift. Spec: unix(7).
private struct UnixCredentials {
    var pid: pid_t = 0
    var uid: uid_t = 0
    var gid: gid_t = 0
}

/// Reads SO_PEERCRED: who connected. nil when the channel is no unix socket.
func peerCredentials(of channel: any Channel) -> GRPCPeer? {
    guard let provider = channel as? any SocketOptionProvider else { return nil }
    let option: EventLoopFuture<UnixCredentials> = provider.unsafeGetSocketOption(level: .socket, name: .init(rawValue: SO_PEERCRED))
    // On the channel's own loop the answer is there at once.
    let box = CredentialsBox()
    option.whenSuccess { box.value = GRPCPeer(pid: $0.pid, uid: $0.uid, gid: $0.gid) }
    return box.value
}

/// Safety: written and read on the channel's event loop, within one function.
private final class CredentialsBox: @unchecked Sendable { var value: GRPCPeer? }
