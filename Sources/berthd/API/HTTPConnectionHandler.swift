import BerthDefaults
import DockerAPI
import NIOCore
import NIOHTTP1
import NIOPosix

/// One client connection: takes requests apart, runs one at a time, writes the answers, and turns into a raw stream for routes that hijack.
///
/// While a request runs, later ones of a pipelining client wait in `waiting` and the socket is not read. A body that outruns its reader stops the reading too.
final class HTTPConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler, @unchecked Sendable {
    // Safety: everything mutable is touched on the channel's event loop only.
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// Bytes of a body nobody wants that are still read after the answer, so that the client sees the answer and not a reset connection. Go's server takes as many.
    private static let drainLimit = 256 << 10
    /// How long a client that goes on sending has to read the answer. Go's server waits as long.
    private static let linger = TimeAmount.milliseconds(500)

    private let api: EngineAPI
    private let encoder: any RemovableChannelHandler
    private let decoder: any RemovableChannelHandler
    private var context: ChannelHandlerContext?

    private var body: RequestBody?
    private var bodyEnded = true
    private var head: HTTPRequestHead?
    private var task: Task<Void, Never>?
    private var responding = false
    private var streaming = false
    private var closeAfterResponse = false
    private var draining: Int?
    private var waiting: [HTTPServerRequestPart] = []
    private var paused = false
    private var readRequested = false
    private var inputClosed = false

    init(api: EngineAPI, encoder: any RemovableChannelHandler, decoder: any RemovableChannelHandler) {
        self.api = api
        self.encoder = encoder
        self.decoder = decoder
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if responding && bodyEnded || !waiting.isEmpty {
            waiting.append(part)
            paused = true
            return
        }
        receive(part, context: context)
    }

    private func receive(_ part: HTTPServerRequestPart, context: ChannelHandlerContext) {
        switch part {
        case .head(let head): begin(head, context: context)
        case .body(let piece):
            if var remaining = draining {
                remaining -= piece.readableBytes
                draining = remaining
                if remaining < 0 { closeSlowly(context: context) }
            } else if body?.append(piece) == false {
                paused = true
            }
        case .end:
            bodyEnded = true
            body?.finish()
            if draining != nil { finishExchange(context: context) }
        }
    }

    private func begin(_ head: HTTPRequestHead, context: ChannelHandlerContext) {
        self.head = head
        responding = true
        bodyEnded = false
        closeAfterResponse = !head.isKeepAlive
        let loop = context.eventLoop
        let body = RequestBody(resume: { loop.execute { self.resumeReading() } })
        self.body = body
        if head.headers.first(name: "Expect")?.lowercased() == "100-continue" {
            context.writeAndFlush(wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
        }
        let channel = context.channel
        task = Task {
            let response = await self.api.respond(to: head, body: body, eventLoop: loop)
            await self.send(response, channel: channel)
        }
    }

    func read(context: ChannelHandlerContext) {
        if paused { readRequested = true } else { context.read() }
    }

    private func resumeReading() {
        paused = false
        if readRequested, let context {
            readRequested = false
            context.read()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event {
            inputClosed = true
            if !bodyEnded { body?.finish(failure: DaemonError(.cancelled, "the client closed the connection in the middle of the request")) }
            // An answer that streams has lost its reader; a plain answer may still be wanted by a client that closed its half early.
            if streaming { task?.cancel() }
            if !responding { context.close(promise: nil) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !bodyEnded { body?.finish(failure: DaemonError(.cancelled, "the client closed the connection in the middle of the request")) }
        inputClosed = true
        // What was begun is brought to its end although nobody hears of it: a container half started or half stopped is worse. A question is dropped.
        if streaming || !responding || head?.method == .GET || head?.method == .HEAD { task?.cancel() }
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is HTTPParserError, !responding {
            let text = "400 Bad Request"
            let headers: HTTPHeaders = ["Content-Type": "text/plain; charset=utf-8", "Connection": "close", "Content-Length": String(text.utf8.count)]
            context.write(wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .badRequest, headers: headers))), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { _ in context.close(promise: nil) }
        } else {
            context.close(promise: nil)
        }
    }

    // MARK: Writing

    private func send(_ response: HTTPResponse, channel: any Channel) async {
        switch response.body {
        case .none: await onLoop(channel) { self.writeWhole(response, nil) }
        case .bytes(let bytes): await onLoop(channel) { self.writeWhole(response, bytes) }
        case .stream(let produce):
            await onLoop(channel) { self.writeStreamHead(response) }
            do {
                try await produce(ResponseWriter(channel: channel))
                await onLoop(channel) { self.endStream() }
            } catch {
                // The status is sent: a connection cut short is the only way left to tell.
                Log.debug("a streaming answer ended early: \(error)")
                try? await channel.close().get()
            }
        case .hijack(let serve): await serveHijacked(response, nil, channel: channel, serve)
        case .webSocket(let upgrade, let serve): await serveHijacked(response, upgrade, channel: channel, serve)
        }
    }

    private func serveHijacked(_ response: HTTPResponse, _ upgrade: WebSocketUpgrade?, channel: any Channel, _ serve: @Sendable (HijackedConnection) async throws -> Void) async {
        guard let stream = await hijack(response, upgrade, channel: channel) else { return }
        do { try await serve(stream) } catch { Log.debug("a hijacked connection ended: \(error)") }
        await stream.close()
    }

    private func onLoop(_ channel: any Channel, _ body: @escaping @Sendable () -> Void) async {
        _ = try? await channel.eventLoop.submit(body).get()
    }

    private func writeWhole(_ response: HTTPResponse, _ bytes: ByteBuffer?) {
        guard let context, let head else { return }
        var headers = response.headers
        let isHead = head.method == .HEAD
        if response.status != .noContent && response.status != .notModified {
            if headers["Content-Length"].isEmpty { headers.add(name: "Content-Length", value: String(bytes?.readableBytes ?? 0)) }
        }
        if closeAfterResponse { headers.replaceOrAdd(name: "Connection", value: "close") }
        context.write(wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: response.status, headers: headers))), promise: nil)
        if let bytes, !isHead { context.write(wrapOutboundOut(.body(.byteBuffer(bytes))), promise: nil) }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        responseWritten(context: context)
    }

    private func writeStreamHead(_ response: HTTPResponse) {
        // Also when the client was gone before: nobody reads this.
        if inputClosed { task?.cancel() }
        guard let context, let head else { return }
        streaming = true
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: response.status, headers: response.headers))), promise: nil)
    }

    private func endStream() {
        guard let context else { return }
        streaming = false
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        responseWritten(context: context)
    }

    private func responseWritten(context: ChannelHandlerContext) {
        if bodyEnded { return finishExchange(context: context) }
        draining = Self.drainLimit
        body?.finish()
        resumeReading()
    }

    /// Nothing more is read or written. The connection stays for a moment: a client that finds it closed while it sends would report that and not the answer.
    private func closeSlowly(context: ChannelHandlerContext) {
        guard !paused else { return }
        paused = true
        context.close(mode: .output, promise: nil)
        let channel = context.channel
        context.eventLoop.scheduleTask(in: Self.linger) { channel.close(promise: nil) }
    }

    /// Request and answer are both complete: the next one may come.
    private func finishExchange(context: ChannelHandlerContext) {
        responding = false
        draining = nil
        body = nil
        task = nil
        if closeAfterResponse || inputClosed { return context.close(promise: nil) }
        let parts = waiting
        waiting = []
        for part in parts {
            if responding && bodyEnded { waiting.append(part) } else { receive(part, context: context) }
        }
        if waiting.isEmpty { resumeReading() }
    }

    // MARK: Hijacking

    /// Answers 101 (200 for clients that asked for no upgrade) and leaves a channel without HTTP.
    private func hijack(_ response: HTTPResponse, _ upgrade: WebSocketUpgrade?, channel: any Channel) async -> HijackedConnection? {
        let promise = channel.eventLoop.makePromise(of: HijackedConnection.self)
        channel.eventLoop.execute {
            guard let context = self.context, let head = self.head else { return promise.fail(ChannelError.ioOnClosedChannel) }
            self.paused = true
            let operations = context.pipeline.syncOperations
            let stream = HijackedConnection(channel: channel)
            _ = channel.setOption(.autoRead, value: false)
            do {
                // In front of this handler, so that it gets the bytes which the decoder gives back when it goes.
                try operations.addHandler(stream, position: .before(self))
            } catch {
                return promise.fail(error)
            }
            let bytes = upgrade?.head ?? Self.upgradeHead(head, response)
            let inputClosed = self.inputClosed
            operations.removeHandler(self.encoder).assumeIsolated().whenComplete { _ in
                channel.writeAndFlush(bytes, promise: nil)
                // After the head, which is no message, and before the decoder gives back the first ones.
                if let upgrade { try? operations.addHandlers(upgrade.handlers(), position: .before(stream)) }
                operations.removeHandler(self.decoder).assumeIsolated().whenComplete { _ in
                    if inputClosed { stream.noteInputClosed() }
                    operations.removeHandler(self).assumeIsolated().whenComplete { _ in promise.succeed(stream) }
                }
            }
        }
        return try? await promise.futureResult.get()
    }

    private static func upgradeHead(_ head: HTTPRequestHead, _ response: HTTPResponse) -> ByteBuffer {
        var text: String
        if head.headers.contains(name: "Upgrade") {
            let type = response.headers.first(name: "Content-Type") ?? StreamMediaType.rawStream
            text = "HTTP/1.1 101 UPGRADED\r\nContent-Type: \(type)\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            for (name, value) in response.headers where name != "Content-Type" { text += "\(name): \(value)\r\n" }
        } else {
            text = "HTTP/1.1 200 OK\r\nContent-Type: \(StreamMediaType.rawStream)\r\n"
        }
        return ByteBuffer(string: text + "\r\n")
    }
}

enum StreamMediaType {
    static let rawStream = "application/vnd.docker.raw-stream"
    static let multiplexedStream = "application/vnd.docker.multiplexed-stream"
}
