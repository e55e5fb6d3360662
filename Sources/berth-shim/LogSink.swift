import Glibc
import LinuxSystem

/// Turns one message into an entry of a log format. Called once per line: nothing in there may allocate.
protocol LogEncoder: AnyObject {
    /// Fixed for all messages until the next call.
    func begin(_ time: (seconds: Int, nanoseconds: Int))
    /// The largest entry for a message of `count` bytes.
    func capacity(for count: Int) -> Int
    /// Writes the entry for one message to `target`.
    /// - Parameter part: how the message relates to its line.
    /// - Returns: the place after the entry.
    func encode(_ message: UnsafePointer<UInt8>, count: Int, from stream: OutputStream, part: LinePart, to target: UnsafeMutablePointer<UInt8>) -> UnsafeMutablePointer<UInt8>
}

/// A line that is longer than a message is logged in parts.
enum LinePart {
    case whole
    /// More follows, or the stream ended without a line feed.
    case partial
    case last
}

/// Cuts output into lines and logs them: Docker's rules, with 16 KiB as the longest message.
final class LogSink: OutputSink {
    static let longestMessage = 16 << 10

    private struct StreamState {
        /// The beginning of a line whose end has not come yet; shorter than a message.
        var pending: [UInt8] = []
        /// Parts of this line have been logged already.
        var inPartialLine = false
    }

    private let file: LogFile
    private let buffers: SharedBuffers
    private let encoder: any LogEncoder
    private let clock: () -> (seconds: Int, nanoseconds: Int)
    private var stdout = StreamState()
    private var stderr = StreamState()

    var isBlocked: Bool { file.isStalled }
    var onRelief: (() -> Void)? {
        get { file.onRelief }
        set { file.onRelief = newValue }
    }

    /// - Parameter clock: the wall clock, which may jump: only what stands in the entries comes from it.
    init(file: LogFile, encoder: any LogEncoder, buffers: SharedBuffers, clock: @escaping () -> (seconds: Int, nanoseconds: Int) = Clock.now) {
        self.file = file
        self.clock = clock
        self.encoder = encoder
        self.buffers = buffers
        file.makeMarker = { lost in LogSink.marker(encoder, clock(), "berth-shim: \(lost) bytes of log entries were lost: the disk took no more") }
    }

    private static func marker(_ encoder: any LogEncoder, _ time: (seconds: Int, nanoseconds: Int), _ text: String) -> [UInt8] {
        encoder.begin(time)
        let bytes = Array(text.utf8)
        return [UInt8](unsafeUninitializedCapacity: encoder.capacity(for: bytes.count)) { buffer, count in
            bytes.withUnsafeBufferPointer { message in
                count = encoder.encode(message.baseAddress!, count: message.count, from: .stderr, part: .whole, to: buffer.baseAddress!) - buffer.baseAddress!
            }
        }
    }

    func accept(_ bytes: UnsafeRawBufferPointer, from stream: OutputStream) {
        switch stream {
        case .stdout: log(bytes, from: stream, &stdout)
        case .stderr: log(bytes, from: stream, &stderr)
        }
    }

    private func log(_ bytes: UnsafeRawBufferPointer, from stream: OutputStream, _ state: inout StreamState) {
        guard var read = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        let end = read + bytes.count
        var batch = Batch(file: file, encoder: encoder, buffer: buffers.output)
        encoder.begin(clock())
        while read < end {
            let room = min(LogSink.longestMessage - state.pending.count, end - read)
            let feed = memchr(read, 0x0a, room).map { UnsafePointer($0.assumingMemoryBound(to: UInt8.self)) }
            let take = feed.map { $0 - read } ?? room
            if feed == nil && state.pending.count + room < LogSink.longestMessage {
                state.pending.append(contentsOf: UnsafeBufferPointer(start: read, count: room))
                break
            }
            let part: LinePart = feed == nil ? .partial : state.inPartialLine ? .last : .whole
            if state.pending.isEmpty {
                batch.add(read, count: take, from: stream, part)
            } else {
                state.pending.append(contentsOf: UnsafeBufferPointer(start: read, count: take))
                state.pending.withUnsafeBufferPointer { batch.add($0.baseAddress!, count: $0.count, from: stream, part) }
                state.pending.removeAll(keepingCapacity: true)
            }
            state.inPartialLine = feed == nil
            read += take + (feed == nil ? 0 : 1)
        }
        batch.flush()
        if state.pending.isEmpty && state.pending.capacity > 0 { state.pending = [] }
    }

    func end(_ stream: OutputStream) {
        switch stream {
        case .stdout: finish(stream, &stdout)
        case .stderr: finish(stream, &stderr)
        }
    }

    private func finish(_ stream: OutputStream, _ state: inout StreamState) {
        guard !state.pending.isEmpty else { return }
        var batch = Batch(file: file, encoder: encoder, buffer: buffers.output)
        encoder.begin(clock())
        state.pending.withUnsafeBufferPointer { batch.add($0.baseAddress!, count: $0.count, from: stream, .partial) }
        batch.flush()
        state = StreamState()
    }

    func close() { file.close() }

    /// Entries on their way into the shared buffer, written in one go.
    private struct Batch {
        let file: LogFile
        let encoder: any LogEncoder
        let buffer: PageBuffer
        let start: UnsafeMutablePointer<UInt8>
        var write: UnsafeMutablePointer<UInt8>
        var lines = 0

        init(file: LogFile, encoder: any LogEncoder, buffer: PageBuffer) {
            self.file = file
            self.encoder = encoder
            self.buffer = buffer
            start = buffer.base.assumingMemoryBound(to: UInt8.self)
            write = start
        }

        @inline(__always)
        mutating func add(_ message: UnsafePointer<UInt8>, count: Int, from stream: OutputStream, _ part: LinePart) {
            if encoder.capacity(for: count) > buffer.capacity - (write - start) { flush() }
            if file.isFull(with: write - start) {
                flush()
                if file.isFull(with: 0) { file.rotate() }
            }
            write = encoder.encode(message, count: count, from: stream, part: part, to: write)
            lines += 1
        }

        mutating func flush() {
            let count = write - start
            guard count > 0 else { return }
            buffer.touched = max(buffer.touched, min(buffer.capacity, count + JSONEscape.slack))
            file.append(UnsafeRawBufferPointer(start: start, count: count), lines: lines)
            (write, lines) = (start, 0)
        }
    }
}
