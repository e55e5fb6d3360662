import ContainerdAPI
import FoundationEssentials
import Glibc
import GRPCSocket
import NIOCore
import NIOPosix
import SwiftProtobuf
import Synchronization

/// A server with one method of each kind on a socket of its own, and a client of it.
struct TestServer {
    let path: String
    let group: MultiThreadedEventLoopGroup
    let server: GRPCServer
    let client: GRPCClient
    /// How many handlers were cancelled.
    let cancelled: CancelCount

    final class CancelCount: Sendable {
        let count = Atomic<Int>(0)
    }

    private static let serial = Atomic<Int>(0)

    static func temporaryPath() -> String {
        "/tmp/berth-test-\(getpid())-\(serial.wrappingAdd(1, ordering: .relaxed).newValue).sock"
    }

    static func with(patience: Duration = .zero, _ body: (TestServer) async throws -> Void) async throws {
        let path = temporaryPath()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let cancelled = CancelCount()
        let server = GRPCServer(handlers: handlers(cancelled), group: group)
        try await server.listen(path: path)
        let client = GRPCClient(path: path, group: group, patience: patience)
        let test = TestServer(path: path, group: group, server: server, client: client, cancelled: cancelled)
        do { try await body(test) } catch {
            await test.close()
            throw error
        }
        await test.close()
    }

    private func close() async {
        client.close()
        await server.shutdown()
        unlink(path)
        try? await group.shutdownGracefully()
    }

    static func handlers(_ cancelled: CancelCount) -> GRPCHandlers {
        var handlers = GRPCHandlers(mapError: { GRPCStatus(.dataLoss, "mapped \($0)") })
        // Answers with the namespace the client named.
        handlers.unary(VersionAPI.version) { _, context in .with { $0.version = context.namespace ?? "none" } }
        // Fails as the name says.
        handlers.unary(NamespacesAPI.get) { request, _ in
            switch request.name {
            case "foreign": throw ForeignError()
            case "details": throw GRPCStatus(.failedPrecondition, "with details", details: [1, 2, 255])
            default: throw GRPCStatus(.notFound, "namespace \"\(request.name)\": 100% not found\né")
            }
        }
        // Waits until it is cancelled.
        handlers.unary(TasksAPI.wait) { _, _ in
            do { try await Task.sleep(for: .seconds(60)) } catch {
                cancelled.count.add(1, ordering: .relaxed)
                throw error
            }
            return .init()
        }
        // As many messages as the first filter says, as long as the second says.
        handlers.serverStream(EventsAPI.subscribe) { request, writer, _ in
            let count = Int(request.filters[0]) ?? 0
            let payload = Data(repeating: 7, count: request.filters.count > 1 ? Int(request.filters[1]) ?? 0 : 0)
            do {
                for index in 0..<count {
                    try await writer.write(
                        .with {
                            $0.topic = "\(index)"
                            $0.event.value = payload
                        })
                }
            } catch {
                cancelled.count.add(1, ordering: .relaxed)
                throw error
            }
        }
        // Adds up what comes and says so each time.
        handlers.bidirectional(ContentAPI.write) { requests, writer, _ in
            var total: Int64 = 0
            for try await request in requests {
                total += Int64(request.data.count)
                try await writer.write(.with { $0.offset = total })
            }
        }
        return handlers
    }
}

struct ForeignError: Error, CustomStringConvertible {
    var description: String { "foreign" }
}

/// Bytes to a server and what it answers, without a client in between.
func talkRaw(to path: String, _ bytes: [UInt8], untilClosed: Bool = false) -> [UInt8] {
    let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let connected = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
    guard connected == 0 else { return [] }
    var timeout = timeval(tv_sec: 0, tv_usec: 300_000)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    var sent = 0
    while sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
        if count <= 0 { break }
        sent += count
    }
    var answer: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = read(descriptor, &chunk, chunk.count)
        if count <= 0 { break }
        answer += chunk[..<count]
    }
    return answer
}
