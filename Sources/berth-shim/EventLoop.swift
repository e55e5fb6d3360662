import LinuxSystem

/// The one place where the shim sleeps. Everything else is called from here and never waits.
///
/// A watch or a timer keeps what its closure captures alive until `unwatch` or `cancel`; that is what owns connections and pumps.
final class EventLoop {
    typealias Handler = (Epoll.Interest) -> Void

    private struct Watch {
        let generation: UInt32
        var interest: Epoll.Interest
        let handler: Handler
    }

    private struct Timer {
        let deadline: UInt64
        let id: Int
        let action: () -> Void
    }

    private let epoll: Epoll
    private var watches: [CInt: Watch] = [:]
    private var nextGeneration: UInt32 = 0
    /// Sorted by deadline; a shim has a handful.
    private var timers: [Timer] = []
    private var nextTimer = 1
    private var stopped = false
    private var isStopping = false
    private var holders = 0
    /// Called when the loop has had nothing to do for a while after work: gives buffers back.
    var onIdle: (() -> Void)?
    private var workedSinceIdle = false
    private static let idleMilliseconds: CInt = 250

    init() throws(SystemError) { epoll = try Epoll() }

    // MARK: descriptors

    /// Calls `handler` whenever `descriptor` is ready. The descriptor stays its owner's, who unwatches before closing it.
    func watch(_ descriptor: CInt, _ interest: Epoll.Interest, _ handler: @escaping Handler) throws(SystemError) {
        nextGeneration &+= 1
        let watch = Watch(generation: nextGeneration, interest: interest, handler: handler)
        if !interest.isEmpty { try epoll.add(descriptor, interest, token: token(descriptor, watch.generation)) }
        watches[descriptor] = watch
    }

    /// Nothing in `interest` takes the descriptor out of the kernel's set: a hang-up, which is always reported, would otherwise keep the loop spinning.
    func change(_ descriptor: CInt, _ interest: Epoll.Interest) {
        guard let watch = watches[descriptor], watch.interest != interest else { return }
        let token = token(descriptor, watch.generation)
        if interest.isEmpty { epoll.remove(descriptor) }
        else if watch.interest.isEmpty { try? epoll.add(descriptor, interest, token: token) }
        else { try? epoll.modify(descriptor, interest, token: token) }
        watches[descriptor]?.interest = interest
    }

    func unwatch(_ descriptor: CInt) {
        guard let watch = watches.removeValue(forKey: descriptor) else { return }
        if !watch.interest.isEmpty { epoll.remove(descriptor) }
    }

    private func token(_ descriptor: CInt, _ generation: UInt32) -> UInt64 { UInt64(generation) << 32 | UInt64(UInt32(bitPattern: descriptor)) }

    // MARK: timers

    /// Runs `action` once, not before `milliseconds` are over. Wall-clock jumps do not matter.
    @discardableResult
    func after(milliseconds: UInt64, _ action: @escaping () -> Void) -> Int {
        let timer = Timer(deadline: Clock.monotonic() + milliseconds * 1_000_000, id: nextTimer, action: action)
        nextTimer += 1
        let place = timers.firstIndex { $0.deadline > timer.deadline } ?? timers.endIndex
        timers.insert(timer, at: place)
        return timer.id
    }

    func cancel(_ timer: Int?) {
        guard let timer else { return }
        timers.removeAll { $0.id == timer }
    }

    private func timeout() -> CInt {
        var wait: CInt = workedSinceIdle ? EventLoop.idleMilliseconds : -1
        if let first = timers.first {
            let now = Clock.monotonic()
            // Rounded up, or the loop would spin through the last millisecond.
            let milliseconds = first.deadline <= now ? 0 : min((first.deadline - now + 999_999) / 1_000_000, 86_400_000)
            if wait < 0 || CInt(milliseconds) < wait { wait = CInt(milliseconds) }
        }
        return wait
    }

    private func runTimers() {
        guard !timers.isEmpty else { return }
        let now = Clock.monotonic()
        while let first = timers.first, first.deadline <= now {
            timers.removeFirst()
            first.action()
        }
    }

    // MARK: running

    /// Ends the loop when nobody holds it any more.
    func stop() {
        isStopping = true
        if holders == 0 { stopped = true }
    }

    /// Somebody still has work that may not be cut short: a reader that has not read all of the output.
    func hold() { holders += 1 }

    func release() {
        holders -= 1
        if isStopping && holders == 0 { stopped = true }
    }

    func run() {
        while !stopped {
            let timeout = timeout()
            var ready = false
            epoll.wait(milliseconds: timeout) { token, interest in
                ready = true
                // An earlier handler of this round may have closed the descriptor, and another may have got its number.
                guard let watch = watches[CInt(bitPattern: UInt32(truncatingIfNeeded: token))], watch.generation == UInt32(token >> 32) else { return }
                watch.handler(interest)
            }
            if ready { workedSinceIdle = true }
            else if workedSinceIdle && timeout == EventLoop.idleMilliseconds {
                workedSinceIdle = false
                onIdle?()
            }
            runTimers()
        }
    }
}
