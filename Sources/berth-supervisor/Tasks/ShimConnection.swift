import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import Glibc
import GRPCSocket
import NIOCore
import NIOPosix
import SwiftProtobuf
import Synchronization

/// The client side of one shim's ttrpc socket. Calls run side by side; a slow answer holds up nobody.
///
/// Safety: all mutable state belongs to `loop`; calls from elsewhere come in through `loop.execute`.
final class ShimConnection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private typealias Continuation = UnsafeContinuation<Result<[UInt8], GRPCStatus>, Never>

    let loop: any EventLoop
    private let name: String
    private let namespace: String
    /// "containerd.task.v2.Task" or v3's; the messages are the same.
    private let service: String
    private var context: ChannelHandlerContext?
    private var inbound = ByteBuffer()
    private var pending: [UInt32: Continuation] = [:]
    private var nextStream: UInt32 = 1
    private var isClosed = false
    private var hasAnswered = false
    private var onClose: (@Sendable (_ hasAnswered: Bool) -> Void)?
    private let closed = Atomic(false)

    private init(loop: any EventLoop, key: TaskKey, version: Int) {
        self.loop = loop
        name = "shim of \(key)"
        namespace = key.namespace
        service = version >= 3 ? ShimAPI.service : ShimV2API.service
    }

    /// Connects to a shim.
    /// - Throws: `unavailable` when nobody listens there; `deadlineExceeded` when that cannot be said: the shim's queue of connections is full because it
    ///   is stopped, or we are out of descriptors.
    static func connect(_ key: TaskKey, to bootstrap: Bundle.Bootstrap, on loop: any EventLoop) async throws(GRPCStatus) -> ShimConnection {
        let connection = ShimConnection(loop: loop, key: key, version: bootstrap.version)
        do {
            let path = try bootstrap.socketPath
            _ = try await ClientBootstrap(group: loop)
                .connectTimeout(.seconds(5))
                .channelInitializer { channel in channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(connection) } }
                .connect(unixDomainSocketPath: path).get()
            return connection
        } catch let error as SupervisorError {
            throw GRPCStatus(.unavailable, error.message)
        } catch {
            let isGone = (error as? IOError).map { [ECONNREFUSED, ENOENT, ENOTDIR].contains($0.errnoCode) } ?? false
            throw GRPCStatus(isGone ? .unavailable : .deadlineExceeded, "connect to the shim of \(key): \(error)")
        }
    }

    /// Calls `body` once the connection is gone, at once if it is already.
    func whenClosed(_ body: @escaping @Sendable (_ hasAnswered: Bool) -> Void) {
        loop.execute {
            if self.isClosed { body(self.hasAnswered) } else { self.onClose = body }
        }
    }

    /// Whether it is gone. From any thread.
    var hasClosed: Bool { closed.load(ordering: .acquiring) }

    // MARK: Calls

    /// One call of the task API. Cancelling the caller's task gives the answer up, the shim goes on with the call.
    /// - Parameter timeout: nil waits as long as the shim lives.
    func call<Request, Response>(
        _ method: RPCMethod<Request, Response>, _ request: Request, timeout: Duration? = nil
    ) async throws(GRPCStatus) -> Response {
        let bytes: [UInt8]
        do {
            let payload: Data = try request.serializedBytes()
            bytes = try TTRPC_Request.with {
                $0.service = service
                $0.method = method.name
                $0.payload = payload
                $0.metadata = [
                    .with {
                        $0.key = "containerd-namespace-ttrpc"
                        $0.value = namespace
                    }
                ]
                if let timeout { $0.timeoutNano = Int64(clamping: timeout.components.seconds) * 1_000_000_000 + timeout.components.attoseconds / 1_000_000_000 }
            }.serializedBytes()
        } catch {
            throw GRPCStatus(.internalError, "\(name): encode \(method.name): \(error)")
        }
        guard bytes.count <= TTRPCFrame.maximumLength else {
            throw GRPCStatus(.resourceExhausted, "\(name): \(method.name) request of \(bytes.count) bytes is too large for ttrpc")
        }
        let ticket = Ticket()
        let result = await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: Continuation) in
                run { self.send(bytes, method: method.name, timeout: timeout, ticket: ticket, continuation) }
            }
        } onCancel: {
            run {
                ticket.isCancelled = true
                self.finish(ticket.stream, .failure(GRPCStatus(.cancelled, "\(self.name): \(method.name) cancelled")))
            }
        }
        let payload = try result.get()
        do { return try Response(serializedBytes: payload) } catch {
            throw GRPCStatus(.internalError, "\(name): decode the answer to \(method.name): \(error)")
        }
    }

    /// A call's stream number, once it has one.
    ///
    /// Safety: belongs to the connection's loop.
    private final class Ticket: @unchecked Sendable {
        var stream: UInt32 = 0
        var isCancelled = false
    }

    private func run(_ body: @escaping @Sendable () -> Void) {
        if loop.inEventLoop { body() } else { loop.execute(body) }
    }

    private func send(_ request: [UInt8], method: String, timeout: Duration?, ticket: Ticket, _ continuation: Continuation) {
        guard !ticket.isCancelled else { return continuation.resume(returning: .failure(GRPCStatus(.cancelled, "\(name): \(method) cancelled"))) }
        guard !isClosed, let context else {
            return continuation.resume(returning: .failure(GRPCStatus(.unavailable, "\(name): connection closed")))
        }
        let stream = nextStream
        nextStream &+= 2
        ticket.stream = stream
        pending[stream] = continuation
        var buffer = context.channel.allocator.buffer(capacity: request.count + TTRPCFrame.headerLength)
        TTRPCFrame.write(.request, stream: stream, payload: request, to: &buffer)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
        if let timeout {
            loop.scheduleTask(in: TimeAmount(timeout)) {
                self.finish(stream, .failure(GRPCStatus(.deadlineExceeded, "\(self.name): no answer to \(method) within \(timeout)")))
            }
        }
    }

    private func finish(_ stream: UInt32, _ result: Result<[UInt8], GRPCStatus>) {
        pending.removeValue(forKey: stream)?.resume(returning: result)
    }

    /// Ends the connection; calls that still run fail as unavailable.
    func close() {
        run { self.context?.close(promise: nil) }
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        lost("connection closed")
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) { lost("connection closed by the shim") }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        lost("\(error)")
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var data = unwrapInboundIn(data)
        if inbound.readableBytes == 0 { inbound = data } else { inbound.writeBuffer(&data) }
        do throws(SupervisorError) {
            while let frame = try TTRPCFrame.read(from: &inbound) {
                if frame.kind == .response { received(frame) }
            }
        } catch {
            lost(error.message)
            context.close(promise: nil)
        }
        if inbound.readableBytes == 0 { inbound = ByteBuffer() }
    }

    private func received(_ frame: TTRPCFrame) {
        hasAnswered = true
        do {
            let response = try TTRPC_Response(serializedBytes: [UInt8](frame.payload.readableBytesView))
            if response.hasStatus, response.status.code != 0 {
                let code = GRPCStatus.Code(rawValue: Int(response.status.code)) ?? .unknown
                finish(frame.stream, .failure(GRPCStatus(code, response.status.message)))
            } else {
                finish(frame.stream, .success([UInt8](response.payload)))
            }
        } catch {
            finish(frame.stream, .failure(GRPCStatus(.internalError, "\(name): malformed answer: \(error)")))
        }
    }

    private func lost(_ why: String) {
        guard !isClosed else { return }
        isClosed = true
        closed.store(true, ordering: .releasing)
        let waiting = pending
        pending = [:]
        // First who makes the connection again, then who may want to call again.
        onClose?(hasAnswered)
        onClose = nil
        for continuation in waiting.values { continuation.resume(returning: .failure(GRPCStatus(.unavailable, "\(name): \(why)"))) }
    }
}
