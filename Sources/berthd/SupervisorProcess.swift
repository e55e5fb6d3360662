import BerthDefaults
import Glibc
import GRPCSocket
import LinuxSystem
import Synchronization

/// The supervisor that berthd starts for itself: found again when it runs already, started when not, started again when it dies.
///
/// It lives in a session of its own and outlives berthd. Whether it runs is told by its socket: a lock file or a pid could lie after a crash.
final class SupervisorProcess: Sendable {
    let config: DaemonConfig
    let client: SupervisorClient
    /// Our child, to be reaped when it ends; 0 when somebody else started it.
    private let child = Mutex<pid_t>(0)

    init(config: DaemonConfig, client: SupervisorClient) {
        self.config = config
        self.client = client
    }

    private static let startPatience = Duration.seconds(20)
    /// How often it is looked at although its process has not ended: one that lives and serves nobody is the rare case, and looking wakes both of us.
    private static let checkInterval = Duration.seconds(30)
    /// Before the second attempt while another supervisor comes up or goes; doubles with each.
    private static let firstTurn = Duration.milliseconds(100)
    /// Between two looks at a supervisor whose process cannot be watched.
    private static let retryInterval = Duration.milliseconds(500)

    /// Returns when the supervisor answers.
    ///
    /// - Throws: what is missing, or that it does not answer.
    func ensureRunning() async throws {
        let deadline = ContinuousClock.now + Self.startPatience
        var turn = Self.firstTurn
        while ContinuousClock.now < deadline {
            // A call waits for a server that may be restarting: nobody is waited for where nothing listens. Short calls, since one that was killed
            // accepts until the kernel has taken it down.
            while isServed(), ContinuousClock.now < deadline {
                if await answers(within: .milliseconds(200)) {
                    Log.info("found a running supervisor on \(config.supervisorSocket)")
                    return
                }
            }
            let pid = try start()
            guard let status = try await ends(beforeAnswering: deadline) else {
                Log.info("started the supervisor, pid \(pid)")
                return
            }
            guard wasNotItsFault(status) else {
                throw DaemonError.internalError("berth-supervisor ended at once (wait status \(status)); its messages are above")
            }
            try await Task.sleep(for: turn)
            turn = min(turn * 2, .seconds(2))
        }
        throw noAnswer
    }

    /// The wait status of the child, should it end before it answers; nil when it answers.
    private func ends(beforeAnswering deadline: ContinuousClock.Instant) async throws -> CInt? {
        while ContinuousClock.now < deadline {
            if await answers(within: .milliseconds(200)) { return nil }
            if let status = reap() { return status }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw noAnswer
    }

    private var noAnswer: DaemonError { .internalError("berth-supervisor does not answer on \(config.supervisorSocket)") }

    /// Somebody has ended it, or one that a berthd before us started is still coming up, or going, and holds the directory: it is this one's turn, or another's.
    private func wasNotItsFault(_ status: CInt) -> Bool {
        let isKilled = status & 0x7f != 0
        return isKilled || status == 0 || status >> 8 == Defaults.supervisorInUseStatus
    }

    /// Watches it until cancelled. Task events and the services' calls reconnect by themselves.
    func run() async {
        while !Task.isCancelled {
            do { try await waitForEnd() } catch { return }
            _ = reap()
            // A call would wait for it to come back: whether somebody listens is the question.
            if isServed() { continue }
            Log.warning("the supervisor is gone: starting it again")
            do { try await ensureRunning() } catch { Log.error("cannot start the supervisor: \(error)") }
        }
    }

    private func answers(within timeout: Duration = .seconds(5)) async -> Bool { (try? await client.version(timeout: timeout)) != nil }

    /// Whether somebody accepts on the socket. Costs a connect, no call.
    private func isServed() -> Bool { (try? UnixSocket.connect(to: config.supervisorSocket)) != nil }

    /// Sleeps until the process behind the socket ends, or until it is time to look anyway. An idle engine must not wake up to see that nothing happened.
    ///
    /// - Throws: CancellationError.
    private func waitForEnd() async throws {
        guard let watched = ProcessEnd(listeningOn: config.supervisorSocket) else { return try await Task.sleep(for: Self.retryInterval) }
        // However the wait ends, the descriptor is closed.
        defer { watched.cancel() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await watched.wait() }
            group.addTask { try await Task.sleep(for: Self.checkInterval) }
            _ = try await group.next()
            group.cancelAll()
        }
    }

    /// A supervisor that we started is our child until we end.
    @discardableResult
    private func reap() -> CInt? {
        child.withLock { child in
            var status: CInt = 0
            guard child > 0, waitpid(child, &status, WNOHANG) == child else { return nil }
            child = 0
            return status
        }
    }

    private func start() throws -> pid_t {
        let program = try Self.siblingProgram("berth-supervisor")
        try Files.makeDirectories(config.supervisorRoot, mode: 0o711)
        try Files.makeDirectories(config.execRoot, mode: 0o711)
        var arguments = ["--address", config.supervisorSocket, "--root", config.supervisorRoot, "--state", config.execRoot]
        arguments += ["--max-concurrent-downloads", "\(min(max(1, config.maxConcurrentDownloads), 1000))", "--max-concurrent-uploads", "\(min(max(1, config.maxConcurrentUploads), 1000))"]
        if !config.storageDriver.isEmpty { arguments += ["--storage-driver", config.storageDriver] }
        if config.debug { arguments += ["--log-level", "debug"] }
        var request = SpawnRequest(program, arguments)
        request.ownSession = true
        // Its messages go where ours go; standard input stays /dev/null.
        request.descriptors = [(1, 2), (2, 2)]
        let pid = try request.start()
        child.withLock { $0 = pid }
        return pid
    }

    /// A program beside our own binary, or of that name on PATH.
    static func siblingProgram(_ name: String) throws -> String {
        let beside = try Files.readLink("/proc/self/exe").parentPath + "/" + name
        return access(beside, X_OK) == 0 ? beside : name
    }
}
