import Glibc
import JSONCodec
import LinuxSystem
import TaskAPI

/// The three streams of one process, from the addresses in its request to the end of its output.
///
///     prepare ── runtime starts with `childDescriptors` ── begin ── ... ── processEnded ── (end of output) ── close
///
/// Everything that somebody may connect to exists once `prepare` has succeeded, before the call is answered.
final class ProcessStdio {
    /// What all processes of a shim share.
    struct Context {
        let loop: EventLoop
        let buffers: SharedBuffers
        let reaper: ChildReaper
        let namespace: String
        let container: String
        let sockets: SocketPaths
        let ownerUID: UInt32
        let ownerGID: UInt32
    }

    private let context: Context
    private let addresses: StdioAddresses
    private let name: String
    private var childEnds: [(number: CInt, file: CInt)] = []
    private var outputs: [(stream: OutputStream, reading: CInt)] = []
    private var pumps: [OutputPump] = []
    private var sinks: [(address: StdioAddress, sink: any OutputSink)] = []
    private var attach: AttachSocket?
    private var stdinPipe: CInt = -1
    private var stdinQueue: StdinQueue?
    private var stdinSource: FIFOSource?
    /// CloseIO has been called.
    private var isStdinReleased = false
    private var logger: LoggerProcess?
    private var master: OwnedFD?
    private var windowSize: (columns: UInt16, rows: UInt16)?
    private(set) var console: ConsoleSocket?
    private var drainWaiters: [() -> Void] = []
    private var isClosed = false

    /// - Parameter name: of the process, for files: unique within the shim.
    init(context: Context, addresses: StdioAddresses, name: String) {
        self.context = context
        self.addresses = addresses
        self.name = name
    }

    // MARK: before the runtime starts

    /// Opens everything. On failure nothing is left open.
    func prepare(_ completion: @escaping (Result<Void, TTRPCStatus>) -> Void) {
        do {
            let stdin = try StdioAddress(parsing: addresses.stdin)
            let stdout = try StdioAddress(parsing: addresses.stdout)
            let stderr = try StdioAddress(parsing: addresses.stderr)
            if case .binary(let path, let arguments, let strict) = stdout {
                let logger = LoggerProcess(loop: context.loop)
                self.logger = logger
                logger.start(
                    program: path, arguments: arguments, strict: strict, id: name, namespace: context.namespace, reaper: context.reaper
                ) { [self] result in
                    switch result {
                    case .success: finishPreparing(stdin, stdout, stderr, completion)
                    case .failure(let failure): fail(.unknown, failure.message, completion)
                    }
                }
                return
            }
            finishPreparing(stdin, stdout, stderr, completion)
        } catch {
            fail(.invalidArgument, "\(error.message): invalid argument", completion)
        }
    }

    private func finishPreparing(
        _ stdin: StdioAddress, _ stdout: StdioAddress, _ stderr: StdioAddress, _ completion: (Result<Void, TTRPCStatus>) -> Void
    ) {
        do {
            if addresses.terminal {
                console = try ConsoleSocket(path: context.sockets.path(for: "pty-\(name)"))
                try openSinks(for: [(.stdout, stdout)])
            } else {
                try openSinks(for: [(.stdout, stdout), (.stderr, stderr)])
                try openPipes(stdin, stdout, stderr)
            }
            completion(.success(()))
        } catch {
            let text = (error as? TTRPCStatus)?.message ?? "failed to create process I/O: \(error)"
            fail((error as? TTRPCStatus)?.code ?? .unknown, text, completion)
        }
    }

    private func fail(_ code: TTRPCStatus.Code, _ message: String, _ completion: (Result<Void, TTRPCStatus>) -> Void) {
        discard()
        completion(.failure(TTRPCStatus(code, message)))
    }

    /// One sink per distinct address, fed by every stream that has it.
    private func openSinks(for streams: [(OutputStream, StdioAddress)]) throws {
        for (_, address) in streams where !sinks.contains(where: { $0.address == address }) {
            let count = streams.count { $0.1 == address }
            switch address {
            case .none: break
            case .binary:
                // Without a terminal the program reads the container's own pipes.
                guard addresses.terminal, let pipe = try logger?.stdout?.duplicate() else { break }
                sinks.append((address, try FIFOSink(pipe: pipe, name: "logging binary", streams: count, loop: context.loop)))
            case .fifo(let path) where Pipes.isFIFO(path):
                sinks.append((address, try FIFOSink(path: path, streams: count, loop: context.loop)))
            case .fifo(let path):
                guard Files.exists(path) else { throw TTRPCStatus(.notFound, "stdio \(path): no such file or FIFO: not found") }
                sinks.append((address, FileSink(file: try LogFile(path: path, policy: .init(mode: 0o644), loop: context.loop))))
            case .file(let path):
                try makeParent(of: path)
                sinks.append((address, FileSink(file: try LogFile(path: path, policy: .init(mode: 0o644), loop: context.loop))))
            case .log(let log): try openLog(log, address, streams: count)
            }
        }
        for (_, sink) in sinks { sink.onRelief = { [unowned self] in for pump in pumps { pump.resume() } } }
    }

    private func makeParent(of path: String) throws(SystemError) {
        guard let slash = path.lastSlash, slash > path.startIndex else { return }
        try Files.makeDirectories(String(path[..<slash]))
    }

    private func openLog(_ log: LogAddress, _ address: StdioAddress, streams: Int) throws {
        if log.driver != .none {
            let attributes = try log.attributes.isEmpty ? [:] : JSON.decode([String: String].self, from: Array(log.attributes.utf8))
            let pairs = attributes.sorted { $0.key < $1.key }.map { (key: $0.key, value: $0.value) }
            let policy = LogFile.Policy(maxSize: log.maxSize, maxFiles: log.maxFiles, blocking: log.blocking, ringLimit: log.maxBufferSize)
            let file = try LogFile(path: log.path, policy: policy, loop: context.loop)
            let encoder: any LogEncoder
            if log.driver == .jsonFile {
                // A crash may have cut the last line off; the next one must not be glued to it.
                if let last = file.lastByte, last != 0x0a { [UInt8(0x0a)].withUnsafeBytes { file.append($0, lines: 1) } }
                encoder = JSONFileEncoder(attributes: pairs)
            } else {
                encoder = LocalEncoder(attributes: pairs)
            }
            sinks.append((address, LogSink(file: file, encoder: encoder, buffers: context.buffers)))
        }
        if !log.attach.isEmpty {
            let socket = try AttachSocket(
                path: log.attach, isTerminal: addresses.terminal, streams: streams, stdinOnce: log.stdinOnce, loop: context.loop)
            attach = socket
            sinks.append((address, socket))
        }
    }

    private func openPipes(_ stdin: StdioAddress, _ stdout: StdioAddress, _ stderr: StdioAddress) throws {
        if let logger {
            if let out = try logger.stdout?.duplicate() { childEnds.append((1, out.release())) }
            if let err = try logger.stderr?.duplicate() { childEnds.append((2, err.release())) }
        } else {
            for (stream, address) in [(OutputStream.stdout, stdout), (.stderr, stderr)] where address != .none {
                let pipe = try Pipes.make()
                own(pipe.reading, pipe.writing)
                outputs.append((stream, pipe.reading))
                childEnds.append((CInt(stream.rawValue), pipe.writing))
            }
        }
        guard stdin != .none else { return }
        let pipe = try Pipes.make()
        own(pipe.reading, pipe.writing)
        stdinPipe = pipe.writing
        childEnds.append((0, pipe.reading))
    }

    private func own(_ files: CInt...) {
        guard context.ownerUID != 0 || context.ownerGID != 0 else { return }
        for file in files { _ = fchown(file, context.ownerUID, context.ownerGID) }
    }

    /// The runtime's standard streams, which become the process's.
    var childDescriptors: [(CInt, CInt)] { childEnds.map { ($0.number, $0.file) } }

    /// The runtime has its own copies now; ours would keep the pipes from ever ending.
    func runtimeStarted() {
        for end in childEnds { _ = Glibc.close(end.file) }
        childEnds = []
    }

    // MARK: while the process runs

    /// The runtime has succeeded: output flows from here on.
    func begin() throws {
        let stdin = (try? StdioAddress(parsing: addresses.stdin)) ?? .none
        if addresses.terminal {
            guard let received = try console?.receiveMaster() else { throw TTRPCStatus(.unknown, "failed to retrieve console master: the runtime has not sent one") }
            console = nil
            try startPump(.stdout, received.duplicate(), isTerminal: true)
            if stdin != .none { stdinQueue = try StdinQueue(loop: context.loop, descriptor: received.duplicate(), isTerminal: true) }
            master = consume received
            if let windowSize { try resize(columns: windowSize.columns, rows: windowSize.rows) }
        } else {
            let pending = outputs
            outputs = []
            for output in pending { try startPump(output.stream, OwnedFD(adopting: output.reading), isTerminal: false) }
            if stdinPipe >= 0 {
                let pipe = OwnedFD(adopting: stdinPipe)
                stdinPipe = -1
                stdinQueue = try StdinQueue(loop: context.loop, descriptor: pipe, isTerminal: false)
            }
        }
        guard let stdinQueue else { return }
        switch stdin {
        case .fifo: break
        case .log: attach?.stdin = stdinQueue
        default: throw TTRPCStatus(.invalidArgument, "stdin \(addresses.stdin): a FIFO or berth-log: expected: invalid argument")
        }
    }

    /// Opens the client's FIFO for standard input: when the process is about to be started, not at its creation.
    ///
    /// ctr and nerdctl call CloseIO when they have read the end of their own input, but forget to when that was before Create was answered. Until
    /// this side of the FIFO is open they do not get that far.
    func openStdin() throws(SystemError) {
        guard let stdinQueue, stdinSource == nil, case .fifo(let path)? = try? StdioAddress(parsing: addresses.stdin) else { return }
        let source = try FIFOSource(path: path, queue: stdinQueue, loop: context.loop)
        stdinSource = source
        if isStdinReleased { source.releaseHold() }
    }

    private func startPump(_ stream: OutputStream, _ file: consuming OwnedFD, isTerminal: Bool) throws {
        let address = try StdioAddress(parsing: stream == .stdout ? addresses.stdout : addresses.stderr)
        let targets = sinks.filter { $0.address == address }.map(\.sink)
        pumps.append(
            try OutputPump(
                loop: context.loop, buffers: context.buffers, descriptor: file, isTerminal: isTerminal, stream: stream, sinks: targets
            ) { [unowned self] in streamEnded() })
    }

    private func streamEnded() {
        guard isDrained else { return }
        let waiters = drainWaiters
        drainWaiters = []
        for waiter in waiters { waiter() }
    }

    /// All output has been taken, to the end of every stream.
    var isDrained: Bool { pumps.allSatisfy { $0.hasEnded } }

    /// Calls `action` when all output has been taken, or after ten seconds: somebody else may hold the streams open for ever.
    func whenDrained(_ action: @escaping () -> Void) {
        guard !isDrained else { return action() }
        var done = false
        var timer: Int?
        let once = { [context] in
            guard !done else { return }
            done = true
            context.loop.cancel(timer)
            action()
        }
        drainWaiters.append(once)
        timer = context.loop.after(milliseconds: 10_000, once)
    }

    func resize(columns: UInt16, rows: UInt16) throws(SystemError) {
        windowSize = (columns, rows)
        if let descriptor = master?.rawValue { try Terminal.resize(descriptor, columns: columns, rows: rows) }
    }

    /// `CloseIO`.
    func closeStdin() {
        isStdinReleased = true
        if let stdinSource { stdinSource.releaseHold() } else if case .fifo? = try? StdioAddress(parsing: addresses.stdin) {} else { stdinQueue?.finish() }
    }

    /// The process is gone: what it wrote is taken now, so that its log is complete before its end is announced.
    func processEnded() { for pump in pumps { pump.drain() } }

    // MARK: the end

    /// What the runtime wrote to standard error, when it failed without an entry in its log. At most 4 KiB.
    func runtimeMessage() -> String? {
        guard let output = outputs.last(where: { $0.stream == .stderr }) else { return nil }
        try? Pipes.setNonBlocking(output.reading)
        let text = withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer -> String in
            let count = read(output.reading, buffer.baseAddress, buffer.count)
            return count > 0 ? String(decoding: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]), as: UTF8.self) : ""
        }
        let trimmed = text.fields(by: "\n").last.map(String.init)
        return trimmed
    }

    /// The process has never run: everything is closed and nothing is logged.
    func discard() { close() }

    /// Closes everything, the pipes of a process that never ran included. Output that is still to come is not taken any more.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        runtimeStarted()
        for output in outputs { _ = Glibc.close(output.reading) }
        outputs = []
        if stdinPipe >= 0 { _ = Glibc.close(stdinPipe) }
        stdinPipe = -1
        for pump in pumps { pump.abandon() }
        pumps = []
        stdinSource?.close()
        stdinQueue?.close()
        for (_, sink) in sinks { sink.close() }
        sinks = []
        master = nil
        (attach, stdinSource, stdinQueue, console) = (nil, nil, nil, nil)
        logger?.close()
    }

    /// The shim is about to end.
    func shutDown() {
        close()
        logger?.terminate()
    }
}
