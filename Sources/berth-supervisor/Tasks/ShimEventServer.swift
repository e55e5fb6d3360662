import GRPCSocket
import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import NIOCore
import NIOPosix
import SwiftProtobuf

/// The ttrpc server at `<address>.ttrpc`, to which shims forward their events (`containerd.services.events.ttrpc.v1.Events/Forward`).
final class ShimEventServer: Sendable {
    private let channel: any Channel

    /// - Parameter receive: takes each event; what it throws is the shim's answer.
    init(path: String, group: any EventLoopGroup, receive: @escaping @Sendable (Types_Envelope) throws -> Void) async throws {
        channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(EventConnection(receive: receive)) }
            }
            .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
    }

    func close() async { try? await channel.close() }
}

/// One shim's connection. Events are taken and answered in the order they come.
private final class EventConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let receive: @Sendable (Types_Envelope) throws -> Void
    private var inbound = ByteBuffer()

    init(receive: @escaping @Sendable (Types_Envelope) throws -> Void) { self.receive = receive }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var data = unwrapInboundIn(data)
        if inbound.readableBytes == 0 { inbound = data } else { inbound.writeBuffer(&data) }
        var answers = ByteBuffer()
        do throws(SupervisorError) {
            while let frame = try TTRPCFrame.read(from: &inbound) {
                guard frame.kind == .request else { continue }
                if let bytes: [UInt8] = try? answer([UInt8](frame.payload.readableBytesView)).serializedBytes() {
                    TTRPCFrame.write(.response, stream: frame.stream, payload: bytes, to: &answers)
                }
            }
        } catch {
            Log.warn("a shim's event connection is broken", ["error": error.message])
            context.close(promise: nil)
        }
        if inbound.readableBytes == 0 { inbound = ByteBuffer() }
        if answers.readableBytes > 0 { context.writeAndFlush(wrapOutboundOut(answers), promise: nil) }
    }

    private func answer(_ bytes: [UInt8]) -> TTRPC_Response {
        do {
            let request = try TTRPC_Request(serializedBytes: bytes)
            guard request.service == EventsTTRPCAPI.service, request.method == EventsTTRPCAPI.forward.name else {
                throw SupervisorError(.unimplemented, "\(request.service)/\(request.method) is not served here")
            }
            try receive(try EventsTTRPC_ForwardRequest(serializedBytes: request.payload).envelope)
            return .with { $0.payload = (try? Google_Protobuf_Empty().serializedData()) ?? Data() }
        } catch {
            let status = GRPCErrorMapping.status(of: error)
            return .with {
                $0.status.code = Int32(status.code.rawValue)
                $0.status.message = status.message
            }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
