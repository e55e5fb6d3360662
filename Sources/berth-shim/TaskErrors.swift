import LinuxSystem
import TaskAPI

// The texts that containerd's callers look for (docs/errors.md). containerd appends the class of an error to its message, and takes it off again.

extension TTRPCStatus {
    static func notFound(_ text: String) -> TTRPCStatus { TTRPCStatus(.notFound, "\(text): not found") }
    static func alreadyExists(_ text: String) -> TTRPCStatus { TTRPCStatus(.alreadyExists, "\(text): already exists") }
    static func failedPrecondition(_ text: String) -> TTRPCStatus { TTRPCStatus(.failedPrecondition, "\(text): failed precondition") }
    static func invalidArgument(_ text: String) -> TTRPCStatus { TTRPCStatus(.invalidArgument, "\(text): invalid argument") }
    static func unimplemented(_ text: String) -> TTRPCStatus { TTRPCStatus(.unimplemented, "\(text): not implemented") }
    static func unknown(_ text: String) -> TTRPCStatus { TTRPCStatus(.unknown, text) }

    static let notCreated = notFound("container not created")
    static let alreadyFinished = notFound("process already finished")

    /// What a runtime says when it could not deliver a signal.
    static func killFailure(_ message: String) -> TTRPCStatus {
        let lower = message.lowercased()
        if lower.contains(text: "process already finished") || lower.contains(text: "container not running") || lower.contains(text: "no such process") { return alreadyFinished }
        if lower.contains(text: "does not exist") { return notFound("no such container") }
        return unknown("unknown error after kill: \(message)")
    }
}
