/// What ends a command before its work is done: the text for standard error and the exit status.
///
/// The client has this one error type. `message` is printed as it stands, so it carries Docker's wording where Docker has one; an empty message ends the program
/// silently with `status`, which is how a container's own exit code is passed on.
struct CommandFailure: Error {
    var message: String
    var status: Int32

    init(_ message: String, status: Int32 = 1) {
        self.message = message
        self.status = status
    }

    /// Ends the program with a container's exit code and without a word.
    static func exit(_ status: Int32) -> CommandFailure { CommandFailure("", status: status) }
}

/// A refused value of a flag; the flag parser puts the flag's name around it.
struct InvalidValue: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
}
