import Netlink
import NIOCore
import NIOPosix
import Synchronization

/// Where one container's answers come from.
final class DNSSource: Sendable {
    /// Another container under a name that only the asker has for it.
    struct Link: Sendable {
        var name: String
        var network: (id: String, name: String)
    }

    private struct State {
        var links: [String: Link]
        var networks: [(id: String, name: String)]
        var upstream: [IPAddress]
        var turn = 0
        var outstanding = 0
    }

    /// Questions of one container that wait for an upstream server. More are dropped: the asker repeats them.
    private static let outstandingLimit = 256
    private let table: NameTable
    private let state: Mutex<State>

    /// - Parameter upstream: empty for a container that has only internal networks: nothing of what it asks leaves the host.
    init(table: NameTable, networks: [(id: String, name: String)], upstream: [IPAddress], links: [String: Link]) {
        self.table = table
        state = Mutex(State(links: links, networks: networks, upstream: upstream))
    }

    /// The container joined or left a network.
    func update(networks: [(id: String, name: String)], upstream: [IPAddress], links: [String: Link]) {
        state.withLock {
            $0.links = links
            $0.networks = networks
            $0.upstream = upstream
        }
    }

    /// - Returns: the whole message to send back; nil when there is none.
    func answer(_ message: [UInt8], overTCP: Bool, on eventLoop: any EventLoop) -> EventLoopFuture<[UInt8]?> {
        guard let query = DNSQuery(message) else { return eventLoop.makeSucceededFuture(nil) }
        if let local = localAnswer(query) { return eventLoop.makeSucceededFuture(local) }
        let servers = state.withLock { state -> [IPAddress]? in
            guard state.outstanding < Self.outstandingLimit else { return nil }
            state.outstanding += 1
            return state.upstream
        }
        guard let servers else { return eventLoop.makeSucceededFuture(nil) }
        let forwarded = servers.isEmpty
            ? eventLoop.makeSucceededFuture(query.noSuchName)
            : DNSForwarder.forward(message, query: query, to: servers[...], overTCP: overTCP, on: eventLoop)
        return forwarded.map(Optional.some).always { _ in self.state.withLock { $0.outstanding -= 1 } }
    }

    private func localAnswer(_ query: DNSQuery) -> [UInt8]? {
        let (networks, turn, link) = state.withLock { state in
            // Resolvers ask for A and AAAA in pairs: counting both, a pair of containers would never take turns.
            if query.kind == .a { state.turn &+= 1 }
            return (state.networks, state.turn, state.links[query.name.lowercased()])
        }
        switch query.kind {
        case .a, .aaaa:
            guard let addresses = link.map({ table.addresses(of: $0.name, in: [$0.network]) }) ?? table.addresses(of: query.name, in: networks) else { return nil }
            // A name that several containers have begins with another one each time.
            let start = addresses.isEmpty ? 0 : turn % addresses.count
            return query.answer(addresses: Array(addresses[start...] + addresses[..<start]))
        case .ptr:
            guard let address = query.reverseAddress, let name = table.name(of: address, in: networks) else { return nil }
            return query.answer(name: name)
        case nil:
            // A known name has no other records; asking the world for it would only tell it our names.
            return table.addresses(of: query.name, in: networks).map { _ in query.answer(addresses: []) }
        }
    }
}

/// Passes a question on, server after server, until one answers.
enum DNSForwarder {
    private static let patience = TimeAmount.seconds(3)
    private static let port = 53

    static func forward(_ message: [UInt8], query: DNSQuery, to servers: ArraySlice<IPAddress>, overTCP: Bool, on eventLoop: any EventLoop) -> EventLoopFuture<[UInt8]> {
        guard let server = servers.first else { return eventLoop.makeSucceededFuture(query.failure) }
        let promise = eventLoop.makePromise(of: [UInt8].self)
        let connected = overTCP ? connectTCP(server, promise, on: eventLoop) : connectUDP(server, promise, on: eventLoop)
        connected.whenFailure { promise.fail($0) }
        let timeout = eventLoop.scheduleTask(in: patience) { promise.fail(ChannelError.connectTimeout(patience)) }
        connected.whenSuccess { channel in
            var frame = ByteBuffer()
            if overTCP { frame.writeInteger(UInt16(truncatingIfNeeded: message.count)) }
            frame.writeBytes(message)
            channel.writeAndFlush(frame, promise: nil)
            promise.futureResult.whenComplete { _ in channel.close(promise: nil) }
        }
        return promise.futureResult.always { _ in timeout.cancel() }.flatMapError { _ in
            forward(message, query: query, to: servers.dropFirst(), overTCP: overTCP, on: eventLoop)
        }
    }

    /// A socket of its own for every question: its random port guards the answer better than the sixteen bits of an ID.
    private static func connectUDP(_ server: IPAddress, _ promise: EventLoopPromise<[UInt8]>, on eventLoop: any EventLoop) -> EventLoopFuture<any Channel> {
        DatagramBootstrap(group: eventLoop)
            .channelInitializer { channel in channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandlers([Unwrapper(), AnswerHandler(promise)]) } }
            .connect(host: server.description, port: port).map { $0 as any Channel }
    }

    private static func connectTCP(_ server: IPAddress, _ promise: EventLoopPromise<[UInt8]>, on eventLoop: any EventLoop) -> EventLoopFuture<any Channel> {
        ClientBootstrap(group: eventLoop).connectTimeout(patience)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandlers([ByteToMessageHandler(DNSFrameDecoder()), AnswerHandler(promise)]) }
            }
            .connect(host: server.description, port: port).map { $0 as any Channel }
    }

    /// A connected datagram socket speaks in envelopes; its peer is known.
    private final class Unwrapper: ChannelDuplexHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>
        typealias InboundOut = ByteBuffer
        typealias OutboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.fireChannelRead(wrapInboundOut(unwrapInboundIn(data).data)) }
    }

    private final class AnswerHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let promise: EventLoopPromise<[UInt8]>
        init(_ promise: EventLoopPromise<[UInt8]>) { self.promise = promise }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { promise.succeed(Array(unwrapInboundIn(data).readableBytesView)) }
        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            promise.fail(error)
            context.close(promise: nil)
        }
        func channelInactive(context: ChannelHandlerContext) { promise.fail(ChannelError.eof) }
    }
}
