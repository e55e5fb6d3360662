package import LinuxSystem

/// Why a call over D-Bus did not do what it should.
package enum BusError: Error, Sendable, CustomStringConvertible {
    /// The socket failed.
    case system(SystemError)
    /// The other side sent what is not D-Bus, or not the answer.
    case malformed(String)
    /// The other side answered with an error: its name ("org.freedesktop.systemd1.UnitExists") and its words.
    case refused(name: String, message: String)
    /// Something took longer than it may; what, in words.
    case timedOut(String)

    package var description: String {
        switch self {
        case .system(let error): error.description
        case .malformed(let problem): "D-Bus: \(problem)"
        case .refused(let name, let message): message.isEmpty ? name : message
        case .timedOut(let what): what
        }
    }

    /// The name of the other side's error, without what stands before its last dot: "UnitExists".
    package var shortName: String? {
        guard case .refused(let name, _) = self else { return nil }
        return name.fields(by: ".").last.map(String.init)
    }
}
