import Glibc
import LinuxSystem

/// The unix socket on which a process's live output is to be had and its input to be given. docs/shim.md describes the protocol.
///
/// A reader that stops reading holds the container up for `patience` at most. Then the log goes on without it: what it missed is skipped, whole
/// frames at a time, until it has read what was queued for it.
final class AttachSocket: OutputSink {
    /// Milliseconds without any progress.
    static let patience: UInt64 = 5000

    let path: String
    private let loop: EventLoop
    private let listener: OwnedFD
    private let isTerminal: Bool
    let stdinOnce: Bool
    private var openStreams: Int
    private var readers: [ObjectIdentifier: AttachedClient] = [:]
    /// Where attached clients type; nil without standard input.
    var stdin: StdinQueue?
    var onRelief: (() -> Void)?
    private var isClosed = false

    init(path: String, isTerminal: Bool, streams: Int, stdinOnce: Bool, loop: EventLoop) throws(SystemError) {
        self.path = path
        self.loop = loop
        self.isTerminal = isTerminal
        self.stdinOnce = stdinOnce
        openStreams = streams
        unlink(path)
        listener = try UnixSocket.listen(at: path)
        let raw = listener.rawValue
        try loop.watch(raw, .read) { [unowned self] _ in acceptAll() }
    }

    var isBlocked: Bool { readers.values.contains { $0.isBlocking } }
    private var hasEnded: Bool { openStreams == 0 }

    private func acceptAll() {
        while let socket = try? UnixSocket.accept(listener) {
            guard let peer = try? UnixSocket.peer(of: socket), peer.uid == geteuid() || peer.uid == 0 else { continue }
            guard let client = try? AttachedClient(socket: socket, owner: self, loop: loop, isTerminal: isTerminal) else { continue }
            readers[ObjectIdentifier(client)] = client
        }
    }

    func accept(_ bytes: UnsafeRawBufferPointer, from stream: OutputStream) {
        guard !readers.isEmpty else { return }
        for reader in readers.values { reader.send(bytes, from: stream) }
    }

    func end(_ stream: OutputStream) {
        openStreams -= 1
        guard hasEnded else { return }
        for reader in readers.values { reader.finish() }
    }

    // MARK: called by the clients

    func registered(_ client: AttachedClient) { if hasEnded { client.finish() } }

    func left(_ client: AttachedClient, withStdin: Bool) {
        readers[ObjectIdentifier(client)] = nil
        if withStdin && stdinOnce { stdin?.finish() }
        relieved()
    }

    func relieved() { if !isBlocked { onRelief?() } }

    /// Nobody may attach any more; who is attached gets what is queued.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        loop.unwatch(listener.rawValue)
        unlink(path)
        for reader in readers.values { reader.finish() }
    }
}
