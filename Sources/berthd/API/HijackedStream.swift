import NIOCore
import NIOPosix

/// A client's connection after the upgrade: the server side of attach and exec.
///
/// It holds what the client sends until a relay to a shim's attach socket is set up. Reading is one piece at a time in both directions, the next after the
/// last one was handed to the kernel, so nothing piles up here. Half-closure passes through: the client's end of input becomes the container's.
final class HijackedConnection: ChannelInboundHandler, @unchecked Sendable {
    // Safety: everything mutable is touched on the channel's event loop only; async entry points hop there first.
    typealias InboundIn = ByteBuffer

    enum Outcome: Sendable, Equatable {
        /// The container closed its streams.
        case finished
        /// The detach keys were typed.
        case detached
        /// The client's connection is gone.
        case clientGone
    }

    let channel: any Channel
    private var context: ChannelHandlerContext?
    private var held: [ByteBuffer] = []
    private var inputClosed = false
    private var gone = false
    /// The client's input waits until `releaseInput`.
    private var holdsInput = false
    private var wantsToStart = false
    private var relay: Relay?

    init(channel: any Channel) { self.channel = channel }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    /// Sends bytes of the engine itself: replayed logs, an error text.
    func write(_ buffer: ByteBuffer) async throws { try await channel.writeAndFlush(buffer).get() }

    /// Closes in an orderly way: what was written is still sent. The end of the shim's output comes together with all that was left of it, and a slow client
    /// takes its time to read that: a close would drop what the kernel has not taken yet.
    func close() async {
        try? await channel.writeAndFlush(ByteBuffer()).get()
        try? await channel.close().get()
    }

    /// Connects to a shim's attach socket and passes bytes until one side ends.
    ///
    /// - Parameters:
    ///   - streams: bit 1 stdin, 2 stdout, 4 stderr; the first byte the shim reads.
    ///   - detachKeys: the bytes that end the relay when typed in a row; empty: none.
    ///   - holdingInput: what the client sends waits for `releaseInput`: an exec has no standard input before it is started.
    ///   - ready: called when the shim has registered the reader, that is when no later output can be lost.
    ///   - framing: what is changed about the frames of the shim's output.
    /// - Throws: `SystemError`-like text when the socket cannot be reached.
    func relay(
        toSocket path: String, streams: UInt8, detachKeys: [UInt8], holdingInput: Bool = false, framing: OutputFraming.Change = .none, ready: @escaping @Sendable ((any Error)?) -> Void
    ) async throws -> Outcome {
        let loop = channel.eventLoop
        let result = loop.makePromise(of: Outcome.self)
        let relay = Relay(client: self, streams: streams, detachKeys: detachKeys, framing: OutputFraming(framing), ready: ready, result: result)
        do {
            let peer = try await ClientBootstrap(group: loop)
                .channelOption(.autoRead, value: false)
                .channelOption(.allowRemoteHalfClosure, value: true)
                .channelInitializer { peer in peer.eventLoop.makeCompletedFuture { try peer.pipeline.syncOperations.addHandler(relay) } }
                .connect(unixDomainSocketPath: path).get()
            loop.execute {
                self.holdsInput = holdingInput
                self.begin(relay, peer: peer)
            }
        } catch {
            ready(error)
            result.fail(error)
        }
        return try await result.futureResult.get()
    }

    private func begin(_ relay: Relay, peer: any Channel) {
        self.relay = relay
        guard !gone else { return relay.clientClosed() }
        relay.begin()
    }

    /// The shim is ready: what the client has sent meanwhile goes first.
    fileprivate func startReading() {
        guard !holdsInput else {
            wantsToStart = true
            return
        }
        let waiting = held
        held = []
        for piece in waiting { relay?.fromClient(piece, last: false) }
        if inputClosed { relay?.clientInputEnded() } else { context?.read() }
    }

    func releaseInput() {
        channel.eventLoop.execute {
            self.holdsInput = false
            if self.wantsToStart { self.startReading() }
        }
    }

    fileprivate func readMore() { if !inputClosed { context?.read() } }

    /// Output of the shim. The promise tells when the next piece may be read.
    fileprivate func fromShim(_ buffer: ByteBuffer, promise: EventLoopPromise<Void>?) {
        guard let context else { promise?.fail(ChannelError.ioOnClosedChannel); return }
        context.writeAndFlush(NIOAny(buffer), promise: promise)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let piece = unwrapInboundIn(data)
        if let relay, relay.isReady, !holdsInput { relay.fromClient(piece, last: true) } else { held.append(piece) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event {
            inputClosed = true
            if let relay, relay.isReady, !holdsInput { relay.clientInputEnded() }
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// The end of input came while HTTP was still in place.
    func noteInputClosed() { inputClosed = true }

    func channelInactive(context: ChannelHandlerContext) {
        gone = true
        relay?.clientClosed()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// The other half: the connection to the shim. Lives on the client's event loop.
private final class Relay: ChannelInboundHandler, @unchecked Sendable {
    // Safety: touched on the one event loop of both channels only.
    typealias InboundIn = ByteBuffer

    private let client: HijackedConnection
    private let streams: UInt8
    private var scanner: DetachScanner
    private var framing: OutputFraming
    private let ready: @Sendable ((any Error)?) -> Void
    private let result: EventLoopPromise<HijackedConnection.Outcome>
    private var context: ChannelHandlerContext?
    private(set) var isReady = false
    private var finished = false

    init(
        client: HijackedConnection, streams: UInt8, detachKeys: [UInt8], framing: OutputFraming, ready: @escaping @Sendable ((any Error)?) -> Void,
        result: EventLoopPromise<HijackedConnection.Outcome>
    ) {
        self.client = client
        self.streams = streams
        scanner = DetachScanner(keys: detachKeys)
        self.framing = framing
        self.ready = ready
        self.result = result
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func begin() {
        guard let context else { return end(.finished) }
        context.writeAndFlush(NIOAny(ByteBuffer(bytes: [streams])), promise: nil)
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var piece = unwrapInboundIn(data)
        if !isReady {
            guard piece.readInteger(as: UInt8.self) == 1 else { return end(.finished) }
            isReady = true
            ready(nil)
            client.startReading()
        }
        piece = framing.apply(to: piece)
        guard piece.readableBytes > 0 else { return context.read() }
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in self.context?.read() }
        client.fromShim(piece, promise: written)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { end(.finished) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(.finished)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// `last`: read on when this piece is with the kernel.
    func fromClient(_ piece: ByteBuffer, last: Bool) {
        guard let context, streams & 1 != 0 else {
            if last { client.readMore() }
            return
        }
        let (forwarded, detach) = scanner.scan(piece)
        if detach { return end(.detached) }
        guard forwarded.readableBytes > 0 else {
            if last { client.readMore() }
            return
        }
        let written = context.eventLoop.makePromise(of: Void.self)
        if last { written.futureResult.assumeIsolated().whenComplete { _ in self.client.readMore() } }
        context.writeAndFlush(NIOAny(forwarded), promise: written)
    }

    func clientInputEnded() {
        guard streams & 1 != 0 else { return }
        context?.close(mode: .output, promise: nil)
    }

    func clientClosed() { end(.clientGone) }

    private func end(_ outcome: HijackedConnection.Outcome) {
        guard !finished else { return }
        finished = true
        if !isReady { ready(ChannelError.eof) }
        context?.close(promise: nil)
        result.succeed(outcome)
    }
}
