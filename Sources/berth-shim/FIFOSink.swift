import Glibc
import LinuxSystem

/// A client's FIFO, treated the way containerd's shim does: both ends are held open, so that the output waits in it while the client is away, and
/// a client that stops reading stops the container.
final class FIFOSink: OutputSink {
    private let loop: EventLoop
    private let path: String
    private var writing: CInt
    private var reading: CInt
    private var backlog: [UInt8] = []
    private var streams: Int
    private var isEnded: Bool { streams == 0 }
    private(set) var isBlocked = false
    var onRelief: (() -> Void)?

    /// - Parameter streams: how many streams end before the FIFO is closed.
    init(path: String, streams: Int, loop: EventLoop) throws(SystemError) {
        self.loop = loop
        self.path = path
        self.streams = streams
        // The reading end first: opening for writing alone fails as long as nobody reads.
        reading = try Files.open(path, O_RDONLY | O_NONBLOCK).release()
        do throws(SystemError) { writing = try Files.open(path, O_WRONLY | O_NONBLOCK).release() } catch {
            _ = Glibc.close(reading)
            throw error
        }
        let raw = writing
        try loop.watch(raw, []) { [unowned self] _ in flush() }
    }

    /// A pipe whose other end somebody else reads, such as a logger program's. Takes the descriptor over.
    init(pipe: consuming OwnedFD, name: String, streams: Int, loop: EventLoop) throws(SystemError) {
        self.loop = loop
        path = name
        self.streams = streams
        reading = -1
        writing = pipe.release()
        let raw = writing
        try Pipes.setNonBlocking(raw)
        try loop.watch(raw, []) { [unowned self] _ in flush() }
    }

    func accept(_ bytes: UnsafeRawBufferPointer, from stream: OutputStream) {
        guard writing >= 0 else { return }
        var rest = bytes
        if backlog.isEmpty {
            let done = write(bytes)
            rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
        }
        guard !rest.isEmpty else { return }
        backlog.append(contentsOf: rest)
        isBlocked = true
        loop.change(writing, .write)
    }

    private func write(_ bytes: UnsafeRawBufferPointer) -> Int {
        var done = 0
        while done < bytes.count {
            let count = Glibc.write(writing, bytes.baseAddress! + done, bytes.count - done)
            if count > 0 { done += count }
            else if errno == EAGAIN { break }
            // The reader of a pipe is gone for good: its output has nowhere to go any more.
            else if errno != EINTR { return bytes.count }
        }
        return done
    }

    private func flush() {
        let done = backlog.withUnsafeBytes { write($0) }
        if done < backlog.count {
            backlog.removeFirst(done)
            return
        }
        backlog = []
        isBlocked = false
        loop.change(writing, [])
        if isEnded { close() } else { onRelief?() }
    }

    func end(_ stream: OutputStream) {
        streams -= 1
        if isEnded && backlog.isEmpty { close() }
    }

    func close() {
        guard writing >= 0 else { return }
        if !backlog.isEmpty { ShimLog.warn("\(path): \(backlog.count) bytes were not read by anybody") }
        loop.unwatch(writing)
        _ = Glibc.close(writing)
        if reading >= 0 { _ = Glibc.close(reading) }
        (writing, reading) = (-1, -1)
        backlog = []
        isBlocked = false
    }

    deinit { close() }
}
