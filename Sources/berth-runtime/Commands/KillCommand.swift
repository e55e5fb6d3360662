import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem

/// `kill`: a signal for the init, or with `--all` for everybody in the container's cgroup.
enum KillCommand {
    static var specs: [OptionSpec] { [OptionSpec("all", "a", .flag, "signal every process of the container")] }

    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        guard (1...2).contains(options.arguments.count) else { throw RuntimeError(.invalidArgument, "\"kill\" requires a minimum of 1 argument(s)") }
        let directory = try ContainerDirectory.open(root: global.root, id: options.arguments[0])
        let record = try directory.record()
        let number = try Signals.number(options.arguments.count > 1 ? options.arguments[1] : "SIGTERM")
        let cgroup = record.cgroup
        let status = directory.status(record)
        // Without a pid namespace of its own the container may outlive its init.
        if options.has("all") || (number == SIGKILL && !record.ownPIDNamespace) {
            if status == .stopped, !options.has("all") {
                let left = try withCgroup { () throws(CgroupError) in try cgroup.processes() }
                if left.isEmpty { throw .notRunning }
            }
            try withCgroup { () throws(CgroupError) in try cgroup.signal(number) }
            return 0
        }
        guard status.hasInit, let identity = record.initProcess else { throw .notRunning }
        guard let pidfd = try? Processes.open(identity.pid), identity.isAlive else { throw .notRunning }
        do throws(SystemError) { try Processes.signal(number, to: pidfd, name: record.id) } catch {
            if error.errno == .noSuchProcess { throw .notRunning }
            throw RuntimeError(error, while: "unable to signal init")
        }
        // A frozen process takes the signal when it thaws; version 1 would let even SIGKILL wait for ever.
        if number == SIGKILL && cgroup.isFrozen { try? cgroup.thaw() }
        return 0
    }
}

/// Signals by number or name, with or without "SIG".
enum Signals {
    private static let names: [String: CInt] = [
        "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "IOT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11, "USR2": 12,
        "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CLD": 17, "CONT": 18, "STOP": 19, "TSTP": 20, "TTIN": 21, "TTOU": 22,
        "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "WINCH": 28, "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31,
    ]

    static func number(_ text: String) throws(RuntimeError) -> CInt {
        if let number = CInt(text), (0...64).contains(number) { return number }
        var name = text.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        if let number = names[name] { return number }
        if name == "RTMIN" { return 34 }
        if name == "RTMAX" { return 64 }
        if name.hasPrefix("RTMIN+"), let offset = CInt(name.dropFirst(6)), (0...30).contains(offset) { return 34 + offset }
        if name.hasPrefix("RTMAX-"), let offset = CInt(name.dropFirst(6)), (0...30).contains(offset) { return 64 - offset }
        throw RuntimeError(.invalidArgument, "unknown signal \"\(text)\"")
    }
}
