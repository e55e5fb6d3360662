package import NIOCore
import NIOHPACK
import NIOPosix
import Synchronization

/// Serves gRPC on unix sockets: containerd's API for berthd, `ctr`, dockerd and whoever speaks it.
package final class GRPCServer: Sendable {
    private struct State {
        var listeners: [any Channel] = []
        var isShutDown = false
    }

    private let handlers: GRPCHandlers
    private let group: any EventLoopGroup
    private let connections: LiveConnections
    private let state = Mutex(State())

    /// - Parameter group: the event loops the connections are spread over. Handlers run on them.
    package init(handlers: GRPCHandlers, group: any EventLoopGroup) {
        self.handlers = handlers
        self.group = group
        connections = LiveConnections()
    }

    /// Listens on `path`, which replaces a socket that a dead server left there. The file's mode follows the process's umask.
    package func listen(path: String) async throws {
        let channel = try await bootstrap().bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
        add(channel)
    }

    /// Listens on a socket that somebody else has bound, for example systemd.
    /// - Parameter descriptor: owned by the server from now on.
    package func listen(descriptor: CInt) async throws {
        let channel = try await bootstrap().withBoundSocket(descriptor).get()
        add(channel)
    }

    private func add(_ channel: any Channel) {
        let late = state.withLock { state -> Bool in
            if !state.isShutDown { state.listeners.append(channel) }
            return state.isShutDown
        }
        if late { channel.close(promise: nil) }
    }

    /// Stops listening and ends every connection; calls that still run end as unavailable and their handlers are cancelled.
    package func shutdown() async {
        let listeners = state.withLock { state -> [any Channel] in
            state.isShutDown = true
            defer { state.listeners = [] }
            return state.listeners
        }
        for listener in listeners { try? await listener.close() }
        for channel in connections.all {
            try? await channel.eventLoop.submit {
                try channel.pipeline.syncOperations.handler(type: HTTP2Connection.self).shutdown()
            }.get()
        }
    }

    private func bootstrap() -> ServerBootstrap {
        let handlers = handlers
        let connections = connections
        return ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 256 << 10, high: 1 << 20))
            .childChannelInitializer { channel in
                connections.add(channel)
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Self.connection(on: channel, handlers: handlers))
                }
            }
    }

    private static func connection(on channel: any Channel, handlers: GRPCHandlers) -> HTTP2Connection {
        let loop = channel.eventLoop
        let executor = EventLoopTaskExecutor(loop)
        let connection = HTTP2Connection(role: .server, allocator: channel.allocator)
        let peer = peerCredentials(of: channel)
        connection.onStream = { stream, headers in
            let path = headers.first(name: ":path") ?? ""
            guard headers.first(name: ":method") == "POST", headers.first(name: "content-type")?.hasPrefix("application/grpc") == true else {
                refuse(stream, GRPCStatus(.internalError, "not a gRPC request"))
                return RefusedCall()
            }
            guard let handler = handlers.table[path] else {
                let parts = path.split(separator: "/", maxSplits: 1)
                let what = parts.count == 2 ? "unknown method \(parts[1]) for service \(parts[0])" : "malformed method name \"\(path)\""
                refuse(stream, GRPCStatus(.unimplemented, what))
                return RefusedCall()
            }
            let timeout = headers.first(name: "grpc-timeout").flatMap(GRPCStatus.decodeTimeout)
            let deadline = timeout.map { NIODeadline.now() + TimeAmount($0) }
            return ServerCall(
                stream: stream, loop: loop, executor: executor, handlers: handlers, handler: handler,
                context: GRPCContext(path: path, headers: headers, deadline: deadline, peer: peer))
        }
        return connection
    }

    private static func refuse(_ stream: HTTP2Stream, _ status: GRPCStatus) {
        var block = ByteBufferAllocator().buffer(capacity: 64)
        ResponseHeaders.writeInitial(to: &block)
        ResponseHeaders.writeStatus(status, to: &block)
        stream.end(trailers: block)
    }
}

/// Swallows what a client still sends on a stream that was answered at once.
private final class RefusedCall: HTTP2StreamDelegate {
    func received(headers: HPACKHeaders, endStream: Bool) {}
    func received(data: ByteBuffer, endStream: Bool) {}
    func aborted(_ status: GRPCStatus) {}
    func drained() {}
}

/// The connections that are open now.
private final class LiveConnections: Sendable {
    private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])

    var all: [any Channel] { channels.withLock { Array($0.values) } }

    func add(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        channels.withLock { $0[id] = channel }
        channel.closeFuture.whenComplete { [self] _ in channels.withLock { $0[id] = nil } }
    }
}
