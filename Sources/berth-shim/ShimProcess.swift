import CLinux
import Glibc
import LinuxSystem
import TaskAPI

/// The server: puts the parts together and decides when to end.
final class ShimProcess {
    /// Milliseconds without a container and without a connection after which nobody will ever come.
    private static let orphanTime: UInt64 = 60_000
    /// And for the last events to be accepted.
    private static let farewellTime: UInt64 = 3000
    /// Between two rounds of giving memory back to the kernel, in nanoseconds.
    private static let trimInterval: UInt64 = 5_000_000_000

    private let loop: EventLoop
    private let signals: SignalDescriptor
    private let reaper = ChildReaper()
    private let buffers = SharedBuffers()
    private let publisher: EventPublisher
    private let sockets: SocketPaths
    private let server: ShimServer
    private let service: TaskService
    private var wantsToEnd = false
    private var isEnding = false
    private var orphanTimer: Int?
    private var lastTrim: UInt64 = 0

    init(bootstrap: Bootstrap, sockets: SocketPaths, listener: consuming OwnedFD) throws {
        let loop = try EventLoop()
        self.loop = loop
        self.sockets = sockets
        signal(SIGPIPE, SIG_IGN)
        signals = try SignalDescriptor([SIGCHLD, SIGTERM, SIGINT, SIGHUP])
        try Children.becomeSubreaper()
        publisher = EventPublisher(loop: loop, target: bootstrap.target, namespace: bootstrap.arguments.namespace, reaper: reaper)
        var end: () -> Void = {}
        let service = TaskService(
            environment: .init(
                loop: loop, reaper: reaper, buffers: buffers, publisher: publisher, namespace: bootstrap.arguments.namespace, sockets: sockets)
        ) { end() }
        self.service = service
        server = try ShimServer(loop: loop, listener: listener) { request, reply in service.handle(request, reply) }
        end = { [unowned self] in beginToEnd() }
        try loop.watch(signals.file.rawValue, .read) { [unowned self] _ in takeSignals() }
        server.onLastDisconnect = { [unowned self] in watchForOrphanhood() }
        loop.onIdle = { [unowned self] in trim() }
        watchForOrphanhood()
    }

    func run() { loop.run() }

    private func takeSignals() {
        while let signal = signals.next() {
            if signal == SIGTERM || signal == SIGINT { wantsToEnd = true }
        }
        reaper.reapAll()
        // The machine goes down, perhaps: the container has been told as well. Its end is still to be logged and told; until then the shim stays.
        if wantsToEnd && !service.hasRunningContainer { beginToEnd() }
    }

    private func watchForOrphanhood() {
        loop.cancel(orphanTimer)
        orphanTimer = loop.after(milliseconds: ShimProcess.orphanTime) { [unowned self] in
            orphanTimer = nil
            if !service.hasContainer && !server.hasConnections { beginToEnd() }
        }
    }

    private func trim() {
        buffers.release()
        let now = Clock.monotonic()
        guard now - lastTrim > ShimProcess.trimInterval else { return }
        lastTrim = now
        _ = malloc_trim(0)
        StackPages.release()
    }

    /// Tells the last events, then ends; the answer to the Shutdown call is on its way already.
    private func beginToEnd() {
        guard !isEnding else { return }
        isEnding = true
        server.stopListening()
        sockets.removeAll()
        service.shutDown()
        loop.after(milliseconds: ShimProcess.farewellTime) { [unowned self] in loop.stop() }
        publisher.flush { [unowned self] in loop.stop() }
    }
}

/// The part of the stack below the caller, which a deep call has touched once and which nobody needs until the next one.
private enum StackPages {
    static func release() {
        var here: UInt64 = 0
        withUnsafeMutablePointer(to: &here) { place in
            let page = UInt(4096)
            // Well below this frame and the red zone under it; what is unmapped there makes the call fail, which does no harm.
            let top = (UInt(bitPattern: place) & ~(page - 1)) - 2 * page
            for size in [UInt(31), 15, 7] where madvise(UnsafeMutableRawPointer(bitPattern: top - size * page), Int(size * page), MADV_DONTNEED) == 0 { return }
        }
    }
}
