import Glibc
import LinuxSystem
import TaskAPI

/// Accepts connections on the shim's socket and hands their requests on.
final class ShimServer {
    private let loop: EventLoop
    private let listener: OwnedFD
    private var connections: [ObjectIdentifier: TTRPCConnection] = [:]
    private let handle: (TTRPCRequest, TTRPCConnection.Reply) -> Void
    /// Called when the last connection has gone.
    var onLastDisconnect: (() -> Void)?

    init(loop: EventLoop, listener: consuming OwnedFD, handle: @escaping (TTRPCRequest, TTRPCConnection.Reply) -> Void) throws(SystemError) {
        self.loop = loop
        self.listener = listener
        self.handle = handle
        try Pipes.setNonBlocking(self.listener.rawValue)
        try loop.watch(self.listener.rawValue, .read) { [unowned self] _ in acceptAll() }
    }

    var hasConnections: Bool { !connections.isEmpty }

    private func acceptAll() {
        do {
            while let socket = try UnixSocket.accept(listener) {
                // The socket's mode keeps others out already; this also holds when its directory was opened up.
                let peer = try UnixSocket.peer(of: socket)
                guard peer.uid == geteuid() || peer.uid == 0 else { continue }
                let connection = try TTRPCConnection(loop: loop, socket: socket, handle: handle) { [unowned self] in forget($0) }
                connections[ObjectIdentifier(connection)] = connection
            }
        } catch {
            ShimLog.warn("accept a client: \(error)")
        }
    }

    private func forget(_ connection: TTRPCConnection) {
        connections[ObjectIdentifier(connection)] = nil
        if connections.isEmpty { onLastDisconnect?() }
    }

    /// No new connections from here on.
    func stopListening() { loop.unwatch(listener.rawValue) }
}
