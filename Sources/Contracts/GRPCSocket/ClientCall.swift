import NIOCore
import NIOHPACK

/// One call at the client, from its headers to its status.
///
/// Safety: all mutable state belongs to the client's event loop; other threads come in through `loop.run`.
final class ClientCall: HTTP2StreamDelegate, MessageSink, @unchecked Sendable {
    enum Answer {
        /// The one message, when the call has ended well.
        case unary((Result<ByteBuffer, GRPCStatus>) -> Void)
        case stream(MessageInbox)
    }

    private let loop: any EventLoop
    private let path: String
    private let headerBlock: ByteBuffer
    private let timeout: Duration?
    private var answer: Answer?
    private var stream: HTTP2Stream?
    private var deframer = MessageDeframer()
    private var message: ByteBuffer?
    private var hasHeaders = false
    private var timer: Scheduled<Void>?
    /// How it ended, once it has.
    private var end: GRPCStatus?
    private var drainWaiters = DrainWaiters()

    init(loop: any EventLoop, path: String, namespace: String?, metadata: [(String, String)], timeout: Duration?) {
        self.loop = loop
        self.path = path
        self.timeout = timeout
        var block = ByteBufferAllocator().buffer(capacity: 192)
        block.writeStaticHeader(HPACKStatic.methodPOST)
        block.writeStaticHeader(HPACKStatic.schemeHTTP)
        block.writeHeader(nameIndex: HPACKStatic.path, path)
        block.writeHeader(nameIndex: HPACKStatic.authority, "localhost")
        block.writeHeader(nameIndex: HPACKStatic.contentType, "application/grpc")
        block.writeHeader("te", "trailers")
        if let timeout { block.writeHeader("grpc-timeout", GRPCStatus.encodeTimeout(timeout)) }
        if let namespace { block.writeHeader(GRPCContext.namespaceHeader, namespace) }
        for (name, value) in metadata { block.writeHeader(name, value) }
        headerBlock = block
    }

    /// Opens the stream. `first` is the request of a call that sends one; `nil` leaves the sending half open.
    func start(_ answer: Answer, on core: ClientCore, first: ByteBuffer?, opened: @escaping @Sendable (GRPCStatus?) -> Void = { _ in }) {
        self.answer = answer
        if let end {
            deliver(end)
            return opened(end)
        }
        if let timeout {
            timer = loop.scheduleTask(in: TimeAmount(timeout)) { self.cancel(GRPCStatus(.deadlineExceeded, "\(self.path): no answer within \(timeout)")) }
        }
        core.acquire(until: timeout.map { NIODeadline.now() + TimeAmount($0) }) { result in
            if let end = self.end { return opened(end) }
            switch result {
            case .failure(let status):
                self.finish(status)
                opened(status)
            case .success(let connection):
                connection.open(headers: self.headerBlock, delegate: self) { stream in
                    if let end = self.end {
                        stream?.reset(.cancel)
                        return opened(end)
                    }
                    guard let stream else {
                        let status = GRPCStatus(.unavailable, "\(self.path): connection lost")
                        self.finish(status)
                        return opened(status)
                    }
                    self.stream = stream
                    if let first { stream.send(first, end: true) } else { connection.flush() }
                    opened(nil)
                }
            }
        }
    }

    // MARK: From the server

    func received(headers: HPACKHeaders, endStream: Bool) {
        if !hasHeaders {
            hasHeaders = true
            let http = headers.first(name: ":status") ?? ""
            guard http == "200" else { return cancel(GRPCStatus(.unavailable, "\(path): HTTP status \(http)")) }
            if !endStream { return }
        }
        guard endStream else { return }
        guard let text = headers.first(name: "grpc-status"), let number = Int(text) else {
            return finish(GRPCStatus(.unknown, "\(path): the answer has no status"))
        }
        let details = headers.first(name: "grpc-status-details-bin").flatMap(HeaderBase64.decode) ?? []
        finish(
            GRPCStatus(
                GRPCStatus.Code(rawValue: number) ?? .unknown, GRPCStatus.percentDecoded(headers.first(name: "grpc-message") ?? ""), details: details))
    }

    func received(data: ByteBuffer, endStream: Bool) {
        guard end == nil else { return }
        deframer.append(data)
        do throws(GRPCStatus) {
            var messages: [ByteBuffer] = []
            while let next = try deframer.next() { messages.append(next) }
            switch answer {
            case .stream(let inbox): inbox.push(messages, received: data.readableBytes)
            case .unary, nil:
                if let first = messages.first, message == nil { message = first }
                stream?.credit(data.readableBytes)
            }
        } catch {
            return cancel(error)
        }
        if endStream { finish(GRPCStatus(.unknown, "\(path): the answer ends without a status")) }
    }

    func aborted(_ status: GRPCStatus) { finish(GRPCStatus(status.code, "\(path): \(status.message)")) }

    func drained() { drainWaiters.resume(.success(())) }

    // MARK: Ends

    /// Ends the call on our side and tells the server.
    func cancel(_ status: GRPCStatus) {
        guard end == nil else { return }
        stream?.reset(.cancel)
        finish(status)
    }

    private func finish(_ status: GRPCStatus) {
        guard end == nil else { return }
        end = status
        timer?.cancel()
        timer = nil
        stream = nil
        drainWaiters.resume(.failure(status))
        deliver(status)
    }

    private func deliver(_ status: GRPCStatus) {
        switch answer {
        case .unary(let completion):
            if status.code != .ok {
                completion(.failure(status))
            } else if let message {
                completion(.success(message))
            } else {
                completion(.failure(GRPCStatus(.internalError, "\(path): no answer message")))
            }
        case .stream(let inbox): inbox.finish(status.code == .ok ? .success(()) : .failure(status))
        case nil: break
        }
        answer = nil
    }

    // MARK: To the server

    func send(_ message: ByteBuffer) async throws(GRPCStatus) {
        let result = await withUnsafeContinuation { (continuation: UnsafeContinuation<Result<Void, GRPCStatus>, Never>) in
            loop.run {
                guard self.end == nil, let stream = self.stream else {
                    let why = self.end.flatMap { $0.code == .ok ? nil : $0 } ?? GRPCStatus(.cancelled, "\(self.path): the call has ended")
                    return continuation.resume(returning: .failure(why))
                }
                stream.send(message)
                if stream.canTakeMore || stream.isClosed {
                    continuation.resume(returning: .success(()))
                } else {
                    self.drainWaiters.add(continuation)
                }
            }
        }
        try result.get()
    }

    /// Ends the sending half.
    func finishSending() { loop.run { self.stream?.end() } }

    /// Gives the stream's reader more window.
    func credit(_ bytes: Int) { loop.run { self.stream?.credit(bytes) } }
}
