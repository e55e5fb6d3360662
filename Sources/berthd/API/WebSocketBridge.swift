import Crypto
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOWebSocket

/// What a client's request to become a web socket comes to.
///
/// Spec: RFC 6455, section 4.2.
struct WebSocketUpgrade: Sendable {
    /// The value of `Sec-WebSocket-Accept`.
    let accept: String
    /// Binary messages; text for clients of old API versions.
    let sendsBinary: Bool

    /// - Throws: `.invalidArgument` for what is no such request.
    init(_ headers: HTTPHeaders, sendsBinary: Bool) throws(DaemonError) {
        guard headers[canonicalForm: "Upgrade"].contains(where: { $0.lowercased() == "websocket" }), headers[canonicalForm: "Connection"].contains(where: { $0.lowercased() == "upgrade" }),
            let key = headers.first(name: "Sec-WebSocket-Key"), Data(base64Encoded: key)?.count == 16
        else { throw .invalid("not a websocket request") }
        guard headers.first(name: "Sec-WebSocket-Version") == "13" else { throw .invalid("missing or bad WebSocket Version") }
        accept = Data(Insecure.SHA1.hash(data: Data((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))).base64EncodedString()
        self.sendsBinary = sendsBinary
    }

    var head: ByteBuffer {
        ByteBuffer(string: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \(accept)\r\n\r\n")
    }

    /// What stands between the socket and the handlers of raw bytes.
    func handlers() -> [any ChannelHandler] {
        [WebSocketFrameEncoder(), ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: 1 << 20)), WebSocketBridge(sendsBinary: sendsBinary)]
    }
}

/// Messages of a web socket as a plain stream of bytes, for who knows nothing of them. Pings are answered; a close ends the input.
private final class WebSocketBridge: ChannelDuplexHandler {
    typealias InboundIn = WebSocketFrame
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = WebSocketFrame

    private let opcode: WebSocketOpcode
    private var hasClosed = false

    init(sendsBinary: Bool) { opcode = sendsBinary ? .binary : .text }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        switch frame.opcode {
        case .binary, .text, .continuation: context.fireChannelRead(wrapInboundOut(frame.unmaskedData))
        case .ping:
            context.writeAndFlush(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .pong, data: frame.unmaskedData)), promise: nil)
            context.read()
        case .connectionClose:
            if !hasClosed {
                hasClosed = true
                context.writeAndFlush(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: frame.unmaskedData)), promise: nil)
            }
            context.close(promise: nil)
        default: context.read()
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let bytes = unwrapOutboundIn(data)
        guard bytes.readableBytes > 0, !hasClosed else { promise?.succeed(); return }
        context.write(wrapOutboundOut(WebSocketFrame(fin: true, opcode: opcode, data: bytes)), promise: promise)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode == .all, !hasClosed {
            hasClosed = true
            var code = ByteBuffer()
            code.write(webSocketErrorCode: .normalClosure)
            context.writeAndFlush(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: code)), promise: nil)
        }
        context.close(mode: mode, promise: promise)
    }
}
