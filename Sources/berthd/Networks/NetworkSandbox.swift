import Glibc
import LinuxSystem
import Netlink

/// The network namespace of a container that is about to be created.
///
/// It is made and filled while supervisor, shim and runtime are on their way to the container's process, which then joins it by `path`; from there on it is the process's and dies with it. Nothing
/// pins it but this daemon's descriptor: a daemon that is killed leaves nothing to be collected, and a start that fails takes namespace and veth along.
final class NetworkSandbox: Sendable {
    let namespace: NetworkNamespace

    /// - Throws: `SystemError` of unshare(2).
    init() throws(SystemError) { namespace = try NetworkNamespace.make() }

    /// Leads to the namespace for as long as this object lives, for processes that may look into this one.
    var path: String { "/proc/\(getpid())/fd/\(namespace.descriptor)" }
}
