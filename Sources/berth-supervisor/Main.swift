import BerthDefaults
import Glibc
import LinuxSystem

@main
struct Main {
    /// Not `async`: the main thread of an asynchronous `main` becomes libdispatch's, which lets every signal through to its default action.
    static func main() {
        if CommandLine.arguments.count > 1, CommandLine.arguments[1] == "oci-hook" { OCIHook.run(Array(CommandLine.arguments.dropFirst(2))) }
        // Before any thread is there, so that all of them inherit it.
        umask(0o077)
        signal(SIGPIPE, SIG_IGN)
        let signals = StopSignals()
        // Detached: `main` is the main actor's, whose thread waits for signals.
        Task.detached {
            do {
                try await run(signals)
                exit(0)
            } catch let error as SupervisorError where error.code == .invalidArgument {
                put("berth-supervisor: \(error.message)\n", STDERR_FILENO)
                exit(2)
            } catch let error as SupervisorError where error.code == .conflict {
                put("berth-supervisor: \(error.message)\n", STDERR_FILENO)
                exit(Defaults.supervisorInUseStatus)
            } catch {
                put("berth-supervisor: \(error)\n", STDERR_FILENO)
                exit(1)
            }
        }
        signals.serve()
    }

    private static func run(_ signals: StopSignals) async throws {
        switch try SupervisorConfig.parse(Array(CommandLine.arguments.dropFirst()), readFile: { try Files.readText($0) }) {
        case .help: put(SupervisorConfig.usage, STDOUT_FILENO)
        case .version: put("berth-supervisor \(Defaults.version)\n", STDOUT_FILENO)
        case .check(let config, let repairs, let quick): exit(try check(config, repairs: repairs, quick: quick))
        case .serve(let config):
            Log.configure(level: config.logLevel, format: config.logFormat)
            DescriptorLimit.raise()
            try await Supervisor(config: config).run { await signals.first() }
        }
    }

    /// `fsck`: one line for each difference, on stdout.
    private static func check(_ config: SupervisorConfig, repairs: Bool, quick: Bool) throws -> CInt {
        let lock: DirectoryLock
        // Its exit statuses are its own.
        do { lock = try DirectoryLock(config.root) } catch let error as SupervisorError { throw SupervisorError(.failedPrecondition, error.message) }
        defer { lock.release() }
        let check = StorageCheck(root: config.root, repairs: repairs, readsBlobs: !quick) { finding in
            let remedy = finding.remedy.map { repairs ? "done: \($0)" : "would \($0)" } ?? "not repairable here"
            put("\(finding.what): \(remedy)\n", STDOUT_FILENO)
        }
        let status = try check.run()
        if status == 0 { put("\(config.root): clean\n", STDOUT_FILENO) }
        return status
    }

    private static func put(_ text: String, _ descriptor: CInt) { _ = text.withCString { write(descriptor, $0, strlen($0)) } }
}

/// SIGTERM and SIGINT, taken by the main thread instead of interrupting the others. A second one ends the process at once.
final class StopSignals: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    /// Blocks the signals in the calling thread and all that it will start.
    init() {
        (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        var set = Self.set
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    private static var set: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGINT)
        return set
    }

    /// Waits for signals for as long as the process lives, and gives back memory that nobody uses. On the thread that made this.
    func serve() -> Never {
        var memory = IdleMemory()
        _ = memory.rest(untilOneOf: Self.set)
        continuation.yield()
        _exit(128 + memory.rest(untilOneOf: Self.set))
    }

    func first() async { for await _ in stream { return } }
}
