import ContainerdAPI
import Foundation
import NIOCore
import NIOPosix
import SwiftProtobuf
import Synchronization
@testable import berth_supervisor

/// A shim made of a shell script and a ttrpc server in this process: `start` prints the server's address, `delete` a fixed exit.
final class FakeShim: Sendable {
    struct Behaviour: Sendable {
        /// Methods that are never answered.
        var silent: Set<String> = []
        /// Methods that fail with this code.
        var failing: [String: Int32] = [:]
        /// How often a method that fails does so before it works; no entry: always.
        var failures: [String: Int] = [:]
        /// Methods at whose first call the connection breaks instead of an answer, and how they fail from then on (0: not at all).
        var breaking: [String: Int32] = [:]
        /// Every connection is closed as soon as it is made.
        var breaksAtOnce = false
        var status: TaskTypes_Status = .running
    }

    let directory: String
    let behaviour: Mutex<Behaviour>
    let calls = Mutex<[String]>([])
    private let group: any EventLoopGroup
    private let channel = Mutex<(any Channel)?>(nil)
    private let connections = Mutex<[any Channel]>([])

    var binary: String { directory + "/shim" }
    private var socket: String { directory + "/shim.sock" }

    init(directory: String, group: any EventLoopGroup, behaviour: Behaviour = .init()) async throws {
        self.directory = directory
        self.group = group
        self.behaviour = Mutex(behaviour)
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let exit: Data = try Shim_DeleteResponse.with {
            $0.pid = 42
            $0.exitStatus = 137
            $0.exitedAt = Google_Protobuf_Timestamp(seconds: 1000, nanos: 5)
        }.serializedData()
        try exit.write(to: URL(fileURLWithPath: directory + "/exit"))
        let script = """
            #!/bin/sh
            echo "$@" >> \(directory)/invocations
            for word; do last=$word; done
            case $last in
            start) [ ! -e \(directory)/hang ] || exec sleep 60; [ ! -e \(directory)/broken ] || { echo "no luck" >&2; exit 1; }; printf 'unix://\(socket)' ;;
            delete) cat \(directory)/exit ;;
            esac
            """
        try script.write(toFile: binary, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: binary)
        try await listen()
    }

    func listen() async throws {
        let server = try await ServerBootstrap(group: group)
            .childChannelInitializer { [self] channel in
                connections.withLock { $0.append(channel) }
                if behaviour.withLock({ $0.breaksAtOnce }) { return channel.eventLoop.makeFailedFuture(ChannelError.eof) }
                return channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Handler(shim: self)) }
            }
            .bind(unixDomainSocketPath: socket, cleanupExistingSocketFile: true).get()
        channel.withLock { $0 = server }
    }

    /// Dies: the socket and all connections are gone.
    func die() async {
        let server = channel.withLock { channel in
            defer { channel = nil }
            return channel
        }
        try? await server?.close()
        for connection in connections.withLock({ $0 }) { try? await connection.close() }
        connections.withLock { $0 = [] }
    }

    /// All connections break, and it goes on listening.
    func cut() async {
        let broken = connections.withLock { connections in
            defer { connections = [] }
            return connections
        }
        for connection in broken { try? await connection.close() }
    }

    /// Whether the connection breaks at this call.
    private func breaks(at method: String) -> Bool {
        behaviour.withLock { behaviour in
            guard let code = behaviour.breaking.removeValue(forKey: method) else { return false }
            if code != 0 { behaviour.failing[method] = code }
            return true
        }
    }

    func count(_ method: String) -> Int { calls.withLock { $0.count { $0 == method } } }

    private func answer(_ method: String) -> (any Message)? {
        calls.withLock { $0.append(method) }
        let behaviour = behaviour.withLock { behaviour in
            if let left = behaviour.failures[method] {
                behaviour.failures[method] = left - 1
                if left <= 0 { behaviour.failing[method] = nil }
            }
            return behaviour
        }
        if behaviour.silent.contains(method) { return nil }
        if let code = behaviour.failing[method] {
            return TTRPC_Response.with {
                $0.status.code = code
                $0.status.message = "\(method) refused"
            }
        }
        let payload: any Message =
            switch method {
            case "Create": Shim_CreateTaskResponse.with { $0.pid = 42 }
            case "Start": Shim_StartResponse.with { $0.pid = 42 }
            case "State":
                Shim_StateResponse.with {
                    $0.id = "x"
                    $0.pid = 42
                    $0.status = behaviour.status
                    $0.exitStatus = behaviour.status == .stopped ? 7 : 0
                    $0.exitedAt = Google_Protobuf_Timestamp(seconds: 2000, nanos: 1)
                }
            case "Delete":
                Shim_DeleteResponse.with {
                    $0.pid = 42
                    $0.exitStatus = 7
                }
            default: Google_Protobuf_Empty()
            }
        return TTRPC_Response.with { $0.payload = (try? payload.serializedData()) ?? Data() }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        let shim: FakeShim
        var inbound = ByteBuffer()

        init(shim: FakeShim) { self.shim = shim }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var data = unwrapInboundIn(data)
            inbound.writeBuffer(&data)
            while let frame = try? TTRPCFrame.read(from: &inbound) {
                guard let request = try? TTRPC_Request(serializedBytes: Array(frame.payload.readableBytesView)) else { continue }
                if shim.breaks(at: request.method) { return context.close(promise: nil) }
                if let response = shim.answer(request.method), let bytes: [UInt8] = try? response.serializedBytes() {
                    var out = ByteBuffer()
                    TTRPCFrame.write(.response, stream: frame.stream, payload: bytes, to: &out)
                    context.writeAndFlush(wrapOutboundOut(out), promise: nil)
                }
                // As a shim does: it ends after the answer.
                if request.method == "Shutdown" { Task { [shim] in await shim.die() } }
            }
        }
    }
}
