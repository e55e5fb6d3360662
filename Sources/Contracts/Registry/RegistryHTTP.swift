package import AsyncHTTPClient
import NIOCore
import NIOPosix
import Synchronization

/// The connections to registries of one program. Nothing is opened or started before the first request.
package final class RegistryHTTP: Sendable {
    /// One for each time that a connection may take to come about.
    private let clients = Mutex<[TimeAmount: HTTPClient]>([:])
    private let idle: TimeAmount

    /// - Parameter idle: a server that sends nothing for so long is given up.
    package init(idle: Duration) { self.idle = TimeAmount(idle) }

    /// On an event loop of its own, so that a fast download does not hold up the calls of others.
    package func client(connectTimeout: Duration? = nil, followsRedirects: Bool = false) -> HTTPClient {
        let timeout = TimeAmount(connectTimeout ?? .seconds(30))
        return clients.withLock { clients in
            // Redirects of registries are followed by whoever knows what must not go along.
            let key = followsRedirects ? .nanoseconds(-timeout.nanoseconds) : timeout
            if let client = clients[key] { return client }
            var configuration = HTTPClient.Configuration(
                redirectConfiguration: followsRedirects ? .follow(max: 10, allowCycles: false) : .disallow, timeout: .init(connect: timeout, read: idle),
                decompression: .disabled)
            configuration.httpVersion = .http1Only
            configuration.connectionPool.idleTimeout = .seconds(15)
            // A refused connection is told at once; what is worth another try is tried by those who know what they asked for.
            configuration.connectionPool.retryConnectionEstablishment = false
            let made = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup(numberOfThreads: 1), configuration: configuration)
            clients[key] = made
            return made
        }
    }
}
