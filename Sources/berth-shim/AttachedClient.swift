import Glibc
import LinuxSystem

/// One connection to the attach socket.
final class AttachedClient {
    private static let highWater = 256 << 10
    /// How long a session whose input has ended waits for more output, in milliseconds.
    private static let quietTime: UInt64 = 1000
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
    /// Runs from the end of the input of a session that ends with it.
    private var quietTimer: Int?
    private var hasSentOutput = false
    private(set) var isBlocking = false

    init(socket: consuming OwnedFD, owner: AttachSocket, loop: EventLoop, isTerminal: Bool) throws(SystemError) {
        self.loop = loop
        self.owner = owner
        self.isTerminal = isTerminal
        self.socket = socket.release()
        let raw = self.socket
        try loop.watch(raw, [.read, .readHangUp]) { [self] in ready($0) }
        timer = loop.after(milliseconds: AttachedClient.greetingTime) { [weak self] in self?.close() }
        // The shim outlives its task until what the container said is with who reads it.
        loop.hold()
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
            if wantsStdin {
                // Without stdin-once the input belongs to the container and a later client may go on with it: then the end of this client's input
                // is the end of its session, as with dockerd, once the answer to what it sent has come.
                if owner.stdinOnce && !isTerminal { owner.stdin?.finish() } else { endWhenQuiet() }
            }
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
        hasSentOutput = true
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
        if queue.isEmpty {
            caughtUp()
        } else if progressed && isFinishing {
            startPatienceToFinish()
        } else if progressed && isBlocking {
            startPatience()
        }
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

    private func endWhenQuiet() {
        hasSentOutput = false
        quietTimer = loop.after(milliseconds: AttachedClient.quietTime) { [weak self] in
            guard let self else { return }
            if hasSentOutput { endWhenQuiet() } else { finish() }
        }
    }

    /// Sends what is queued, then closes.
    func finish() {
        guard !isClosed, !isFinishing else { return }
        isFinishing = true
        if queue.isEmpty { close() } else { startPatienceToFinish() }
    }

    private func startPatienceToFinish() {
        loop.cancel(timer)
        // A minute without any progress: the output has ended, so this holds nobody up but the reader itself.
        timer = loop.after(milliseconds: 60_000) { [weak self] in self?.close() }
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        isBlocking = false
        loop.cancel(timer)
        loop.cancel(quietTimer)
        loop.release()
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
