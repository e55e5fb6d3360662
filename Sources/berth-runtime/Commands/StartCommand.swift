import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import OCISpec

/// `start`: opens exec.fifo, at the other end of which the init waits, and hears from it how the program's start went.
enum StartCommand {
    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        let directory = try ContainerDirectory.open(root: global.root, id: try soleArgument(options, "start"), locked: true)
        let record = try directory.record()
        let cgroup = record.cgroup
        switch directory.status(record, isFrozen: { cgroup.isFrozen }) {
        case .created: break
        case .stopped: throw .startStopped
        case .running: throw .startRunning
        case let other: throw RuntimeError(.failedPrecondition, "cannot start a container in the \(other.rawValue) state")
        }
        guard let identity = record.initProcess, let pidfd = try? Processes.open(identity.pid) else { throw .startStopped }
        try release(directory.fifoPath, pidfd)
        let spec = try directory.spec()
        if let hooks = spec.hooks { try Hooks.run(hooks.poststart, named: "poststart", state: record.state(ContainerStatus.running)) }
        return 0
    }

    /// Lets the init go on. A FIFO opened without blocking for reading is what its opening for writing waits for.
    private static func release(_ path: String, _ pidfd: borrowing OwnedFD) throws(RuntimeError) {
        let fifo = try during("exec fifo") { () throws(SystemError) in try Files.open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW) }
        let fds = [fifo.rawValue, pidfd.rawValue]
        var heard: [UInt8] = []
        while true {
            let ready = try attempt { () throws(SystemError) in try Processes.poll(fds) }
            guard ready.contains(0) else {
                throw RuntimeError(.failedPrecondition, "container init ended before it could be started")
            }
            do throws(SystemError) {
                let part = try Files.readAll(fifo, name: "exec fifo")
                heard += part
                if part.isEmpty || !heard.isEmpty && ready.contains(1) { break }
            } catch {
                if error.errno != .again { throw RuntimeError(error) }
            }
        }
        try attempt { () throws(SystemError) in try Files.remove(path) }
        guard heard.first == UInt8(ascii: "0") else { throw RuntimeError(.internalError, "container init ended without starting the program") }
        if heard.count > 1 {
            throw SyncChannel.failure(String(decoding: heard.dropFirst(), as: UTF8.self)).during("unable to start container process: error during container init")
        }
    }
}

/// The container's id, where a command takes nothing else.
func soleArgument(_ options: ParsedOptions, _ command: String) throws(RuntimeError) -> String {
    guard options.arguments.count == 1 else { throw RuntimeError(.invalidArgument, "\"\(command)\" requires exactly 1 argument(s)") }
    return options.arguments[0]
}
