import LinuxSystem

/// systemd's manager, the machine's or a user's: units that live as long as their processes.
///
/// Spec: org.freedesktop.systemd1(5).
package final class SystemdManager {
    private let connection: BusConnection
    private var isListening = false

    private static let destination = "org.freedesktop.systemd1"
    private static let path = "/org/freedesktop/systemd1"
    private static let interface = "org.freedesktop.systemd1.Manager"

    /// One property of a unit.
    package struct Property: Sendable, Equatable {
        package let name: String
        package let value: BusValue

        package init(_ name: String, _ value: BusValue) { (self.name, self.value) = (name, value) }
    }

    /// Where to find it: sockets in the order they are tried, of a bus or of the manager itself.
    package struct Address: Sendable, Equatable {
        package let path: String
        package let isBus: Bool

        package init(path: String, isBus: Bool) { (self.path, self.isBus) = (path, isBus) }
    }

    /// Connects to the first address where somebody listens.
    package init(_ addresses: [Address]) throws(BusError) {
        var failure = BusError.malformed("no address of a bus is known")
        for address in addresses {
            do throws(BusError) {
                connection = try BusConnection(path: address.path, isBus: address.isBus)
                return
            } catch {
                guard case .system(let problem) = error, problem.errno == .noSuchFile || problem.errno == .connectionRefused else { throw error }
                failure = error
            }
        }
        throw failure
    }

    private func call(_ member: String, _ body: [BusValue]) throws(BusError) -> [BusValue] {
        try connection.call(Self.destination, path: Self.path, interface: Self.interface, member: member, body)
    }

    /// A property of the manager: "Version", "ControlGroup".
    package func property(_ name: String) throws(BusError) -> String {
        let answer = try connection.call(
            Self.destination, path: Self.path, interface: "org.freedesktop.DBus.Properties", member: "Get", [.string(Self.interface), .string(name)])
        guard let text = answer.first?.text else { throw .malformed("systemd's \(name) is no text") }
        return text
    }

    /// The first number in systemd's version, which is written as "252.39-1", "v245-1" or "252 (252.4)"; 0 where there is none.
    package static func version(of text: String) -> Int {
        let digits = text.drop { !$0.isDigit }.prefix { $0.isDigit }
        return Int(digits) ?? 0
    }

    /// Makes a unit and waits until it is active.
    ///
    /// One of that name that has failed and was left is removed first.
    package func startTransientUnit(_ name: String, _ properties: [Property]) throws(BusError) {
        try listenForJobs()
        let body: [BusValue] = [.string(name), .string("replace"), Self.list(properties), .array(of: "(sa(sv))", [])]
        let job: [BusValue]
        do throws(BusError) { job = try call("StartTransientUnit", body) } catch {
            guard error.shortName == "UnitExists" else { throw error }
            try? resetFailed(name)
            job = try call("StartTransientUnit", body)
        }
        do throws(BusError) {
            let result = try wait(for: job, "systemd to create \(name)")
            if result != "done" { throw .malformed("error creating systemd unit `\(name)`: got `\(result)`") }
        } catch {
            try? resetFailed(name)
            throw error
        }
    }

    /// Stops a unit and waits until it has ended. One that does not exist has.
    package func stopUnit(_ name: String) throws(BusError) {
        try listenForJobs()
        do throws(BusError) { _ = try wait(for: try call("StopUnit", [.string(name), .string("replace")]), "systemd to remove \(name)") } catch {
            if error.shortName != "NoSuchUnit" { throw error }
        }
        try? resetFailed(name)
    }

    /// Changes a unit until the next start of the machine.
    package func setProperties(of name: String, _ properties: [Property]) throws(BusError) {
        _ = try call("SetUnitProperties", [.string(name), .boolean(true), Self.list(properties)])
    }

    /// Moves processes into a unit, with rights that the caller may not have.
    package func attach(_ pids: [Int32], to name: String) throws(BusError) {
        _ = try call("AttachProcessesToUnit", [.string(name), .string(""), .array(of: "u", pids.map { .uint32(UInt32(bitPattern: $0)) })])
    }

    package func resetFailed(_ name: String) throws(BusError) { _ = try call("ResetFailedUnit", [.string(name)]) }

    private static func list(_ properties: [Property]) -> BusValue {
        .array(of: "(sv)", properties.map { .structure([.string($0.name), .variant($0.value)]) })
    }

    // MARK: Jobs

    /// systemd tells of the end of jobs only who asked before.
    private func listenForJobs() throws(BusError) {
        if isListening { return }
        try connection.listen(interface: Self.interface, member: "JobRemoved")
        _ = try call("Subscribe", [])
        isListening = true
    }

    /// How a job ended: "done", "failed", "canceled" …
    private func wait(for answer: [BusValue], _ what: String) throws(BusError) -> String {
        guard let job = answer.first?.text else { throw .malformed("systemd names no job") }
        let signal = try connection.signal("JobRemoved", for: what) { $0.count == 4 && $0[1].text == job }
        return signal[3].text ?? ""
    }
}
