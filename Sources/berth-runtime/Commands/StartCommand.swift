import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import OCISpec

/// `start`: opens exec.fifo, at the other end of which the init waits, and hears from it how the program's start went.
enum StartCommand {
    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        var directory = try ContainerDirectory.open(root: global.root, id: try soleArgument(options, "start"), locked: true)
        let record = try directory.record()
        let cgroup = record.cgroup
        switch directory.status(record, isFrozen: { cgroup.isFrozen }) {
        case .created: break
        case .stopped: throw .startStopped
        case .running: throw .startRunning
        case let other: throw RuntimeError(.failedPrecondition, "cannot start a container in the \(other.rawValue) state")
        }
        guard let identity = record.initProcess, let pidfd = try? Processes.open(identity.pid) else { throw .startStopped }
        let notify = try NotifySocket.open(in: directory.path)
        try release(directory.fifoPath, pidfd)
        let later = try directory.later(record)
        if !later.hasProcess { global.diagnostics.warn("start \(record.id): the config has no process; the container has ended") }
        do throws(RuntimeError) { try Hooks.runPoststart(later.poststart, record, global.diagnostics) } catch {
            // The specification has the container stopped, not deleted.
            try? Processes.signal(SIGKILL, to: pidfd, name: record.id)
            throw error
        }
        // Waiting for the program is no reason to keep others from it.
        directory.unlock()
        if let notify { try notify.wait(pid: identity.pid, pidfd: pidfd) }
        return 0
    }

    /// Lets the init go on. A FIFO opened without blocking for reading is what its opening for writing waits for.
    private static func release(_ path: String, _ pidfd: borrowing OwnedFD) throws(RuntimeError) {
        let fifo = try during("exec fifo") { () throws(SystemError) in try Files.open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW) }
        let heard = try listen(fifo, pidfd)
        try attempt { () throws(SystemError) in try Files.remove(path) }
        guard heard.first == UInt8(ascii: "0") else { throw RuntimeError(.internalError, "container init ended without starting the program") }
        if heard.count > 1 {
            throw SyncChannel.failure(String(decoding: heard.dropFirst(), as: UTF8.self)).during("unable to start container process: error during container init")
        }
    }

    /// All that comes through the FIFO until the init's end is closed, by execve or death.
    private static func listen(_ fifo: borrowing OwnedFD, _ pidfd: borrowing OwnedFD) throws(RuntimeError) -> [UInt8] {
        let fds = [fifo.rawValue, pidfd.rawValue]
        var heard: [UInt8] = []
        while true {
            let ready = try attempt { () throws(SystemError) in try Processes.poll(fds) }
            do throws(SystemError) {
                guard let part = try Files.readSome(fifo, name: "exec fifo") else { continue }
                heard += part
                // Nothing to read without a writer: before the init has opened its end that only means that it is not there yet.
                if part.isEmpty && (!heard.isEmpty || ready.contains(1)) { return heard }
            } catch { throw RuntimeError(error) }
        }
    }
}

/// The container's id, where a command takes nothing else.
func soleArgument(_ options: ParsedOptions, _ command: String) throws(RuntimeError) -> String {
    guard options.arguments.count == 1 else { throw RuntimeError(.invalidArgument, "\"\(command)\" requires exactly 1 argument(s)") }
    return options.arguments[0]
}
