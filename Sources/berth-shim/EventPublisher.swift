import Glibc
import LinuxSystem
import TaskAPI

/// Sends events to the supervisor, one after the other, each until it has been accepted. While nobody listens they wait here, in order.
///
/// Over ttrpc to TTRPC_ADDRESS; without that, by running the supervisor's `publish` command with the event on standard input, as shims of
/// containerd 1.2 did.
final class EventPublisher {
    enum Target {
        case ttrpc(path: String)
        case program(path: String, grpcAddress: String)
        /// Nobody wants to know.
        case nobody
    }

    /// A supervisor that is away for long finds at most this many; the oldest go first.
    private static let longestQueue = 8192
    /// Milliseconds: for one answer, and between attempts to connect.
    private static let answerTime: UInt64 = 5000, firstPause: UInt64 = 50, longestPause: UInt64 = 2000

    private let loop: EventLoop
    private let target: Target
    private let namespace: String
    private let reaper: ChildReaper
    private var queue: [EventEnvelope] = []
    private var socket: CInt = -1
    private var decoder = TTRPCFrameDecoder()
    private var outgoing: [UInt8] = []
    private var streamID: UInt32 = 1
    private var isInFlight = false
    private var pause = EventPublisher.firstPause
    private var timer: Int?
    private var whenEmpty: (() -> Void)?

    init(loop: EventLoop, target: Target, namespace: String, reaper: ChildReaper) {
        self.loop = loop
        self.target = target
        self.namespace = namespace
        self.reaper = reaper
    }

    func publish(_ event: TaskEvent) {
        if case .nobody = target { return }
        let now = Clock.now()
        let time = Timestamp(seconds: Int64(now.seconds), nanoseconds: Int32(now.nanoseconds))
        queue.append(EventEnvelope(timestamp: time, namespace: namespace, topic: event.topic, event: event.message()))
        if queue.count > EventPublisher.longestQueue {
            let dropped = queue.remove(at: isInFlight ? 1 : 0)
            ShimLog.error("event \(dropped.topic) is lost: nobody has listened for too long")
        }
        if timer == nil || isInFlight { sendNext() }
    }

    /// Calls `action` when every event has been accepted.
    func flush(_ action: @escaping () -> Void) {
        if queue.isEmpty { action() } else { whenEmpty = action }
    }

    private func sendNext() {
        guard !isInFlight, let envelope = queue.first else { return }
        switch target {
        case .nobody: break
        case .ttrpc(let path):
            guard connect(path) else { return }
            let request = TTRPCRequest(
                service: "containerd.services.events.ttrpc.v1.Events", method: "Forward", payload: envelope.forwardRequest(),
                timeoutNanoseconds: Int64(EventPublisher.answerTime) * 1_000_000, metadata: [("containerd-namespace-ttrpc", namespace)])
            TTRPCFrame(streamID: streamID, kind: .request, payload: request.encoded()).append(to: &outgoing)
            isInFlight = true
            loop.cancel(timer)
            timer = loop.after(milliseconds: EventPublisher.answerTime) { [unowned self] in
                timer = nil
                failed("no answer within \(EventPublisher.answerTime / 1000) s")
            }
            write()
        case .program(let path, let address): run(path, address, envelope)
        }
    }

    private func accepted() {
        loop.cancel(timer)
        timer = nil
        isInFlight = false
        pause = EventPublisher.firstPause
        streamID &+= 2
        queue.removeFirst()
        if queue.isEmpty {
            queue = []
            whenEmpty?()
            whenEmpty = nil
        } else {
            sendNext()
        }
    }

    /// The event stays first in the queue and is sent again later. The supervisor sees it twice when only the answer was lost.
    private func failed(_ reason: String) {
        disconnect()
        isInFlight = false
        guard timer == nil, !queue.isEmpty else { return }
        timer = loop.after(milliseconds: pause) { [unowned self] in
            timer = nil
            sendNext()
        }
        pause = min(pause * 2, EventPublisher.longestPause)
    }

    // MARK: ttrpc

    private func connect(_ path: String) -> Bool {
        guard socket < 0 else { return true }
        do {
            socket = try UnixSocket.connect(to: path).release()
            decoder = TTRPCFrameDecoder()
            outgoing = []
            streamID = 1
            try loop.watch(socket, .read) { [unowned self] interest in
                if interest.contains(.write) { write() }
                if !interest.isDisjoint(with: [.read, .hangUp, .error]) { receive() }
            }
            return true
        } catch {
            failed("\(error)")
            return false
        }
    }

    private func disconnect() {
        loop.cancel(timer)
        timer = nil
        guard socket >= 0 else { return }
        loop.unwatch(socket)
        _ = Glibc.close(socket)
        socket = -1
        outgoing = []
    }

    private func write() {
        while !outgoing.isEmpty && socket >= 0 {
            let count = outgoing.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            if count > 0 {
                if count == outgoing.count { outgoing = [] } else { outgoing.removeFirst(count) }
            } else if errno == EAGAIN {
                return loop.change(socket, [.read, .write])
            } else if errno != EINTR {
                return failed("send: \(Errno(rawValue: errno))")
            }
        }
        if socket >= 0 { loop.change(socket, .read) }
    }

    private func receive() {
        guard socket >= 0 else { return }
        let count = withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer -> Int in
            let count = read(socket, buffer.baseAddress, buffer.count)
            if count > 0 { decoder.append(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])) }
            return count
        }
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
        if count <= 0 { return failed("the connection was closed") }
        do {
            while socket >= 0, let frame = try decoder.next() {
                guard frame.kind == .response, isInFlight, frame.streamID == streamID else { continue }
                let response = try TTRPCResponse(decoding: frame.payload)
                if let status = response.status {
                    // Refused for good: sending it again would not change the answer, and would hold up what follows.
                    ShimLog.error("event \(queue.first?.topic ?? ""): \(status.message)")
                }
                accepted()
            }
        } catch { failed("\(error)") }
    }

    // MARK: the publish command

    private func run(_ program: String, _ address: String, _ envelope: EventEnvelope) {
        do {
            let input = try Pipes.memoryFile(named: "event", holding: envelope.event.encoded())
            var request = SpawnRequest(program, ["--address", address, "publish", "--topic", envelope.topic, "--namespace", namespace])
            request.descriptors = [(0, input.rawValue)]
            let pid = try request.start()
            isInFlight = true
            reaper.expect(pid) { [unowned self] exit in
                if exit.status == 0 { accepted() } else { failed("\(program) publish ended with status \(exit.status)") }
            }
        } catch { failed("\(error)") }
    }
}
