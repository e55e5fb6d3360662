package import BerthDefaults

/// How a call ended when it did not succeed: the error of every call and what a handler throws to answer with one.
///
/// Spec: gRPC, statuscodes.md and "PROTOCOL-HTTP2.md", section Responses.
package struct GRPCStatus: Error, Sendable, Equatable, CustomStringConvertible {
    /// gRPC's codes with their numbers.
    package enum Code: Int, Sendable, CaseIterable {
        case ok = 0, cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied, resourceExhausted
        case failedPrecondition, aborted, outOfRange, unimplemented, internalError, unavailable, dataLoss, unauthenticated
    }

    package let code: Code
    /// One line a user can act on, as the peer wrote it.
    package let message: String
    /// A serialized `google.rpc.Status` (`grpc-status-details-bin`), empty when there is none.
    package let details: [UInt8]

    package init(_ code: Code, _ message: String, details: [UInt8] = []) {
        self.code = code
        self.message = message
        self.details = details
    }

    /// The status that stands for one of our own codes.
    package init(_ code: ErrorCode, _ message: String) {
        self.init(Code(code), message)
    }

    /// Our own code for this status. `ok` and `unknown` come out as an internal error.
    package var errorCode: ErrorCode { ErrorCode(code) }

    package var description: String { "\(code): \(message)" }
}

extension GRPCStatus.Code {
    /// containerd has no gRPC code of its own for a conflict or for "not modified"; it sends them as a failed precondition.
    package init(_ code: ErrorCode) {
        self =
            switch code {
            case .notFound: .notFound
            case .alreadyExists: .alreadyExists
            case .invalidArgument: .invalidArgument
            case .failedPrecondition, .conflict, .notModified: .failedPrecondition
            case .permissionDenied: .permissionDenied
            case .unauthenticated: .unauthenticated
            case .unavailable: .unavailable
            case .unimplemented: .unimplemented
            case .cancelled: .cancelled
            case .deadlineExceeded: .deadlineExceeded
            case .internalError: .internalError
            case .resourceExhausted: .resourceExhausted
            case .outOfRange: .outOfRange
            }
    }
}

extension ErrorCode {
    package init(_ code: GRPCStatus.Code) {
        self =
            switch code {
            case .notFound: .notFound
            case .alreadyExists: .alreadyExists
            case .invalidArgument: .invalidArgument
            case .failedPrecondition: .failedPrecondition
            case .aborted: .conflict
            case .permissionDenied: .permissionDenied
            case .unauthenticated: .unauthenticated
            case .unavailable: .unavailable
            case .unimplemented: .unimplemented
            case .cancelled: .cancelled
            case .deadlineExceeded: .deadlineExceeded
            case .resourceExhausted: .resourceExhausted
            case .outOfRange: .outOfRange
            case .ok, .unknown, .internalError, .dataLoss: .internalError
            }
    }
}
