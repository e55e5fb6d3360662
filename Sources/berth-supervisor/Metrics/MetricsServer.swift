import BerthDefaults
import NIOCore
import NIOHTTP1
import NIOPosix

/// `GET /v1/metrics` on an address of its own, where the configuration names one: containerd's `[metrics] address`.
///
/// Tells counts and sizes to whoever can connect, and nothing else: an address beyond loopback is the operator's decision.
final class MetricsServer: Sendable {
    private let channel: any Channel

    /// - Parameters:
    ///   - address: HOST:PORT or unix:///PATH.
    ///   - text: made for each request.
    static func listen(on address: String, group: any EventLoopGroup, text: @escaping @Sendable () async throws -> String) async throws -> MetricsServer {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(MetricsHandler(text: text))
                }
            }
        if address.hasPrefix("unix://") {
            return MetricsServer(try await bootstrap.bind(unixDomainSocketPath: String(address.dropFirst("unix://".count)), cleanupExistingSocketFile: true).get())
        }
        guard let (host, port) = endpoint(address) else { throw SupervisorError(.invalidArgument, "metrics address \"\(address)\" is not HOST:PORT") }
        return MetricsServer(try await bootstrap.bind(host: host, port: port).get())
    }

    /// Host and port of "127.0.0.1:1338" or "[::1]:1338".
    static func endpoint(_ address: String) -> (host: String, port: Int)? {
        guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]), (0...65535).contains(port) else { return nil }
        var host = address[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        return host.isEmpty ? nil : (String(host), port)
    }

    private init(_ channel: any Channel) { self.channel = channel }

    func close() async { try? await channel.close() }
}

/// Answers one request after the other on a connection.
private final class MetricsHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let text: @Sendable () async throws -> String
    private var head: HTTPRequestHead?

    init(text: @escaping @Sendable () async throws -> String) { self.text = text }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end:
            guard let head else { return }
            self.head = nil
            let path = head.uri.prefix { $0 != "?" }
            guard path == "/v1/metrics" || path == "/metrics" else { return answer(context.channel, head, .notFound, "404 page not found\n", "text/plain") }
            guard head.method == .GET || head.method == .HEAD else { return answer(context.channel, head, .methodNotAllowed, "", "text/plain") }
            let channel = context.channel
            let made = channel.eventLoop.makeFutureWithTask { [text] in try await text() }
            made.whenComplete { result in
                switch result {
                case .success(let body): Self.answer(channel, head, .ok, body, MetricsText.contentType)
                case .failure(let error): Self.answer(channel, head, .internalServerError, "\(error)\n", "text/plain")
                }
            }
        }
    }

    private func answer(_ channel: any Channel, _ request: HTTPRequestHead, _ status: HTTPResponseStatus, _ body: String, _ type: String) {
        Self.answer(channel, request, status, body, type)
    }

    private static func answer(_ channel: any Channel, _ request: HTTPRequestHead, _ status: HTTPResponseStatus, _ body: String, _ type: String) {
        let headers = HTTPHeaders([("Content-Type", type), ("Content-Length", "\(body.utf8.count)")])
        channel.write(HTTPServerResponsePart.head(HTTPResponseHead(version: request.version, status: status, headers: headers)), promise: nil)
        if request.method != .HEAD { channel.write(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: body))), promise: nil) }
        let done = channel.writeAndFlush(HTTPServerResponsePart.end(nil))
        if !request.isKeepAlive { done.whenComplete { _ in channel.close(promise: nil) } }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
