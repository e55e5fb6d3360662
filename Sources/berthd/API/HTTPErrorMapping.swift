import BerthDefaults
import DockerAPI
import LinuxSystem
import NIOHTTP1

/// The only place that knows status codes of errors.
enum HTTPErrorMapping {
    static func status(of code: ErrorCode) -> HTTPResponseStatus {
        switch code {
        case .notFound: .notFound
        case .invalidArgument, .outOfRange: .badRequest
        case .conflict, .alreadyExists, .failedPrecondition: .conflict
        case .notModified: .notModified
        case .unauthenticated: .unauthorized
        case .permissionDenied: .forbidden
        case .unavailable: .serviceUnavailable
        case .unimplemented: .notImplemented
        case .cancelled, .deadlineExceeded, .internalError, .resourceExhausted: .internalServerError
        }
    }

    /// The answer for anything a handler throws.
    static func response(to error: any Error) -> HTTPResponse {
        let failure = daemonError(error)
        if failure.code == .notModified { return .notModified }
        let status = status(of: failure.code)
        // Encoding a string cannot fail.
        return (try? HTTPResponse.json(ErrorResponse(message: failure.message), status: status)) ?? .text(failure.message, status: status)
    }

    static func daemonError(_ error: any Error) -> DaemonError {
        switch error {
        case let error as DaemonError: error
        case let error as CodedError: DaemonError(error.code, error.message)
        case let error as SystemError: DaemonError(.internalError, goWording(error))
        case is CancellationError: DaemonError(.cancelled, "context canceled")
        default: DaemonError(.internalError, String(describing: error))
        }
    }

    /// The kernel's reasons as Go spells them, in lower case: clients look for "no such file or directory".
    private static func goWording(_ error: SystemError) -> String {
        String(error.description.dropLast(error.errno.description.count)) + error.errno.goDescription
    }
}
