import NIOCore
import Synchronization

/// The body of a request as it comes in. The connection stops reading while more than `window` bytes wait here, so a large upload takes no memory.
///
/// One reader. The connection's handler puts pieces in; `next` takes them out.
final class RequestBody: Sendable {
    /// Everything that is not an archive or a build context is collected, up to this many bytes.
    static let collectLimit = 4 << 20
    private static let window = 256 << 10

    private struct State {
        var pieces: [ByteBuffer] = []
        var waitingBytes = 0
        var ended = false
        var failure: (any Error)?
        var reader: CheckedContinuation<Void, Never>?
        var paused = false
    }

    private let state: Mutex<State>
    /// Lets the connection read again. Set once, before the first piece.
    private let resume: @Sendable () -> Void

    init(resume: @escaping @Sendable () -> Void) {
        self.resume = resume
        state = Mutex(State())
    }

    /// - Returns: false when the connection should stop reading until it is told to resume.
    func append(_ piece: ByteBuffer) -> Bool {
        let (reader, goOn) = state.withLock { state in
            state.pieces.append(piece)
            state.waitingBytes += piece.readableBytes
            let goOn = state.waitingBytes < Self.window
            if !goOn { state.paused = true }
            defer { state.reader = nil }
            return (state.reader, goOn)
        }
        reader?.resume()
        return goOn
    }

    func finish(failure: (any Error)? = nil) {
        let reader = state.withLock { state in
            if !state.ended {
                state.ended = true
                state.failure = failure
            }
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume()
    }

    /// The next piece, or nil at the end.
    ///
    /// - Throws: when the client went away in the middle.
    func next() async throws -> ByteBuffer? {
        while true {
            let (piece, ended, failure, shouldResume) = state.withLock { state -> (ByteBuffer?, Bool, (any Error)?, Bool) in
                guard !state.pieces.isEmpty else { return (nil, state.ended, state.failure, false) }
                let piece = state.pieces.removeFirst()
                state.waitingBytes -= piece.readableBytes
                let shouldResume = state.paused && state.waitingBytes < Self.window / 2
                if shouldResume { state.paused = false }
                return (piece, false, nil, shouldResume)
            }
            if shouldResume { resume() }
            if let piece { return piece }
            if let failure { throw failure }
            if ended { return nil }
            await withCheckedContinuation { continuation in
                let ready = state.withLock { state in
                    if !state.pieces.isEmpty || state.ended { return true }
                    state.reader = continuation
                    return false
                }
                if ready { continuation.resume() }
            }
        }
    }

    /// The whole body.
    ///
    /// - Throws: `.invalidArgument` beyond the limit.
    func collect(limit: Int = RequestBody.collectLimit) async throws -> ByteBuffer {
        var whole = ByteBuffer()
        while var piece = try await next() {
            guard whole.readableBytes + piece.readableBytes <= limit else { throw DaemonError.invalid("the request body is larger than \(limit) bytes") }
            if whole.readableBytes == 0 { whole = piece } else { whole.writeBuffer(&piece) }
        }
        return whole
    }
}
