import BerthDefaults
import Glibc
import LinuxSystem
import OCISpec

/// Passes a container's readiness on to the service manager of its caller: sd_notify(3) through the border of the container.
///
/// The container gets a socket of its own, in a directory mounted where the caller's socket would be, and NOTIFY_SOCKET with its path. `start`, or `run`,
/// listens there until the program has said READY=1 or has ended, and tells the caller's socket that and the program's pid, nothing else: what a container
/// writes is no command to the host's service manager.
final class NotifySocket {
    private static let variable = "NOTIFY_SOCKET"
    private let socket: OwnedFD
    private let target: String

    /// The caller's socket; a path or, with "@", an abstract name.
    static var callers: String? {
        guard let text = variable.withCString({ getenv($0) }).map({ String(terminated: $0) }), text.isAbsolutePath || text.hasPrefix("@"), text.utf8.count > 1 else { return nil }
        return text
    }

    private static func directory(in container: String) -> String { "\(container)/notify" }

    // MARK: create

    /// Adds the mount and the variable to a plan, where there is a caller's socket and a mount namespace to show it in.
    static func prepare(_ plan: inout LaunchPlan, container: String) {
        guard let callers, plan.namespaces.separates(.mount), plan.process.hasProgram else { return }
        let place = callers.isAbsolutePath ? RootedPath.cleaned(callers) : "/run/notify"
        plan.mounts.append(
            PlannedMount(
                destination: place, source: .bind(path: directory(in: container), recursive: false),
                options: MountOptions(["bind", "nosuid", "nodev", "noexec", "rprivate"]), uidMappings: [], gidMappings: []))
        plan.process.environment.append("\(variable)=\(place)/notify")
        plan.hasNotifySocket = true
    }

    /// The directory, before the init mounts it. Open to the container's users, whoever they are; the way to it is not.
    static func makeDirectory(in container: String) throws(RuntimeError) {
        try attempt { () throws(SystemError) in try Files.makeDirectory(directory(in: container), mode: 0o755) }
    }

    static func removeDirectory(in container: String) {
        try? Files.removeFlatDirectory(directory(in: container))
    }

    // MARK: start

    /// Nil when the caller or the container has no such socket.
    static func open(in container: String) throws(RuntimeError) -> NotifySocket? {
        let path = directory(in: container)
        guard let callers, Files.exists(path) else { return nil }
        let socket = try during("notify socket") { () throws(SystemError) in
            try Files.remove("\(path)/notify")
            // The state's directory may lie too deep for an address.
            let handle = try Files.open(path, O_PATH | O_DIRECTORY)
            return try UnixDatagram.bind(at: "/proc/self/fd/\(handle.rawValue)/notify")
        }
        return NotifySocket(socket: socket, target: callers)
    }

    private init(socket: consuming OwnedFD, target: String) {
        self.socket = socket
        self.target = target
    }

    var descriptor: CInt { socket.rawValue }

    /// Reads what has come; true when the program is ready and the caller has been told.
    func relay(pid: pid_t) -> Bool {
        while let message = UnixDatagram.receive(socket) {
            guard message.split(separator: UInt8(ascii: "\n")).contains(where: { $0.elementsEqual("READY=1".utf8) }) else { continue }
            try? UnixDatagram.send(Array("READY=1".utf8), to: target)
            try? UnixDatagram.send(Array("MAINPID=\(pid)".utf8), to: target)
            return true
        }
        return false
    }

    /// Until the program is ready or has ended.
    func wait(pid: pid_t, pidfd: borrowing OwnedFD) throws(RuntimeError) {
        let descriptors = [socket.rawValue, pidfd.rawValue]
        while true {
            let ready = try attempt { () throws(SystemError) in try Processes.poll(descriptors) }
            if relay(pid: pid) || ready.contains(1) { return }
        }
    }
}
