import NIOCore
import NIOPosix
import Glibc

/// The connection behind a client: made at the first call, made again when it is lost.
///
/// Safety: all mutable state belongs to `loop`.
final class ClientCore: @unchecked Sendable {
    typealias Waiter = (Result<HTTP2Connection, GRPCStatus>) -> Void

    let path: String
    let loop: any EventLoop
    /// How long a call waits for a server that is not there yet.
    private let patience: TimeAmount
    private var connection: HTTP2Connection?
    private var channel: (any Channel)?
    private var waiting: [(deadline: NIODeadline, start: Waiter)] = []
    private var isConnecting = false
    private var isClosed = false

    init(path: String, loop: any EventLoop, patience: Duration) {
        self.path = path
        self.loop = loop
        self.patience = TimeAmount(patience)
    }

    /// Hands out the open connection, after connecting when there is none. A failure is always `unavailable`.
    func acquire(until deadline: NIODeadline?, _ start: @escaping Waiter) {
        if let connection, connection.isOpen, !connection.isDraining { return start(.success(connection)) }
        guard !isClosed else { return start(.failure(GRPCStatus(.unavailable, "client is closed"))) }
        let patient = NIODeadline.now() + patience
        waiting.append((min(deadline ?? patient, patient), start))
        connect()
    }

    private func connect() {
        guard !isConnecting, !waiting.isEmpty else { return }
        isConnecting = true
        ClientBootstrap(group: loop)
            .channelOption(.writeBufferWaterMark, value: .init(low: 256 << 10, high: 1 << 20))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(HTTP2Connection(role: .client, allocator: channel.allocator))
                }
            }
            .connect(unixDomainSocketPath: path)
            .whenComplete { self.connected($0) }
    }

    private func connected(_ result: Result<any Channel, any Error>) {
        isConnecting = false
        do {
            let channel = try result.get()
            let fresh = try channel.pipeline.syncOperations.handler(type: HTTP2Connection.self)
            guard !isClosed else { return channel.close(promise: nil) }
            self.channel = channel
            connection = fresh
            fresh.onDraining = { [weak self, weak fresh] in
                guard let self, self.connection === fresh else { return }
                self.connection = nil
            }
            let ready = waiting
            waiting = []
            for waiter in ready { waiter.start(.success(fresh)) }
        } catch {
            let status = GRPCStatus(.unavailable, "connect \(path): \(Self.reason(error))")
            let now = NIODeadline.now()
            let expired = waiting.filter { $0.deadline <= now }
            waiting.removeAll { $0.deadline <= now }
            for waiter in expired { waiter.start(.failure(status)) }
            if !waiting.isEmpty, !isClosed { loop.scheduleTask(in: .milliseconds(20)) { self.connect() } }
        }
    }

    private static func reason(_ error: any Error) -> String {
        guard let error = error as? IOError else { return "\(error)" }
        return String(cString: strerror(error.errnoCode))
    }

    func close() {
        isClosed = true
        let refused = waiting
        waiting = []
        for waiter in refused { waiter.start(.failure(GRPCStatus(.unavailable, "client is closed"))) }
        channel?.close(promise: nil)
        channel = nil
        connection = nil
    }
}
