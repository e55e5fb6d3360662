import LinuxSystem
import NIOCore
import NIOHTTP1
import OCILayer

/// Runs blocking work that goes on for as long as a client likes. A thread of the pool would be missing for everybody else.
enum BlockingThread {
    static func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Value, any Error>) in
            do { try OwnThread.detach { continuation.resume(with: Result(catching: body)) } } catch { continuation.resume(throwing: error) }
        }
    }
}

/// What a thread writes, as the body of an answer. Blocks while the client does not read: that is all the buffering there is.
final class ResponseSink: ByteSink {
    private static let size = 64 << 10

    private let writer: ResponseWriter
    private var pending: ByteBuffer

    init(_ writer: ResponseWriter) {
        self.writer = writer
        pending = writer.channel.allocator.buffer(capacity: Self.size)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        pending.writeBytes(bytes)
        if pending.readableBytes >= Self.size { try flush() }
    }

    func flush() throws {
        guard pending.readableBytes > 0 else { return }
        try writer.channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(pending))).wait()
        pending = writer.channel.allocator.buffer(capacity: Self.size)
    }
}

/// The body of a request, for a thread that reads it. One piece waits here at a time; the rest is held back at the client.
final class BodySource: ByteSource, Sendable {
    private struct State {
        var piece: ByteBuffer?
        var wanted = false
        var result: Result<Void, any Error>?
    }

    private let state = Monitor(State())
    private let wakeups: AsyncStream<Void>.Continuation
    private let requests: AsyncStream<Void>

    init() { (requests, wakeups) = AsyncStream.makeStream(of: Void.self) }

    /// Fetches a piece whenever the thread wants one, until it has called `finish`.
    func pump(_ body: RequestBody) async { await pump { try await body.next() } }

    /// The same from anything that gives pieces, nil at the end.
    func pump(_ next: () async throws -> ByteBuffer?) async {
        for await _ in requests {
            do {
                let piece = try await next()
                state.update { state in
                    if let piece { state.piece = piece } else { state.result = .success(()) }
                }
            } catch {
                state.update { $0.result = .failure(error) }
            }
        }
        state.update { if $0.result == nil { $0.result = .failure(CancellationError()) } }
    }

    /// Nothing more is wanted.
    func finish() { wakeups.finish() }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let ask = state.update { state in state.piece == nil && state.result == nil }
            if ask { wakeups.yield() }
            let count = try state.wait { state -> Int? in
                if var piece = state.piece {
                    let count = min(buffer.count, piece.readableBytes)
                    piece.readWithUnsafeReadableBytes { bytes in
                        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                        return count
                    }
                    state.piece = piece.readableBytes > 0 ? piece : nil
                    return count
                }
                if let result = state.result {
                    try result.get()
                    return 0
                }
                return nil
            }
            // A piece without bytes is none.
            if count > 0 || state.update({ $0.result != nil && $0.piece == nil }) { return count }
        }
    }
}
