import BerthDefaults
import DockerAPI
import Glibc
import LinuxSystem
import NIOCore
import NIOPosix

/// Reads back what the shim wrote, and follows it.
struct LogReader: Sendable {
    struct Options: Sendable {
        var stdout = true
        var stderr = true
        /// Nanoseconds since 1970.
        var since: Int64?
        var until: Int64?
        /// Lines; nil: all.
        var tail: Int?
        var follow = false
        var timestamps = false
        var details = false
    }

    /// Bytes read and sent in one go.
    private static let pieceBytes = 256 << 10
    /// A line longer than this is no line of ours: the shim cuts at 16 KiB.
    private static let longestLine = 4 << 20

    /// - Throws: `.unimplemented` in dockerd's words for drivers that cannot be read.
    func check(_ record: ContainerRecord) throws(DaemonError) {
        switch record.hostConfig.LogConfig?.Type ?? "json-file" {
        case "json-file", "local": return
        default: throw DaemonError(.unimplemented, "configured logging driver does not support reading")
        }
    }

    /// Everything up to now.
    func replay(_ record: ContainerRecord, _ options: Options, _ write: (ByteBuffer) async throws -> Void) async throws {
        let session = try await LogSession.open(record, options)
        var piece = try await session.next()
        while let present = piece {
            // The next piece is read and converted while this one is on its way to the client.
            async let following = session.next()
            try await write(present)
            piece = try await following
        }
    }

    /// Everything up to now and, with `follow`, what comes until the container ends.
    func stream(_ container: ManagedContainer, _ options: Options, to writer: ResponseWriter) async throws {
        let record = container.record
        guard options.follow, container.lifecycle.isRunning else {
            try await replay(record, options) { try await writer.write($0) }
            return
        }
        // The watch stands before the first look, so that nothing written in between goes unnoticed.
        let watch = try await LogWatch.open(record.logPath)
        defer { watch.close() }
        let session = try await LogSession.open(record, options)
        let ended = Task { _ = await container.wait(.nextExit); watch.wake() }
        defer { ended.cancel() }
        var changes = watch.changes.makeAsyncIterator()
        while true {
            let running = container.lifecycle.isRunning
            while let piece = try await session.next() { try await writer.write(piece) }
            if session.isPastUntil { return }
            if !running {
                // The last lines may still be on their way from the shim's pipe to the file.
                try await Task.sleep(for: .milliseconds(50))
                while let piece = try await session.next() { try await writer.write(piece) }
                return
            }
            guard await changes.next() != nil else { return }
            try Task.checkCancellation()
        }
    }
}

/// One reader's position in the files. Used by one task at a time; the work is done on NIO's thread pool, because it reads files.
final class LogSession: @unchecked Sendable {
    // Safety: `next` is never called while an earlier call runs, and the thread pool orders memory.
    private var files: LogFiles
    private let options: LogReader.Options
    private let framed: Bool
    private let isLocal: Bool
    /// For requests that want the text alone.
    private let converter: JSONLogConverter?
    private(set) var isPastUntil = false

    private init(_ files: consuming LogFiles, _ options: LogReader.Options, framed: Bool, isLocal: Bool) {
        self.files = files
        self.options = options
        self.framed = framed
        self.isLocal = isLocal
        let isPlain = !isLocal && options.since == nil && options.until == nil && !options.timestamps && !options.details
        converter = isPlain ? JSONLogConverter(stdout: options.stdout, stderr: options.stderr, framed: framed) : nil
    }

    static func open(_ record: ContainerRecord, _ options: LogReader.Options) async throws -> LogSession {
        try await NIOThreadPool.singleton.runIfActive {
            var files = try LogFiles(path: record.logPath)
            let isLocal = record.hostConfig.LogConfig?.Type == "local"
            if let tail = options.tail { try files.keepLast(tail, isLocal: isLocal) }
            return LogSession(files, options, framed: !record.isTerminal, isLocal: isLocal)
        }
    }

    /// The next piece ready to be sent, or nil when there is nothing more at present.
    func next() async throws -> ByteBuffer? {
        try await NIOThreadPool.singleton.runIfActive { try self.piece() }
    }

    private func piece() throws -> ByteBuffer? {
        while !isPastUntil {
            guard let file = files.files.first else {
                try files.advance()
                if files.files.isEmpty { return nil }
                continue
            }
            let bytes = try file.read(limit: 256 << 10)
            var output = ByteBuffer()
            output.reserveCapacity(bytes.count + 64)
            let consumed = bytes.withUnsafeBytes { isLocal ? convertEntries($0, into: &output) : convert($0, into: &output) }
            file.position += Int64(consumed)
            if consumed == 0 {
                // The end, or the beginning of a line that is still being written.
                if bytes.count == 256 << 10 {
                    file.position += Int64(bytes.count)
                    continue
                }
                if files.files.count > 1 { files.dropFirst() } else {
                    try files.advance()
                    if files.files.count == 1 { return nil }
                }
                continue
            }
            if output.readableBytes > 0 { return output }
        }
        return nil
    }

    /// Converts the whole lines in `bytes`; answers how many bytes those were.
    private func convert(_ bytes: UnsafeRawBufferPointer, into output: inout ByteBuffer) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        var start = 0
        while start < bytes.count, let end = memchr(base + start, 0x0A, bytes.count - start) {
            let length = UnsafeRawPointer(end) - (base + start)
            let bytes = UnsafeRawBufferPointer(start: base + start, count: length)
            if !convertPlain(bytes, into: &output), let line = JSONLogLine(bytes) { append(line, to: &output) }
            start += length + 1
            if isPastUntil { break }
        }
        return start
    }

    /// - Returns: false for a line that has to be looked at more closely.
    @inline(__always)
    private func convertPlain(_ line: UnsafeRawBufferPointer, into output: inout ByteBuffer) -> Bool {
        guard let converter else { return false }
        var isPlain = true
        output.writeWithUnsafeMutableBytes(minimumWritableBytes: line.count + 16) { target in
            guard let target = target.baseAddress, let count = converter.convert(line, to: target) else {
                isPlain = false
                return 0
            }
            return count
        }
        return isPlain
    }

    /// The same for the entries of the local driver.
    private func convertEntries(_ bytes: UnsafeRawBufferPointer, into output: inout ByteBuffer) -> Int {
        var start = 0
        while !isPastUntil, let length = LocalLogEntry.length(UnsafeRawBufferPointer(rebasing: bytes[start...])) {
            if let entry = LocalLogEntry(UnsafeRawBufferPointer(rebasing: bytes[(start + 4)..<(start + length - 4)])) { append(entry, to: &output) }
            start += length
        }
        return start
    }

    private func append(_ entry: LocalLogEntry, to output: inout ByteBuffer) {
        guard entry.isStderr ? options.stderr : options.stdout else { return }
        if let since = options.since, entry.nanoseconds < since { return }
        if let until = options.until, entry.nanoseconds > until {
            isPastUntil = true
            return
        }
        let header = output.writerIndex
        if framed { output.writeBytes(StreamFrame(kind: entry.isStderr ? .stderr : .stdout, length: 0).header) }
        let begin = output.writerIndex
        if options.timestamps { output.writeString(WallClock(nanosecondsSinceEpoch: entry.nanoseconds).fixedRFC3339 + " ") }
        if options.details { output.writeString(Self.details(Dictionary(entry.attributes.map { ($0.key, $0.value) }) { $1 }) + " ") }
        output.writeBytes(entry.line)
        // The driver keeps lines without their end.
        if entry.isComplete { output.writeInteger(UInt8(ascii: "\n")) }
        if framed { output.setInteger(UInt32(output.writerIndex - begin), at: header + 4) }
    }

    private func append(_ line: JSONLogLine, to output: inout ByteBuffer) {
        guard line.isStderr ? options.stderr : options.stdout else { return }
        if options.since != nil || options.until != nil, let time = WallClock(rfc3339: String(decoding: line.time, as: UTF8.self))?.nanosecondsSinceEpoch {
            if let since = options.since, time < since { return }
            if let until = options.until, time > until {
                isPastUntil = true
                return
            }
        }
        let header = output.writerIndex
        if framed { output.writeBytes(StreamFrame(kind: line.isStderr ? .stderr : .stdout, length: 0).header) }
        let begin = output.writerIndex
        if options.timestamps {
            output.writeString(WallClock(rfc3339: String(decoding: line.time, as: UTF8.self))?.fixedRFC3339 ?? String(decoding: line.time, as: UTF8.self))
            output.writeInteger(UInt8(ascii: " "))
        }
        if options.details { output.writeString(Self.details(line.attributes) + " ") }
        _ = JSONLogLine.unescape(line.text, into: &output)
        if framed { output.setInteger(UInt32(output.writerIndex - begin), at: header + 4) }
    }

    /// `key=value,…`, sorted, percent-encoded as dockerd does.
    private static func details(_ attributes: UnsafeRawBufferPointer) -> String {
        guard !attributes.isEmpty, let values = try? JSONBody.decode([String: String].self, from: ByteBuffer(bytes: attributes)) else { return "" }
        return details(values)
    }

    private static func details(_ values: [String: String]) -> String {
        values.sorted { $0.key < $1.key }.map { "\(PercentCoding.encode($0.key))=\(PercentCoding.encode($0.value))" }.joined(separator: ",")
    }
}

/// Tells when a file changes, through inotify on its directory: rotation makes a new file under the name.
final class LogWatch: Sendable {
    let changes: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation
    private let channel: any Channel

    private init(channel: any Channel, changes: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation) {
        self.channel = channel
        self.changes = changes
        self.continuation = continuation
    }

    static func open(_ path: String) async throws -> LogWatch {
        let directory = path.parentPath
        let (changes, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let file = inotify_init1(Int32(IN_NONBLOCK) | Int32(IN_CLOEXEC))
        guard file >= 0 else { throw SystemError(call: "inotify_init1", subject: path, errno: Errno(rawValue: errno)) }
        guard inotify_add_watch(file, directory, UInt32(IN_MODIFY | IN_CREATE | IN_MOVED_TO)) >= 0 else {
            let failure = SystemError(call: "inotify_add_watch", subject: directory, errno: Errno(rawValue: errno))
            Glibc.close(file)
            throw failure
        }
        let channel = try await NIOPipeBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(WatchHandler(continuation)) } }
            .takingOwnershipOfDescriptor(input: file).get()
        return LogWatch(channel: channel, changes: changes, continuation: continuation)
    }

    func wake() { continuation.yield() }

    func close() {
        continuation.finish()
        channel.close(promise: nil)
    }
}

private final class WatchHandler: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let continuation: AsyncStream<Void>.Continuation
    init(_ continuation: AsyncStream<Void>.Continuation) { self.continuation = continuation }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { continuation.yield() }
    func channelInactive(context: ChannelHandlerContext) { continuation.finish() }
}
