import Glibc
import LinuxSystem
import Netlink
import NIOCore
import NIOPosix

/// Carries TCP connections from an IPv6 address of the host to a container that has IPv4 only: the packet filter cannot translate between the families.
///
/// It lives in the daemon and rests with it; IPv4 and containers with IPv6 go through the packet filter and do not depend on anybody.
final class PortRelay: Sendable {
    private let server: EventLoopFuture<any Channel>

    /// Listens on an address of the host, with a socket that was bound for it.
    ///
    /// Returns at once: connections wait in the socket's queue until the event loop takes them.
    init(listener: consuming OwnedFD, to address: IPAddress, port: UInt16) {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let target = address.description
        let descriptor = listener.release()
        // All of it on the loop: a start that publishes a thousand ports does not wait for a thousand channels.
        server = loop.flatSubmit { Self.serve(descriptor, on: loop, to: target, port: port) }
    }

    private static func serve(_ descriptor: CInt, on loop: any EventLoop, to target: String, port: UInt16) -> EventLoopFuture<any Channel> {
        ServerBootstrap(group: loop)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { incoming in
                ClientBootstrap(group: incoming.eventLoop).connectTimeout(.seconds(10))
                    .channelOption(.allowRemoteHalfClosure, value: true)
                    .channelOption(.autoRead, value: false)
                    .connect(host: target, port: Int(port))
                    .flatMap { outgoing in
                        incoming.eventLoop.makeCompletedFuture {
                            let left = RelayHandler(), right = RelayHandler()
                            left.partner = outgoing
                            right.partner = incoming
                            try incoming.pipeline.syncOperations.addHandler(left)
                            try outgoing.pipeline.syncOperations.addHandler(right)
                            // The incoming side reads when it becomes active: before that the request would be lost.
                            outgoing.read()
                        }
                    }
            }
            .withBoundSocket(descriptor)
            .map { $0 as any Channel }
    }

    func close() async { try? await server.get().close() }

    /// Reads the next piece only when the other side has taken the last one.
    private final class RelayHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        /// On the same event loop.
        var partner: (any Channel)?

        func channelActive(context: ChannelHandlerContext) {
            context.read()
            context.fireChannelActive()
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard let partner else { return context.close(promise: nil) }
            let channel = context.channel
            partner.writeAndFlush(unwrapInboundIn(data)).whenComplete { result in
                switch result {
                case .success: channel.read()
                case .failure: channel.close(promise: nil)
                }
            }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if let event = event as? ChannelEvent, event == .inputClosed { partner?.close(mode: .output, promise: nil) }
            context.fireUserInboundEventTriggered(event)
        }

        func channelInactive(context: ChannelHandlerContext) {
            partner?.close(promise: nil)
            partner = nil
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
