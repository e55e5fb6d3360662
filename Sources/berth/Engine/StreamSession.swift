import DockerAPI
import Glibc
import LinuxSystem

/// The life of a hijacked connection: standard input to the container, its output to the terminal, signals and resizes on the side, and the exit status from a
/// `wait` that runs on another connection. One thread, one poll(2).
final class StreamSession {
    private let client: Client
    private let stream: SocketConnection
    /// A terminal's output is raw; without one it comes in frames of an 8-byte header each.
    private let isTTY: Bool
    private let takesInput: Bool
    private let showsOutput: Bool
    private let showsErrors: Bool
    private var raw: RawMode?
    private var frame = FrameDecoder()
    /// Input that the engine has not taken yet. It is never waited for: a container that writes before it reads on must not stop its own output.
    private var pendingInput: ArraySlice<UInt8> = []
    private var inputEnded = false

    /// Called for every signal taken from the queue.
    var onSignal: ((CInt) -> Void)?
    var signals: SignalQueue?
    /// Looked for in what is typed when there is a terminal.
    var escape: DetachSequence?
    /// A reply that ends the session when it is complete, such as `wait`'s.
    var waiting: HTTPResponse?
    private(set) var waitReply: [UInt8]?

    init(client: Client, stream: SocketConnection, isTTY: Bool, takesInput: Bool, showsOutput: Bool = true, showsErrors: Bool = true) {
        self.client = client
        self.stream = stream
        self.isTTY = isTTY
        self.takesInput = takesInput
        self.showsOutput = showsOutput
        self.showsErrors = showsErrors
    }

    /// Switches the terminal to raw mode, if input comes from one and the container has one.
    func enterRawMode() {
        guard isTTY, takesInput else { return }
        raw = LocalTerminal(descriptor: 0).makeRaw()
    }

    func leaveRawMode() { raw?.restore() }

    enum Outcome { case ended, detached }

    /// Relays until the container's output ends, until the wait is answered when no output is attached, or until the user detaches.
    /// - Throws: `CommandFailure` when the connection breaks.
    func run() throws -> Outcome {
        defer { leaveRawMode() }
        client.out.flush()
        inputEnded = !takesInput
        let attached = showsOutput || showsErrors
        var outputOpen = true
        while true {
            if !outputOpen, attached || waiting == nil { return .ended }
            if !attached, waiting != nil, waitReply != nil { return .ended }
            if stream.hasBufferedBytes {
                try relayOutput()
                continue
            }
            var entries = [
                pollfd(fd: outputOpen ? stream.descriptor : -1, events: Int16(POLLIN | (pendingInput.isEmpty ? 0 : POLLOUT)), revents: 0),
                pollfd(fd: inputEnded || !pendingInput.isEmpty ? -1 : 0, events: Int16(POLLIN), revents: 0),
                pollfd(fd: signals?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: waitReply == nil ? waiting?.connection.descriptor ?? -1 : -1, events: Int16(POLLIN), revents: 0),
            ]
            if poll(&entries, nfds_t(entries.count), -1) < 0 { continue }
            if entries[0].revents & Int16(POLLOUT) != 0 { sendPending() }
            if entries[0].revents & ~Int16(POLLOUT) != 0 {
                if try !fillOutput() { outputOpen = false } else { try relayOutput() }
            }
            if entries[1].revents != 0 {
                if takeInput() == .detached { return .detached }
            }
            if entries[2].revents != 0 { while let signal = signals?.next() { onSignal?(signal) } }
            if entries[3].revents != 0 { waitReply = (try? waiting?.readAll()) ?? [] }
        }
    }

    private func fillOutput() throws -> Bool {
        do { return try stream.fill() } catch { return false }
    }

    private func relayOutput() throws {
        let bytes = (try? stream.read()) ?? []
        if isTTY {
            if showsOutput { try client.out.writeNow(bytes) }
            return
        }
        try frame.decode(bytes) { kind, payload in
            switch kind {
            case .stdin, .stdout: if showsOutput { try client.out.writeNow(payload) }
            case .stderr: if showsErrors { try payload.withUnsafeBytesThrowing { (raw) throws(SystemError) in try writeAll(2, raw) } }
            case .systemError: throw CommandFailure("error from daemon in stream: \(String(decoding: payload, as: UTF8.self))")
            }
        }
    }

    /// Reads what was typed or piped, and sends of it what the engine takes.
    private func takeInput() -> Outcome? {
        var bytes = (try? LocalFile.read(0, limit: 32768)) ?? []
        if bytes.isEmpty {
            inputEnded = true
            stream.shutdownWriting()
            return nil
        }
        if isTTY, var sequence = escape {
            guard let passed = sequence.filter(bytes) else { return .detached }
            escape = sequence
            bytes = passed
        }
        pendingInput = bytes[...]
        sendPending()
        return nil
    }

    private func sendPending() {
        do { pendingInput = pendingInput.dropFirst(try stream.writeSome(pendingInput)) } catch {
            // Without a reader the container has closed its input or is gone; its output tells the rest
            pendingInput = []
            inputEnded = true
        }
    }
}

/// Takes Docker's multiplexed stream apart (`StreamFrame`). Payloads are handed on in the pieces they arrive in.
struct FrameDecoder {
    private var header: [UInt8] = []
    private var left = 0
    private var kind = StreamFrame.Kind.stdout

    mutating func decode(_ bytes: ArraySlice<UInt8>, _ body: (StreamFrame.Kind, ArraySlice<UInt8>) throws -> Void) throws {
        var rest = bytes
        while !rest.isEmpty {
            if left == 0 {
                let needed = StreamFrame.headerLength - header.count
                header += rest.prefix(needed)
                rest = rest.dropFirst(needed)
                guard header.count == StreamFrame.headerLength else { return }
                guard let frame = StreamFrame(header: header) else { throw CommandFailure("Unrecognized input header: \(header[0])") }
                (kind, left) = (frame.kind, Int(frame.length))
                header.removeAll(keepingCapacity: true)
                continue
            }
            let piece = rest.prefix(left)
            try body(kind, piece)
            left -= piece.count
            rest = rest.dropFirst(piece.count)
        }
    }
}
