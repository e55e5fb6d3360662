import Dispatch
import Glibc
import LinuxSystem

/// The end of another process, waited for without waking up meanwhile: pidfd_open(2).
///
/// One waiter; `cancel` ends the wait and closes the descriptor.
final class ProcessEnd: Sendable {
    /// Dispatch's own objects may be used by any thread; their declarations do not say so.
    private nonisolated(unsafe) let source: any DispatchSourceRead
    private let ends: AsyncStream<Void>

    /// The process that listens on a unix socket.
    ///
    /// - Returns: nil when nobody listens, or the kernel does not say who does.
    convenience init?(listeningOn path: String) {
        guard let socket = try? UnixSocket.connect(to: path), let peer = try? UnixSocket.peer(of: socket), peer.pid > 1 else { return nil }
        // The listener lived when it accepted; were the pid another process's by now, its end would only have us look too early or at the next interval.
        self.init(pid: peer.pid)
    }

    init?(pid: pid_t) {
        guard let descriptor = try? Processes.open(pid) else { return nil }
        let raw = descriptor.release()
        let (ends, continuation) = AsyncStream.makeStream(of: Void.self)
        self.ends = ends
        source = DispatchSource.makeReadSource(fileDescriptor: raw)
        source.setEventHandler { continuation.finish() }
        source.setCancelHandler {
            close(raw)
            continuation.finish()
        }
        source.resume()
    }

    func wait() async { for await _ in ends {} }
    func cancel() { source.cancel() }
}
