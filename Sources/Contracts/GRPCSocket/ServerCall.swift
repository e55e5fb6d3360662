import NIOCore
import NIOHPACK

/// One call at the server, from its headers to its status.
///
/// Safety: all mutable state belongs to the event loop of the connection; other threads come in through `loop.run`.
final class ServerCall: HTTP2StreamDelegate, MessageSink, @unchecked Sendable {
    private let stream: HTTP2Stream
    private let loop: any EventLoop
    private let executor: EventLoopTaskExecutor
    private let handlers: GRPCHandlers
    private let handler: GRPCHandlers.Handler
    private let context: GRPCContext

    private var deframer = MessageDeframer()
    private var request: ByteBuffer?
    private var inbox: MessageInbox?
    private var task: Task<Void, Never>?
    private var deadlineTimer: Scheduled<Void>?
    private var hasSentHeaders = false
    /// How it ended, once it has.
    private var end: GRPCStatus?
    private var drainWaiters = DrainWaiters()

    init(
        stream: HTTP2Stream, loop: any EventLoop, executor: EventLoopTaskExecutor, handlers: GRPCHandlers, handler: GRPCHandlers.Handler,
        context: GRPCContext
    ) {
        self.stream = stream
        self.loop = loop
        self.executor = executor
        self.handlers = handlers
        self.handler = handler
        self.context = context
    }

    // MARK: From the client

    func received(headers: HPACKHeaders, endStream: Bool) {
        if let deadline = context.deadline, deadlineTimer == nil {
            deadlineTimer = loop.scheduleTask(deadline: deadline) { self.giveUp(GRPCStatus(.deadlineExceeded, "context deadline exceeded")) }
        }
        if case .streaming(let body) = handler, inbox == nil {
            let inbox = MessageInbox { bytes in self.loop.run { self.stream.credit(bytes) } }
            self.inbox = inbox
            start { try await body(inbox, self, self.context) }
        }
        if endStream { requestEnded() }
    }

    func received(data: ByteBuffer, endStream: Bool) {
        guard end == nil else { return }
        deframer.append(data)
        do throws(GRPCStatus) {
            var messages: [ByteBuffer] = []
            while let message = try deframer.next() { messages.append(message) }
            if let inbox {
                inbox.push(messages, received: data.readableBytes)
            } else {
                guard messages.count + (request == nil ? 0 : 1) <= 1 else {
                    throw GRPCStatus(.internalError, "more than one request message for \(context.path)")
                }
                request = request ?? messages.first
                stream.credit(data.readableBytes)
            }
        } catch {
            return giveUp(error)
        }
        if endStream { requestEnded() }
    }

    private func requestEnded() {
        guard end == nil else { return }
        guard deframer.isEmpty else { return giveUp(GRPCStatus(.internalError, "request ends in the middle of a message")) }
        if let inbox { return inbox.finish(.success(())) }
        guard let request else { return giveUp(GRPCStatus(.internalError, "no request message for \(context.path)")) }
        self.request = nil
        switch handler {
        case .streaming: break
        case .unary(let body):
            start {
                let response = try await body(request, self.context)
                self.loop.run { self.respond(response) }
            }
        case .serverStreaming(let body):
            start { try await body(request, self, self.context) }
        }
    }

    func aborted(_ status: GRPCStatus) { ended(status) }

    func drained() { drainWaiters.resume(.success(())) }

    // MARK: The handler

    /// Runs the handler on this event loop, at once until it first waits.
    private func start(_ body: @escaping @Sendable () async throws -> Void) {
        let task = Task.immediate(executorPreference: executor) { [self] in
            do {
                try await body()
                loop.run { self.finish(GRPCStatus(.ok, "")) }
            } catch {
                let status = handlers.status(of: error)
                loop.run { self.finish(status) }
            }
        }
        if end == nil { self.task = task }
    }

    /// Ends the call from outside of its handler, which is cancelled.
    private func giveUp(_ status: GRPCStatus) {
        guard end == nil else { return }
        finish(status)
    }

    private func finish(_ status: GRPCStatus) {
        guard end == nil else { return }
        var block = ByteBufferAllocator().buffer(capacity: 64)
        if !hasSentHeaders { ResponseHeaders.writeInitial(to: &block) }
        ResponseHeaders.writeStatus(status, to: &block)
        hasSentHeaders = true
        stream.end(trailers: block)
        ended(status)
    }

    private func ended(_ status: GRPCStatus) {
        guard end == nil else { return }
        end = status
        deadlineTimer?.cancel()
        deadlineTimer = nil
        let gone: GRPCStatus = status.code == .ok ? GRPCStatus(.cancelled, "the call has ended") : status
        inbox?.finish(.failure(gone))
        inbox = nil
        drainWaiters.resume(.failure(gone))
        task?.cancel()
        task = nil
    }

    // MARK: To the client

    private func respond(_ message: ByteBuffer) {
        guard end == nil else { return }
        if !hasSentHeaders {
            hasSentHeaders = true
            var block = ByteBufferAllocator().buffer(capacity: 32)
            ResponseHeaders.writeInitial(to: &block)
            stream.send(headers: block)
        }
        stream.send(message)
    }

    func send(_ message: ByteBuffer) async throws(GRPCStatus) {
        let result = await withUnsafeContinuation { (continuation: UnsafeContinuation<Result<Void, GRPCStatus>, Never>) in
            loop.run {
                if let end = self.end { return continuation.resume(returning: .failure(end)) }
                self.respond(message)
                if self.stream.canTakeMore || self.stream.isClosed {
                    continuation.resume(returning: .success(()))
                } else {
                    self.drainWaiters.add(continuation)
                }
            }
        }
        try result.get()
    }
}

/// The header blocks of an answer.
enum ResponseHeaders {
    static func writeInitial(to block: inout ByteBuffer) {
        block.writeStaticHeader(HPACKStatic.status200)
        block.writeHeader(nameIndex: HPACKStatic.contentType, "application/grpc")
    }

    static func writeStatus(_ status: GRPCStatus, to block: inout ByteBuffer) {
        block.writeHeader("grpc-status", "\(status.code.rawValue)")
        if !status.message.isEmpty { block.writeHeader("grpc-message", GRPCStatus.percentEncoded(status.message)) }
        if !status.details.isEmpty { block.writeHeader("grpc-status-details-bin", HeaderBase64.encode(status.details)) }
    }
}
