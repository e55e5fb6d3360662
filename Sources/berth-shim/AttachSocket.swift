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
    private let stdinOnce: Bool
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

    fileprivate func registered(_ client: AttachedClient) { if hasEnded { client.finish() } }

    fileprivate func left(_ client: AttachedClient, withStdin: Bool) {
        readers[ObjectIdentifier(client)] = nil
        if withStdin && stdinOnce { stdin?.finish() }
        relieved()
    }

    fileprivate func relieved() { if !isBlocked { onRelief?() } }

    /// Nobody may attach any more; who is attached gets what is queued.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        loop.unwatch(listener.rawValue)
        unlink(path)
        for reader in readers.values { reader.finish() }
    }
}

/// One connection to the attach socket.
final class AttachedClient {
    private static let highWater = 256 << 10
    /// A client that connects and says nothing goes after this time, in milliseconds.
    private static let greetingTime: UInt64 = 10_000

    private let loop: EventLoop
    /// The socket lives until its last client has everything: a cycle that `close` breaks.
    private let owner: AttachSocket
    private let socket: CInt
    private let isTerminal: Bool
    private var wantsStdin = false, wantsStdout = false, wantsStderr = false
    private var isRegistered = false
    private var inputEnded = false
    private var isFinishing = false
    private var isClosed = false
    private var queue: [UInt8] = []
    /// The reader has not moved for too long: nothing more is queued until it has caught up.
    private var isLagging = false
    private var skipped = 0
    private var timer: Int?
    private(set) var isBlocking = false

    init(socket: consuming OwnedFD, owner: AttachSocket, loop: EventLoop, isTerminal: Bool) throws(SystemError) {
        self.loop = loop
        self.owner = owner
        self.isTerminal = isTerminal
        self.socket = socket.release()
        let raw = self.socket
        try loop.watch(raw, [.read, .readHangUp]) { [self] in ready($0) }
        timer = loop.after(milliseconds: AttachedClient.greetingTime) { [weak self] in self?.close() }
    }

    private func ready(_ interest: Epoll.Interest) {
        if interest.contains(.write) { flush() }
        guard !isClosed else { return }
        // The peer has closed altogether: whatever it sent before is still to be read.
        let gone = !interest.isDisjoint(with: [.hangUp, .error])
        if !inputEnded { receive(gone: gone) } else if gone { close() }
    }

    private func receive(gone: Bool) {
        let count = withUnsafeTemporaryAllocation(byteCount: 32768, alignment: 8) { buffer -> Int in
            let count = read(socket, buffer.baseAddress, buffer.count)
            if count > 0 { received(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])) }
            return count
        }
        if count < 0 {
            if errno != EAGAIN && errno != EINTR { close() }
        } else if count == 0 {
            if gone || !isRegistered { return close() }
            inputEnded = true
            if wantsStdin { owner.stdin?.finish() }
            updateInterest()
        }
    }

    private func received(_ bytes: UnsafeRawBufferPointer) {
        var input = bytes
        if !isRegistered {
            register(flags: input[0])
            input = UnsafeRawBufferPointer(rebasing: input[1...])
        }
        guard !isClosed, wantsStdin, !input.isEmpty, let stdin = owner.stdin else { return }
        stdin.write(input)
        if stdin.isFull {
            updateInterest()
            stdin.whenRoom { [weak self] in self?.updateInterest() }
        }
    }

    private func register(flags: UInt8) {
        loop.cancel(timer)
        timer = nil
        wantsStdin = flags & 1 != 0
        wantsStdout = flags & 2 != 0
        wantsStderr = flags & 4 != 0
        isRegistered = true
        enqueue([1])
        if !isClosed { owner.registered(self) }
    }

    // MARK: output

    func send(_ bytes: UnsafeRawBufferPointer, from stream: OutputStream) {
        guard isRegistered, !isFinishing, !isClosed, stream == .stdout ? wantsStdout : wantsStderr else { return }
        if isLagging {
            skipped += bytes.count
            return
        }
        if isTerminal { return enqueue(bytes) }
        let size = UInt32(bytes.count)
        let header: [UInt8] = [stream.rawValue, 0, 0, 0, UInt8(size >> 24), UInt8(size >> 16 & 255), UInt8(size >> 8 & 255), UInt8(size & 255)]
        if queue.isEmpty {
            // Both parts in one call, straight from the buffer of the pump: nothing is copied for a reader that keeps up.
            let sent = header.withUnsafeBytes { head in sendParts(head, bytes) }
            guard sent >= 0 else { return close() }
            if sent == header.count + bytes.count { return }
            if sent < header.count { queue.append(contentsOf: header[sent...]) }
            queue.append(contentsOf: bytes[max(0, sent - header.count)...])
            queueGrew()
        } else {
            queue.append(contentsOf: header)
            queue.append(contentsOf: bytes)
            queueGrew()
        }
    }

    private func sendParts(_ head: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer) -> Int {
        var parts = (
            iovec(iov_base: UnsafeMutableRawPointer(mutating: head.baseAddress), iov_len: head.count),
            iovec(iov_base: UnsafeMutableRawPointer(mutating: body.baseAddress), iov_len: body.count)
        )
        while true {
            let sent = withUnsafeMutableBytes(of: &parts) { raw -> Int in
                var message = msghdr()
                message.msg_iov = raw.assumingMemoryBound(to: iovec.self).baseAddress
                message.msg_iovlen = 2
                return sendmsg(socket, &message, CInt(MSG_NOSIGNAL))
            }
            if sent >= 0 { return sent }
            if errno == EAGAIN { return 0 }
            if errno != EINTR { return -1 }
        }
    }

    private func enqueue(_ bytes: UnsafeRawBufferPointer) {
        queue.append(contentsOf: bytes)
        flush()
        if !isClosed && !queue.isEmpty { queueGrew() }
    }

    private func enqueue(_ bytes: [UInt8]) { bytes.withUnsafeBytes { enqueue($0) } }

    private func queueGrew() {
        updateInterest()
        guard queue.count >= AttachedClient.highWater, !isBlocking else { return }
        isBlocking = true
        startPatience()
    }

    private func startPatience() {
        loop.cancel(timer)
        timer = loop.after(milliseconds: AttachSocket.patience) { [weak self] in self?.losePatience() }
    }

    private func losePatience() {
        timer = nil
        isLagging = true
        isBlocking = false
        owner.relieved()
    }

    private func flush() {
        var progressed = false
        while !queue.isEmpty && !isClosed {
            let count = queue.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            if count > 0 {
                progressed = true
                if count == queue.count { queue = [] } else { queue.removeFirst(count) }
            } else if errno == EAGAIN {
                break
            } else if errno != EINTR {
                return close()
            }
        }
        guard !isClosed else { return }
        if queue.isEmpty { caughtUp() } else if progressed && isBlocking { startPatience() }
        updateInterest()
    }

    private func caughtUp() {
        if isBlocking || isLagging {
            loop.cancel(timer)
            timer = nil
        }
        let wasBlocking = isBlocking
        isBlocking = false
        if isLagging {
            isLagging = false
            ShimLog.warn("an attached client did not read for \(AttachSocket.patience / 1000) s and missed \(skipped) bytes; the log has them")
            skipped = 0
        }
        if isFinishing { return close() }
        if wasBlocking { owner.relieved() }
    }

    private func updateInterest() {
        guard !isClosed else { return }
        var interest: Epoll.Interest = []
        if !inputEnded && !(wantsStdin && owner.stdin?.isFull == true) { interest = [.read, .readHangUp] }
        if !queue.isEmpty { interest.insert(.write) }
        // With nothing else to wait for, the peer's hang-up still is: the kernel reports it unasked, and once.
        if interest.isEmpty { interest = .error }
        loop.change(socket, interest)
    }

    /// Sends what is queued, then closes.
    func finish() {
        guard !isClosed, !isFinishing else { return }
        isFinishing = true
        if queue.isEmpty { close() } else if !isLagging { startPatienceToFinish() }
    }

    private func startPatienceToFinish() {
        loop.cancel(timer)
        // A minute: the output has ended, so this holds nobody up but the reader itself.
        timer = loop.after(milliseconds: 60_000) { [weak self] in self?.close() }
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        isBlocking = false
        loop.cancel(timer)
        loop.unwatch(socket)
        // Closed with unread input, the socket would give the peer ECONNRESET instead of the end of file.
        shutdown(socket, CInt(SHUT_WR))
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
            for _ in 0..<64 where read(socket, buffer.baseAddress, buffer.count) > 0 {}
        }
        _ = Glibc.close(socket)
        queue = []
        owner.left(self, withStdin: wantsStdin && !isFinishing)
    }
}
