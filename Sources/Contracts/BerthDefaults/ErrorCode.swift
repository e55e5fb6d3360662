/// The one list of error codes from the runtime to the client, by containerd's names (errdefs).
///
/// `GRPCErrorMapping` and `HTTPErrorMapping` are its only two translations. Our own code switches on the code, never on the text.
package enum ErrorCode: String, Sendable, Codable, CaseIterable {
    case notFound, alreadyExists, invalidArgument, failedPrecondition, conflict, notModified, permissionDenied, unauthenticated
    case unavailable, unimplemented, cancelled, deadlineExceeded, internalError, resourceExhausted, outOfRange
}
