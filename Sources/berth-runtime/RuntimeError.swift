import BerthDefaults
import LinuxSystem

/// Why a command failed.
///
/// Some of the sentences are an interface that containerd, dockerd, podman and conmon match on; they are the static members here and are listed, each
/// with who reads it, in docs/errors.md. Our own code switches on `code`.
struct RuntimeError: Error, CustomStringConvertible {
    let code: ErrorCode
    let message: String
    /// The program of `run` could not be executed, when all of the container was done: the message is the program's only output.
    let isProgramFailure: Bool

    init(_ code: ErrorCode, _ message: String, isProgramFailure: Bool = false) {
        self.code = code
        self.message = message
        self.isProgramFailure = isProgramFailure
    }

    /// A failed system call, with what it was part of: "mount proc on /proc: Operation not permitted".
    init(_ error: SystemError, while doing: String? = nil) {
        code =
            switch error.errno {
            case .noSuchFile, .noSuchProcess: .notFound
            case .fileExists: .alreadyExists
            case .notPermitted, .accessDenied: .permissionDenied
            case .invalid: .invalidArgument
            case .noSystemCall, .notSupported: .unimplemented
            case .noSpace: .resourceExhausted
            default: .internalError
            }
        message = doing.map { "\($0): \(error)" } ?? error.description
        isProgramFailure = false
    }

    var description: String { message }

    /// The same failure seen from further out.
    func during(_ doing: String) -> RuntimeError { RuntimeError(code, "\(doing): \(message)") }

    static let doesNotExist = RuntimeError(.notFound, "container does not exist")
    static let alreadyExists = RuntimeError(.alreadyExists, "container with given ID already exists")
    static let invalidID = RuntimeError(.invalidArgument, "invalid container ID format")
    static let emptyID = RuntimeError(.invalidArgument, "container id cannot be empty")
    static let notRunning = RuntimeError(.failedPrecondition, "container not running")
    static let notPaused = RuntimeError(.failedPrecondition, "container not paused")
    static let paused = RuntimeError(.failedPrecondition, "container paused")
    static let stillRunning = RuntimeError(.failedPrecondition, "container init still running")
    static let processFinished = RuntimeError(.notFound, "process already finished")
    static let startStopped = RuntimeError(.failedPrecondition, "cannot start a container that has stopped")
    static let startRunning = RuntimeError(.failedPrecondition, "cannot start an already running container")
    static let execStopped = RuntimeError(.failedPrecondition, "cannot exec in a stopped container")
    static let execPaused = RuntimeError(.failedPrecondition, "cannot exec in a paused container (use --ignore-paused to override)")
    static let terminalWithoutConsole = RuntimeError(
        .invalidArgument, "cannot allocate tty if the runtime will detach without setting console socket")
    static let consoleWithoutTerminal = RuntimeError(
        .invalidArgument, "cannot use console socket if the runtime will not detach or allocate tty")

    static func notStopped(_ id: String, _ status: String) -> RuntimeError {
        RuntimeError(.failedPrecondition, "cannot delete container \(id) that is not stopped: \(status)")
    }
}

/// Runs `body` and says what it was part of when a system call in it fails.
func during<Result: ~Copyable>(_ doing: @autoclosure () -> String, _ body: () throws(SystemError) -> Result) throws(RuntimeError) -> Result {
    do throws(SystemError) { return try body() } catch { throw RuntimeError(error, while: doing()) }
}

/// Runs `body` with its system errors as runtime errors that need no further words.
func attempt<Result: ~Copyable>(_ body: () throws(SystemError) -> Result) throws(RuntimeError) -> Result {
    do throws(SystemError) { return try body() } catch { throw RuntimeError(error) }
}
