import ContainerdAPI
import GRPCSocket
import Synchronization

/// Which tasks' exits have been published, so that each is published once: whether the shim forwards it, we find it after a restart, or the shim dies.
///
/// The bundle remembers it over a restart of ours. Only the container's first process is tracked; execs end without a trace by design.
final class PublishedExits: Sendable {
    private let published = Mutex<Set<TaskKey>>([])

    /// - Returns: whether this is the first time; then the caller publishes.
    func claim(_ bundle: Bundle) -> Bool {
        let first = published.withLock { $0.insert(bundle.key).inserted }
        if first { bundle.markExitPublished() }
        return first
    }

    /// Takes over what the bundle remembers from before a restart.
    func restore(_ bundle: Bundle) {
        if bundle.isExitPublished { _ = published.withLock { $0.insert(bundle.key) } }
    }

    func forget(_ key: TaskKey) { _ = published.withLock { $0.remove(key) } }
}
