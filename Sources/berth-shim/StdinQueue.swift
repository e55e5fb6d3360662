import Glibc
import LinuxSystem

/// What goes into a process's standard input: bytes from a FIFO or from attached clients, in the order of their arrival.
final class StdinQueue {
    /// Above this, sources are asked to pause.
    private static let highWater = 64 << 10

    private let loop: EventLoop
    private let isTerminal: Bool
    private var descriptor: CInt
    private var pending: [UInt8] = []
    private var closeWhenEmpty = false
    /// Told whenever the queue has room again.
    private var waiting: [() -> Void] = []

    init(loop: EventLoop, descriptor: consuming OwnedFD, isTerminal: Bool) throws(SystemError) {
        self.loop = loop
        self.isTerminal = isTerminal
        self.descriptor = descriptor.release()
        let raw = self.descriptor
        try Pipes.setNonBlocking(raw)
        try loop.watch(raw, []) { [unowned self] _ in flush() }
    }

    var isOpen: Bool { descriptor >= 0 && !closeWhenEmpty }
    var isFull: Bool { pending.count >= StdinQueue.highWater }

    /// Calls `action` once when there is room again; at once when there is some.
    func whenRoom(_ action: @escaping () -> Void) {
        if isFull { waiting.append(action) } else { action() }
    }

    /// Queues bytes. After the end they go nowhere, as they would in a closed pipe.
    func write(_ bytes: UnsafeRawBufferPointer) {
        guard isOpen else { return }
        pending.append(contentsOf: bytes)
        flush()
    }

    /// The end of standard input, after what is queued. A terminal has none: there, people type Ctrl-D.
    func finish() {
        guard isOpen, !isTerminal else { return }
        closeWhenEmpty = true
        if pending.isEmpty { close() }
    }

    private func flush() {
        while !pending.isEmpty && descriptor >= 0 {
            let count = pending.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                if count == pending.count { pending = [] } else { pending.removeFirst(count) }
            } else if errno == EAGAIN {
                loop.change(descriptor, .write)
                return releaseWaiting()
            } else if errno != EINTR {
                // The process has closed its standard input. What comes now is read and forgotten.
                close()
            }
        }
        if descriptor >= 0 { loop.change(descriptor, []) }
        if closeWhenEmpty { close() }
        releaseWaiting()
    }

    private func releaseWaiting() {
        guard !isFull, !waiting.isEmpty else { return }
        let ready = waiting
        waiting = []
        for action in ready { action() }
    }

    func close() {
        guard descriptor >= 0 else { return }
        loop.unwatch(descriptor)
        _ = Glibc.close(descriptor)
        descriptor = -1
        pending = []
        releaseWaiting()
    }

    deinit { close() }
}

/// Copies a client's FIFO to standard input.
///
/// containerd's rule for the end: the shim holds a writing end of its own, so that a client may detach and another one come; `CloseIO` lets go of
/// it, and when the last client has closed too, the process sees the end of its input.
final class FIFOSource {
    private let loop: EventLoop
    private let queue: StdinQueue
    private var reading: CInt
    private var holding: CInt

    init(path: String, queue: StdinQueue, loop: EventLoop) throws(SystemError) {
        self.loop = loop
        self.queue = queue
        reading = try Files.open(path, O_RDONLY | O_NONBLOCK).release()
        do throws(SystemError) { holding = try Files.open(path, O_WRONLY | O_NONBLOCK).release() } catch {
            _ = Glibc.close(reading)
            throw error
        }
        let raw = reading
        try loop.watch(raw, .read) { [unowned self] _ in ready() }
    }

    private func ready() {
        let count = withUnsafeTemporaryAllocation(byteCount: 32768, alignment: 8) { buffer -> Int in
            let count = read(reading, buffer.baseAddress, buffer.count)
            if count > 0 { queue.write(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])) }
            return count
        }
        if count == 0 {
            close()
            queue.finish()
        } else if reading >= 0 && queue.isFull {
            loop.change(reading, [])
            queue.whenRoom { [weak self] in
                guard let self, reading >= 0 else { return }
                loop.change(reading, .read)
            }
        }
    }

    /// `CloseIO`: no more clients are expected.
    func releaseHold() {
        guard holding >= 0 else { return }
        _ = Glibc.close(holding)
        holding = -1
    }

    func close() {
        releaseHold()
        guard reading >= 0 else { return }
        loop.unwatch(reading)
        _ = Glibc.close(reading)
        reading = -1
    }

    deinit { close() }
}
