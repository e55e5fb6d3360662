import BerthDefaults
import Glibc
import LinuxSystem

// The protocol between the runtime and the init it builds, over one SEQPACKET socket pair. Both are the same program image (fork), so nothing else has to
// be carried over; one message is one packet, its first byte is the kind.
//
//     runtime                          init
//        │  ◀── pid (intermediate) ───  │   with an intermediate stage only: the init's pid
//        │  ◀── mapping ──────────────  │   new user namespace: "write my id maps"
//        │  ─── go ─────────────────▶   │   maps are written
//        │  ─── cgroup [fds] ───────▶   │   the cgroup exists: join it by writing 0 to these `tasks` files (none with CLONE_INTO_CGROUP)
//        │  ─── network ────────────▶   │   lo of the new network namespace is up; read when the mounts are done
//        │  ◀── idmap [fd] ───────────  │   a mount whose source only the init can reach: "map its ids"; its place in the plan as text
//        │  ─── go ─────────────────▶   │
//        │  ◀── hooks ────────────────  │   mounts are done, root not yet changed; only if there are prestart or createRuntime hooks
//        │  ─── go ─────────────────▶   │
//        │  ◀── seccomp [fd] ─────────  │   notify descriptor for the listener
//        │  ─── go ─────────────────▶   │
//        │  ◀── ready ────────────────  │   create: everything is done, waits at exec.fifo from here on
//        │  ◀── failure ──────────────  │   at any time, the last message; program failure: the same from execve, when all else is done
//        │  ◀── (end) ────────────────  │   run, exec: execve succeeded, which closed the socket

enum SyncMessage: UInt8 {
    case pid = 0x70, network = 0x6e, mapping = 0x75, go = 0x67, cgroup = 0x63, hooks = 0x68, seccomp = 0x73, idmap = 0x69, ready = 0x72, failure = 0x65, programFailure = 0x78
}

/// One end of the channel.
struct SyncChannel: ~Copyable {
    private let socket: OwnedFD

    /// For errors. Not the name of the message: to print a case's name Swift looks through all types of the program, half a millisecond in each process.
    private static let name = "launch protocol"

    init(_ socket: consuming OwnedFD) { self.socket = socket }

    var rawValue: CInt { socket.rawValue }

    struct Message: ~Copyable {
        let kind: SyncMessage
        let text: String
        /// The receiver owns them.
        let descriptors: [CInt]
    }

    borrowing func send(_ kind: SyncMessage, _ text: String = "", descriptors: [CInt] = []) throws(SystemError) {
        let bytes = [kind.rawValue] + Array(text.utf8)
        // Without descriptors a plain write, which every seccomp profile allows.
        if descriptors.isEmpty { return try Files.writeAll(bytes, to: socket, name: Self.name) }
        try DescriptorPassing.send(bytes, descriptors: descriptors, over: socket, name: Self.name)
    }

    /// Sends one descriptor over somebody else's end and waits for `go`.
    static func exchange(_ kind: SyncMessage, _ text: String, _ descriptor: CInt, over raw: CInt) throws(SystemError) {
        try DescriptorPassing.send([kind.rawValue] + Array(text.utf8), descriptors: [descriptor], overRaw: raw, name: name)
        let channel = SyncChannel(OwnedFD(adopting: raw))
        let result = Result { () throws(SystemError) in try channel.expect(.go) }
        _ = (consume channel).release()
        _ = try result.get()
    }

    consuming func release() -> CInt { socket.release() }

    /// The next message, nil when the other side is closed.
    borrowing func receive() throws(SystemError) -> Message? {
        var message = try next()
        guard let first = message.bytes.first else { return nil }
        guard let kind = SyncMessage(rawValue: first) else { throw SystemError(call: "recvmsg", subject: Self.name, errno: .invalid) }
        return Message(kind: kind, text: String(decoding: message.bytes.dropFirst(), as: UTF8.self), descriptors: message.takeDescriptors())
    }

    /// A side that closes with a message it has not read is told of as ECONNRESET, once and before what it sent: that comes with the next call.
    private borrowing func next() throws(SystemError) -> ReceivedMessage {
        do throws(SystemError) { return try DescriptorPassing.receive(from: socket, room: 8192, name: Self.name) } catch {
            if error.errno != .connectionReset { throw error }
            return try DescriptorPassing.receive(from: socket, room: 8192, name: Self.name)
        }
    }

    /// The init's side: waits for `kind` and for nothing else. The runtime's end closing means that it died, and so does the init.
    borrowing func expect(_ kind: SyncMessage) throws(SystemError) -> [CInt] {
        guard let message = try receive(), message.kind == kind else { Processes.leave(1) }
        return message.descriptors
    }

    /// Reports the failure that ends the sender.
    borrowing func fail(_ error: RuntimeError) {
        try? send(error.isProgramFailure ? .programFailure : .failure, "\(error.code.rawValue)\0\(String(error.message.prefix(4000)))")
    }

    /// The failure in a message of that kind.
    static func failure(_ text: String, isProgramFailure: Bool = false) -> RuntimeError {
        let parts = text.fields(by: "\0", limit: 2)
        return RuntimeError(parts.first.flatMap { ErrorCode(rawValue: String($0)) } ?? .internalError, parts.count > 1 ? String(parts[1]) : text,
            isProgramFailure: isProgramFailure)
    }
}
