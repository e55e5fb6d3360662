import BerthDefaults
import GRDB
import GRPCSocket
import LinuxSystem
import OCILayer

/// The only place that knows gRPC codes: what the supervisor's errors are to a client.
enum GRPCErrorMapping {
    static func status(of error: any Error) -> GRPCStatus {
        switch error {
        case let error as GRPCStatus: error
        case let error as SupervisorError: GRPCStatus(error.code, error.message)
        case let error as SystemError: GRPCStatus(code(of: error.errno), "\(error)")
        // What an archive is, its sender is to blame for.
        case let error as TarError: GRPCStatus(.invalidArgument, "\(error)")
        case let error as DatabaseError:
            // The same words as for a file that does not fit.
            GRPCStatus(
                error.resultCode == .SQLITE_FULL || error.resultCode == .SQLITE_IOERR ? .resourceExhausted : .internalError,
                "metadata database: \(error.resultCode == .SQLITE_FULL ? "no space left on device" : error.message ?? "code \(error.resultCode.rawValue)")")
        default: GRPCStatus(.unknown, "\(error)")
        }
    }

    private static func code(of errno: Errno) -> GRPCStatus.Code {
        switch errno {
        case .noSuchFile, .noSuchProcess: .notFound
        case .fileExists: .alreadyExists
        case .noSpace: .resourceExhausted
        case .accessDenied, .notPermitted: .permissionDenied
        default: .unknown
        }
    }
}

/// A gRPC service of ours: puts its methods into the server's table.
protocol GRPCService: Sendable {
    func register(in handlers: inout GRPCHandlers)
}
