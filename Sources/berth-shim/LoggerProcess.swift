import Glibc
import LinuxSystem

/// A logger program, by containerd's protocol for `binary://`: descriptor 3 is the container's standard output, 4 its standard error, 5 a pipe that
/// the program closes (or, in its strict form, writes a byte to) when it is ready; CONTAINER_ID and CONTAINER_NAMESPACE say whose output it is.
final class LoggerProcess {
    /// Milliseconds until a logger that is not ready has failed.
    private static let readyTime: UInt64 = 10_000
    /// And until one that does not end after its input has ended is told to, and is killed.
    private static let graceTime: UInt64 = 1000, killTime: UInt64 = 11_000

    struct Failure: Error { let message: String }

    private let loop: EventLoop
    private var pid: pid_t = 0
    private var readyPipe: CInt = -1
    private var timers: [Int] = []

    /// The ends that the container, or a pump, writes to.
    private(set) var stdout: OwnedFD?
    private(set) var stderr: OwnedFD?

    init(loop: EventLoop) { self.loop = loop }

    /// Starts the program and calls `completion` when it is ready or has failed.
    func start(
        program: String, arguments: [String], strict: Bool, id: String, namespace: String, reaper: ChildReaper,
        completion: @escaping (Result<Void, Failure>) -> Void
    ) {
        do throws(SystemError) {
            let out = try Pipes.make()
            stdout = OwnedFD(adopting: out.writing)
            let outEnd = OwnedFD(adopting: out.reading)
            let err = try Pipes.make()
            stderr = OwnedFD(adopting: err.writing)
            let errEnd = OwnedFD(adopting: err.reading)
            let ready = try Pipes.make()
            readyPipe = ready.reading
            let readyEnd = OwnedFD(adopting: ready.writing)

            var request = SpawnRequest(program, arguments)
            request.environment = LoggerProcess.environment + ["CONTAINER_ID=\(id)", "CONTAINER_NAMESPACE=\(namespace)"]
            request.descriptors = [(3, outEnd.rawValue), (4, errEnd.rawValue), (5, readyEnd.rawValue)]
            pid = try request.start()
            reaper.expect(pid) { [self] _ in ended() }
            try loop.watch(readyPipe, .read) { [self] _ in
                var byte: UInt8 = 0
                let count = read(readyPipe, &byte, 1)
                becameReady(count <= 0 && strict ? .failure(Failure(message: "logging binary did not call ready (it may have crashed)")) : .success(()), completion)
            }
            let timer = loop.after(milliseconds: LoggerProcess.readyTime) { [self] in
                becameReady(.failure(Failure(message: "logging binary \(program) is not ready after \(LoggerProcess.readyTime / 1000) s")), completion)
            }
            timers.append(timer)
        } catch {
            closeReadyPipe()
            completion(.failure(Failure(message: "failed to start binary process: \(error)")))
        }
    }

    /// The shim's own environment is the supervisor's: what concerns the connection to it is nobody else's business.
    private static var environment: [String] {
        ProgramArguments.environment.filter { !$0.hasPrefix("TTRPC_ADDRESS=") && !$0.hasPrefix("GRPC_ADDRESS=") }
    }

    private func becameReady(_ result: Result<Void, Failure>, _ completion: (Result<Void, Failure>) -> Void) {
        guard readyPipe >= 0 else { return }
        closeReadyPipe()
        cancelTimers()
        if case .failure = result { close() }
        completion(result)
    }

    private func closeReadyPipe() {
        guard readyPipe >= 0 else { return }
        loop.unwatch(readyPipe)
        _ = Glibc.close(readyPipe)
        readyPipe = -1
    }

    private func cancelTimers() {
        for timer in timers { loop.cancel(timer) }
        timers = []
    }

    private func ended() {
        pid = 0
        cancelTimers()
    }

    /// Ends the program's input and sees to it that it ends too.
    func close() {
        stdout = nil
        stderr = nil
        guard pid > 0, timers.isEmpty else { return }
        timers.append(loop.after(milliseconds: LoggerProcess.graceTime) { [self] in signal(SIGTERM) })
        timers.append(loop.after(milliseconds: LoggerProcess.killTime) { [self] in signal(SIGKILL) })
    }

    /// The shim is about to end.
    func terminate() { signal(SIGTERM) }

    private func signal(_ number: CInt) { if pid > 0 { kill(pid, number) } }
}
