import DockerAPI
import NIOCore
import NIOPosix

extension BuildRun {
    /// RUN: starts the command in a container on the image, passes on what it says, and makes an image of what it changed.
    func runCommand(_ line: Instruction.CommandLine, in stage: inout BuildStage) async throws {
        let step = ConfigStep(config: stage.config, expansion: VariableExpansion([]))
        let command = step.commandLine(line)
        let values = stage.arguments.values(besides: stage.config.Env ?? [])
        var known = stage.config
        known.Cmd = Self.traced(command, values, stage.arguments)
        if !command.isEmpty { known.Entrypoint = nil }
        if try await useCache(known, in: &stage) { return }

        var config = stage.config
        config.Cmd = command
        config.Env = (config.Env ?? []) + values
        if !command.isEmpty { config.Entrypoint = [""] }
        var health = HealthConfig()
        health.Test = ["NONE"]
        config.Healthcheck = health
        let container = try await createContainer(config, in: &stage)
        let code = try await follow(container)
        guard code == 0 else { throw StepFailure(exitCode: code, command: command) }
        try await makeImage(known, ofContainer: container, in: &stage)
    }

    /// The command with the arguments of the build that it saw in front: another value is another step.
    private static func traced(_ command: [String], _ values: [String], _ arguments: BuildArguments) -> [String] {
        if values.isEmpty { return command }
        let traced = values.filter { arguments.isTraced(String(Environment.name($0))) }
        return ["|\(traced.count)"] + traced + command
    }

    /// Kills the container as soon as it runs: the wish may come in the middle of its start.
    private static func end(_ container: ManagedContainer, _ containers: ContainerService) async {
        while !container.isRemoved, container.lifecycle.isRunning || !container.lifecycle.startedBefore {
            if (try? await containers.kill(container.id, signal: nil)) != nil { return }
            try? await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Runs the container to its end.
    ///
    /// - Returns: its exit code.
    private func follow(_ container: ManagedContainer) async throws -> Int {
        let stream = OutputStream()
        container.addPending { path in await stream.connect(path) } cancel: { stream.close() }
        let wait = container.beginWait(.nextExit)
        let (containers, output, id) = (containers, output, container.id)
        return try await cancellation.during({ Task { await Self.end(container, containers) } }) {
            do { try await containers.start(id) } catch {
                stream.close()
                throw error
            }
            do {
                try await stream.forEach { kind, text in
                    if kind == .stderr { try await output.writeError(text) } else { try await output.write(text) }
                }
            } catch {
                // Nobody reads any more.
                stream.close()
                try? await containers.kill(id, signal: nil)
                throw error
            }
            return await wait.result().exitCode
        }
    }
}

/// What a container says, as its shim hands it to those that attach.
private final class OutputStream: ChannelInboundHandler, @unchecked Sendable {
    // Safety: what is mutable is touched on the channel's event loop only, but for `channel`, which is set before the first piece.
    typealias InboundIn = ByteBuffer

    private let pieces: AsyncStream<ByteBuffer>
    private let continuation: AsyncStream<ByteBuffer>.Continuation
    private let channel = Exclusive<(any Channel)?>(nil)
    private let registration = Registration()
    private var isRegistered = false

    init() { (pieces, continuation) = AsyncStream.makeStream(of: ByteBuffer.self) }

    /// Returns when no later output can be lost.
    func connect(_ path: String) async {
        do {
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelOption(.autoRead, value: false)
                .channelInitializer { channel in channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(self) } }
                .connect(unixDomainSocketPath: path).get()
            self.channel.with { $0 = channel }
            // Standard output and error.
            try await channel.writeAndFlush(ByteBuffer(bytes: [6])).get()
            channel.read()
            try await registration.wait()
        } catch {
            Log.warning("the output of a build step is lost: \(error)")
            close()
        }
    }

    func close() {
        continuation.finish()
        channel.with { $0 }?.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var piece = unwrapInboundIn(data)
        if !isRegistered {
            _ = piece.readInteger(as: UInt8.self)
            isRegistered = true
            registration.finish(nil)
            if piece.readableBytes == 0 { return context.read() }
        }
        continuation.yield(piece)
    }

    func channelInactive(context: ChannelHandlerContext) {
        registration.finish(ChannelError.eof)
        continuation.finish()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// Passes on everything until the container closes its streams. The next piece is read when the last one was taken.
    func forEach(_ body: (StreamFrame.Kind, String) async throws -> Void) async throws {
        var pending = ByteBuffer()
        for await var piece in pieces {
            pending.writeBuffer(&piece)
            while let header = pending.getBytes(at: pending.readerIndex, length: StreamFrame.headerLength), let frame = StreamFrame(header: header),
                pending.readableBytes >= StreamFrame.headerLength + Int(frame.length)
            {
                pending.moveReaderIndex(forwardBy: StreamFrame.headerLength)
                guard let payload = pending.readBytes(length: Int(frame.length)), !payload.isEmpty else { continue }
                try await body(frame.kind, String(decoding: payload, as: UTF8.self))
            }
            pending.discardReadBytes()
            channel.with { $0 }?.read()
        }
    }
}
