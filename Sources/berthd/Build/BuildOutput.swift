import DockerAPI

/// What a build tells its client: lines of JSON as Docker's classic builder writes them.
struct BuildOutput: Sendable {
    /// Takes one message, and returns when the client has room for the next.
    let emit: ImageService.Emit

    func write(_ text: String) async throws { try await emit(.stream(text)) }

    /// Standard error of a step, which clients show in red.
    func writeError(_ text: String) async throws { try await emit(.stream("\u{1B}[91m\(text)\u{1B}[0m")) }

    /// The ID of a stage's image.
    func writeID(_ id: String) async throws {
        var message = ProgressMessage()
        var auxiliary = ProgressMessage.Auxiliary()
        auxiliary.ID = id
        message.aux = auxiliary
        try await emit(message)
    }

    /// The last line of a build that failed.
    static func failure(_ error: any Error) -> ProgressMessage {
        var message = ProgressMessage.failure(error)
        if let failure = error as? StepFailure { message.errorDetail?.code = failure.exitCode }
        return message
    }
}

/// A command of RUN that ended with something else than 0.
struct StepFailure: Error, CustomStringConvertible {
    let exitCode: Int
    let command: [String]

    var description: String { "The command '\(command.joined(separator: " "))' returned a non-zero code: \(exitCode)" }
}

extension String {
    /// The twelve digits that stand for an ID.
    var shortID: String { String((hasPrefix("sha256:") ? dropFirst(7) : self[...]).prefix(12)) }
}
