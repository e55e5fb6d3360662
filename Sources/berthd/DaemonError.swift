import BerthDefaults

/// Why a request failed: a code that `HTTPErrorMapping` turns into a status, and the text a client prints, in Docker's words where Docker has them.
struct DaemonError: Error, Sendable, CustomStringConvertible {
    let code: ErrorCode
    let message: String

    init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }

    var description: String { message }

    static func notFound(_ message: String) -> DaemonError { DaemonError(.notFound, message) }
    static func invalid(_ message: String) -> DaemonError { DaemonError(.invalidArgument, message) }
    static func conflict(_ message: String) -> DaemonError { DaemonError(.conflict, message) }
    static func internalError(_ message: String) -> DaemonError { DaemonError(.internalError, message) }
    /// What exists in the API but not yet in Berth. Never answer a request half: say what is missing.
    static func unimplemented(_ what: String) -> DaemonError { DaemonError(.unimplemented, "\(what) is not implemented yet by Berth") }
}
