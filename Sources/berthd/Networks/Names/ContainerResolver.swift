import Glibc
import LinuxSystem
import Netlink
import NIOCore
import NIOPosix

/// The sockets of the embedded resolver, opened inside of a container's network namespace: UDP and TCP on 127.0.0.11, port 53.
///
/// They keep the namespace alive, and with it the veth: whoever has them closes them when the container's process is gone.
struct ResolverSockets: Sendable {
    let udp: CInt
    let tcp: CInt

    /// Call on a thread that is in the namespace.
    static func open() throws(SystemError) -> ResolverSockets {
        let udp = try bind(CInt(SOCK_DGRAM.rawValue))
        do throws(SystemError) {
            let tcp = try bind(CInt(SOCK_STREAM.rawValue))
            do throws(SystemError) {
                try syscall("listen", on: "127.0.0.11:53") { listen(tcp, 16) }
            } catch {
                Glibc.close(tcp)
                throw error
            }
            return ResolverSockets(udp: udp, tcp: tcp)
        } catch {
            Glibc.close(udp)
            throw error
        }
    }

    private static func bind(_ kind: CInt) throws(SystemError) -> CInt {
        let raw = try syscall("socket", on: "127.0.0.11:53") { socket(AF_INET, kind | CInt(SOCK_CLOEXEC.rawValue), 0) }
        do throws(SystemError) {
            // After a restart of the daemon connections of its predecessor may linger.
            var one: CInt = 1
            _ = setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<CInt>.size))
            _ = try SocketAddress.withBytes(of: ResolvConf.embedded, port: 53) { (pointer, length) throws(SystemError) in
                try syscall("bind", on: "127.0.0.11:53") { Glibc.bind(raw, pointer, length) }
            }
        } catch {
            Glibc.close(raw)
            throw error
        }
        return raw
    }

    /// Gives the sockets up unused.
    func close() {
        Glibc.close(udp)
        Glibc.close(tcp)
    }
}

/// Answers one container's questions about names: from the table for its networks, from the upstream servers for everything else.
///
/// It lives in the daemon. While the daemon is down names do not resolve inside of user-defined networks; the sockets are opened again by the next daemon.
final class ContainerResolver: Sendable {
    private let channels: [any Channel]
    let source: DNSSource

    /// Takes the sockets over.
    static func start(_ sockets: ResolverSockets, source: DNSSource) async throws -> ContainerResolver {
        let group = MultiThreadedEventLoopGroup.singleton
        let udp: any Channel
        do {
            udp = try await DatagramBootstrap(group: group)
                .channelInitializer { channel in channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(DatagramHandler(source: source)) } }
                .withBoundSocket(sockets.udp).get()
        } catch {
            sockets.close()
            throw error
        }
        do {
            let tcp = try await ServerBootstrap(group: group)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandlers([ByteToMessageHandler(DNSFrameDecoder()), StreamHandler(source: source)])
                    }
                }
                .withBoundSocket(sockets.tcp).get()
            return ContainerResolver(channels: [udp, tcp], source: source)
        } catch {
            try? await udp.close()
            Glibc.close(sockets.tcp)
            throw error
        }
    }

    private init(channels: [any Channel], source: DNSSource) {
        self.channels = channels
        self.source = source
    }

    func close() async {
        for channel in channels { try? await channel.close() }
    }

    private final class DatagramHandler: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>
        typealias OutboundOut = AddressedEnvelope<ByteBuffer>
        private let source: DNSSource
        init(source: DNSSource) { self.source = source }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = unwrapInboundIn(data)
            let channel = context.channel
            source.answer(Array(envelope.data.readableBytesView), overTCP: false, on: context.eventLoop).whenSuccess { answer in
                guard let answer else { return }
                channel.writeAndFlush(AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: ByteBuffer(bytes: answer)), promise: nil)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {}  // A container that closed its port: nobody waits for the answer.
    }

    private final class StreamHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        private let source: DNSSource
        init(source: DNSSource) { self.source = source }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let channel = context.channel
            source.answer(Array(unwrapInboundIn(data).readableBytesView), overTCP: true, on: context.eventLoop).whenSuccess { answer in
                guard let answer else { return channel.close(promise: nil) }
                var frame = ByteBuffer()
                frame.writeInteger(UInt16(truncatingIfNeeded: answer.count))
                frame.writeBytes(answer)
                channel.writeAndFlush(frame, promise: nil)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}

/// DNS over TCP: two bytes of length before each message.
struct DNSFrameDecoder: ByteToMessageDecoder {
    typealias InboundOut = ByteBuffer

    mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) -> DecodingState {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt16.self), buffer.readableBytes >= 2 + Int(length) else { return .needMoreData }
        buffer.moveReaderIndex(forwardBy: 2)
        if let message = buffer.readSlice(length: Int(length)) { context.fireChannelRead(wrapInboundOut(message)) }
        return .continue
    }
}
