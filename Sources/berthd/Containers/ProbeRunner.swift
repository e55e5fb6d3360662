import BerthDefaults
import DockerAPI
import Glibc
import LinuxSystem
import NIOCore
import NIOPosix

/// Runs one command in a container and collects what it says: for health checks.
struct ProbeRunner: Sendable {
    let environment: ContainerEnvironment

    /// - Returns: exit code and the first `outputLimit` bytes of output. A command that takes too long is killed and counts as failed, with Docker's text.
    func run(_ container: ManagedContainer, _ command: [String], timeout: Duration, outputLimit: Int) async throws -> (exitCode: Int, output: String) {
        var request = ExecCreateRequest()
        request.Cmd = command
        let record = container.record
        let exec = ExecRecord(id: Identifier.random(), containerID: container.id, request: request, detachKeys: [])
        let socket = "\(environment.config.execRoot)/io/\(exec.id.prefix(20)).sock"
        let uri = LogDriver.uri(path: "", log: LogConfig(), attachSocket: socket, closesStdinOnce: true, attributes: [:])
        let process = try ExecSpec.process(exec, record, consoleSize: nil, linkEnvironment: ContainerService(environment).linkEnvironmentIfRunning(of: record), config: environment.config)
        let supervisor = environment.supervisor
        let traces = ExecTraces(config: environment.config)
        container.mutateHealth { $0.probe = exec.id }
        traces.leave(exec.id, of: container.id)
        defer { container.mutateHealth { if $0.probe == exec.id { $0.probe = nil } } }
        do {
            try await supervisor.exec(
                id: container.id, execID: exec.id, process: Array(JSONBody.encode(process).readableBytesView), stdio: StdioURIs(stdin: "", stdout: uri, stderr: uri, terminal: false))
        } catch {
            await traces.collect(exec.id, of: container.id, supervisor)
            throw error
        }
        let collector = OutputCollector(limit: outputLimit)
        let channel = try? await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(collector) } }
            .connect(unixDomainSocketPath: socket).get()
        do {
            try await supervisor.startTask(id: container.id, execID: exec.id)
        } catch {
            try? await supervisor.kill(id: container.id, execID: exec.id, signal: UInt32(SIGKILL))
            await traces.collect(exec.id, of: container.id, supervisor)
            throw error
        }
        let finished = await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                try? await channel?.closeFuture.get()
                return true
            }
            group.addTask {
                try? await Task.sleep(for: timeout)
                return false
            }
            let first = await group.next() ?? false
            if !first { try? await supervisor.kill(id: container.id, execID: exec.id, signal: UInt32(SIGKILL)) }
            group.cancelAll()
            if !first { try? await channel?.close().get() }
            return first
        }
        var code: Int?
        for _ in 0..<100 {
            guard let state = try? await supervisor.task(id: container.id, execID: exec.id) else { break }
            if state.status == .stopped {
                code = state.exit.code
                break
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        await traces.collect(exec.id, of: container.id, supervisor)
        guard finished else {
            let said = collector.text
            return (-1, "Health check exceeded timeout (\(GoDuration.text(timeout)))" + (said.isEmpty ? "" : ": \(said)"))
        }
        guard let code else { throw DaemonError(.unavailable, "how the probe ended is not known") }
        return (code, collector.text)
    }
}

/// Takes Docker's frames apart and keeps the beginning of the payload.
private final class OutputCollector: ChannelInboundHandler, @unchecked Sendable {
    // Safety: written on the channel's event loop, read after the channel has closed.
    typealias InboundIn = ByteBuffer

    private let limit: Int
    private var pending = ByteBuffer()
    private var bytes: [UInt8] = []
    private var registered = false

    init(limit: Int) { self.limit = limit }

    var text: String { String(decoding: bytes, as: UTF8.self) }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(NIOAny(ByteBuffer(bytes: [6])), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var piece = unwrapInboundIn(data)
        if !registered {
            _ = piece.readInteger(as: UInt8.self)
            registered = true
        }
        pending.writeBuffer(&piece)
        while let header = pending.getBytes(at: pending.readerIndex, length: StreamFrame.headerLength), let frame = StreamFrame(header: header),
            pending.readableBytes >= StreamFrame.headerLength + Int(frame.length)
        {
            pending.moveReaderIndex(forwardBy: StreamFrame.headerLength)
            let payload = pending.readBytes(length: Int(frame.length)) ?? []
            bytes += payload.prefix(max(0, limit - bytes.count))
        }
        pending.discardReadBytes()
    }
}
