import Glibc
import LinuxSystem

/// Reads one output stream of a process, a pipe or a terminal's master, and feeds its sinks.
final class OutputPump {
    private let loop: EventLoop
    private let buffers: SharedBuffers
    private let stream: OutputStream
    private let sinks: [any OutputSink]
    private let onEnd: () -> Void
    private var descriptor: CInt
    private var hasGrown = false
    private(set) var hasEnded = false
    private let isTerminal: Bool
    /// Reads per event, so that one busy stream does not starve the rest of the shim.
    private static let readsPerEvent = 4
    private static let pipeSize: CInt = 1 << 20

    /// Takes `descriptor` over. A terminal's is closed by who resizes it, too: it is given as a duplicate.
    init(
        loop: EventLoop, buffers: SharedBuffers, descriptor: consuming OwnedFD, isTerminal: Bool, stream: OutputStream, sinks: [any OutputSink],
        onEnd: @escaping () -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.buffers = buffers
        self.stream = stream
        self.sinks = sinks
        self.onEnd = onEnd
        self.isTerminal = isTerminal
        self.descriptor = descriptor.release()
        let raw = self.descriptor
        try Pipes.setNonBlocking(raw)
        try loop.watch(raw, .read) { [unowned self] _ in ready() }
    }

    private var isBlocked: Bool { sinks.contains { $0.isBlocked } }

    /// To be called when a sink is no longer blocked.
    func resume() {
        guard descriptor >= 0, !isBlocked else { return }
        loop.change(descriptor, .read)
    }

    private func ready() {
        for _ in 0..<OutputPump.readsPerEvent where descriptor >= 0 {
            if isBlocked { return loop.change(descriptor, []) }
            guard readOnce() else { return }
        }
    }

    /// - Returns: whether there may be more at once.
    private func readOnce() -> Bool {
        let input = buffers.input
        let count = read(descriptor, input.base, input.capacity)
        if count > 0 {
            input.touched = max(input.touched, count)
            let bytes = UnsafeRawBufferPointer(start: input.base, count: count)
            for sink in sinks { sink.accept(bytes, from: stream) }
            // A default pipe holds 64 KiB. Filled to the brim, it deserves to be a larger one.
            if !isTerminal && !hasGrown && count >= 65536 {
                hasGrown = true
                Pipes.grow(descriptor, to: OutputPump.pipeSize)
            }
            return count >= 65536
        }
        if count < 0 && errno == EINTR { return true }
        if count < 0 && errno == EAGAIN { return false }
        // End of file, or EIO: the last process has closed the terminal.
        finish()
        return false
    }

    /// Takes what is there right now, when the process has ended: its output should be in the log before its end is announced. Bounded, for
    /// somebody else may still be writing.
    func drain() {
        for _ in 0..<64 where descriptor >= 0 && !isBlocked {
            let before = descriptor
            _ = readOnce()
            guard before == descriptor else { return }
            var waiting: CInt = 0
            if ioctl(descriptor, UInt(FIONREAD), &waiting) != 0 || waiting == 0 { break }
        }
    }

    private func finish() {
        stop()
        guard !hasEnded else { return }
        hasEnded = true
        for sink in sinks { sink.end(stream) }
        onEnd()
    }

    /// Stops without waiting for the end of the stream, and tells the sinks that nothing will follow.
    func abandon() {
        guard !hasEnded else { return }
        drain()
        finish()
    }

    private func stop() {
        guard descriptor >= 0 else { return }
        loop.unwatch(descriptor)
        _ = Glibc.close(descriptor)
        descriptor = -1
    }

    deinit { stop() }
}
