import Glibc
import LinuxSystem

/// Where the runtime sends a terminal's master (`--console-socket`): one connection, one message, one descriptor.
///
/// The runtime has connected and sent before it ends, so nothing has to be waited for: when its end has been seen, the descriptor is in the queue.
final class ConsoleSocket {
    let path: String
    private let listener: OwnedFD

    init(path: String) throws(SystemError) {
        self.path = path
        unlink(path)
        listener = try UnixSocket.listen(at: path, backlog: 1)
    }

    /// - Returns: nil when the runtime has not sent a terminal.
    func receiveMaster() throws(SystemError) -> OwnedFD? {
        guard let connection = try UnixSocket.accept(listener) else { return nil }
        return try UnixSocket.receiveDescriptor(connection)
    }

    deinit { unlink(path) }
}
