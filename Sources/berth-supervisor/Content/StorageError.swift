import BerthDefaults

/// Why content, a snapshot, a layer or a transfer could not be had: a code for programs and one line for people.
struct StorageError: Error, Sendable, Equatable, CustomStringConvertible {
    let code: ErrorCode
    let message: String

    init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }

    var description: String { message }
}
