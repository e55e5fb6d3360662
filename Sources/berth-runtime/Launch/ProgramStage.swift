import BerthDefaults
import Glibc
import LinuxSystem
import OCISpec

/// The last steps of an init or an exec'd process: from root in the container's namespaces to the user's program. Both take them in the same order.
///
/// On entry: inside all namespaces, the container's root is `/`, capabilities are still those of the runtime (in its or the container's user namespace).
/// On leaving: execve, or an error the caller sends to the runtime.
struct ProgramStage {
    let process: ProcessPlan
    let inUserNamespace: Bool
    let seccomp: SeccompFilter?
    let preservedDescriptors: Int
    /// Passes a notification descriptor to the runtime and waits until the listener has it.
    let notify: (CInt) throws(RuntimeError) -> Void

    /// Limits, priorities and the like, which need privileges that go with the user.
    ///
    /// In a user namespace the runtime has set the limits from outside: raising one needs a capability on the host.
    func applyAttributes(
        personality: RuntimeSpec.Linux.Personality?, memoryPolicy: RuntimeSpec.Linux.MemoryPolicy?, cpus: String?, proc: borrowing ProcHandle
    ) throws(RuntimeError) {
        if let scheduler = process.scheduler { try apply(scheduler, cpus: cpus) }
        try during("process attributes") { () throws(SystemError) in
            if let priority = process.ioPriority { try ProcessAttributes.setIOPriority(class: priority.class, level: priority.level) }
            if let personality { try ProcessAttributes.setPersonality(personality.domain == "LINUX32" ? 0x0008 : 0) }
            if !inUserNamespace {
                for limit in process.limits { try ProcessAttributes.setLimit(limit.resource, name: limit.name, soft: limit.soft, hard: limit.hard) }
            }
        }
        if let memoryPolicy { try MemoryPolicy.apply(memoryPolicy) }
        if let profile = process.apparmorProfile { try SecurityLabels.applyAppArmor(profile, proc) }
        if let label = process.selinuxLabel { try SecurityLabels.applySELinux(label, proc) }
        ProcessAttributes.setUmask(process.umask)
    }

    private func apply(_ scheduler: ProcessPlan.Scheduler, cpus: String?) throws(RuntimeError) {
        do throws(SystemError) {
            try ProcessAttributes.setScheduler(
                policy: scheduler.policy, nice: scheduler.nice, priority: scheduler.priority, flags: scheduler.flags, runtime: scheduler.runtime,
                deadline: scheduler.deadline, period: scheduler.period)
        } catch {
            // A deadline is a promise that needs every CPU.
            if error.errno == .notPermitted, let cpus, !cpus.isEmpty {
                throw RuntimeError(.invalidArgument, "process scheduler can't be used together with AllowedCPUs (linux.resources.cpu.cpus is \(cpus))")
            }
            throw RuntimeError(error, while: "process.scheduler")
        }
    }

    /// Working directory, capabilities, user, program and filter; in that order, each needing what the next gives up.
    ///
    /// Once the filter is loaded only write, openat and execve remain: profiles need not allow what the runtime does besides.
    func becomeUser(proc: borrowing ProcHandle) throws(RuntimeError) -> Program {
        let sets = try CapabilityPlan(process.capabilities)
        // A directory only root may enter is entered as root; one on a filesystem that does not trust root, as the user.
        let entered = try enterWorkingDirectory(lenient: true)
        try attempt { () throws(SystemError) in
            try sets.dropBounding()
            try ProcessAttributes.setKeepCapabilities(true)
            try Processes.closeOnExec(from: CInt(3 + preservedDescriptors))
        }
        try giveStandardStreams()
        try changeUser(proc)
        if !entered { _ = try enterWorkingDirectory(lenient: false) }
        try verifyWorkingDirectory()
        let environment = environment()
        let program = Program(path: process.hasProgram ? try findProgram(environment) : "", environment: environment)
        try attempt { () throws(SystemError) in
            try ProcessAttributes.setKeepCapabilities(false)
            try ProcessAttributes.setParentDeathSignal(0)
        }
        try dropPrivileges(sets)
        return program
    }

    /// What will be executed.
    struct Program {
        let path: String
        let environment: [String]
    }

    private func dropPrivileges(_ sets: CapabilityPlan) throws(RuntimeError) {
        if process.noNewPrivileges {
            try attempt { () throws(SystemError) in
                try ProcessAttributes.setNoNewPrivileges()
                try sets.apply()
            }
            if let seccomp { try listen(seccomp) }
        } else {
            // Without no_new_privs a filter needs CAP_SYS_ADMIN, which the change of user took out of the effective set.
            if let seccomp {
                try attempt { () throws(SystemError) in try sets.raiseAll() }
                try listen(seccomp)
            }
            try attempt { () throws(SystemError) in try sets.apply() }
        }
    }

    /// Loads the filter. The descriptor of one that asks a listener goes there through the runtime, which can still reach its socket.
    private func listen(_ seccomp: SeccompFilter) throws(RuntimeError) {
        guard let descriptor = try seccomp.install() else { return }
        try notify(descriptor.rawValue)
    }

    private func enterWorkingDirectory(lenient: Bool) throws(RuntimeError) -> Bool {
        do throws(SystemError) {
            try Files.changeDirectory(process.cwd)
            return true
        } catch {
            if lenient && error.errno == .accessDenied { return false }
            throw RuntimeError(error, while: "chdir to cwd (\"\(process.cwd)\") set in config.json failed")
        }
    }

    /// A working directory that was reached through a leaked descriptor lies outside of the root, and the kernel then names none (CVE-2024-21626).
    private func verifyWorkingDirectory() throws(RuntimeError) {
        let outside = RuntimeError(
            .permissionDenied, "current working directory is outside of container mount namespace root -- possible container breakout detected")
        do throws(SystemError) { if !(try Files.currentDirectory()).isAbsolutePath { throw SystemError(call: "getcwd", subject: "", errno: .noSuchFile) } } catch {
            throw outside
        }
    }

    private func changeUser(_ proc: borrowing ProcHandle) throws(RuntimeError) {
        try during("unable to setup user") { () throws(SystemError) in
            if !inUserNamespace || (try? proc.read("self/setgroups"))?.hasPrefix("deny") != true { try ProcessAttributes.setGroups(process.groups) }
            try ProcessAttributes.setGroup(process.gid)
            try ProcessAttributes.setUser(process.uid)
        }
    }

    /// The user may reopen its own standard streams through /proc/self/fd. Those it has already, and /dev/null, stay as they are.
    private func giveStandardStreams() throws(RuntimeError) {
        for number in CInt(0)...2 { StandardStreams.give(number, to: process.uid) }
    }

    /// The environment with HOME, each name once, the last value counting.
    func environment() -> [String] {
        var result: [String] = []
        result.reserveCapacity(process.environment.count + 1)
        // By comparison while there are few: the first text that is hashed brings half of libswiftCore into memory.
        let few = process.environment.count <= 64
        var places: [Substring: Int] = [:]
        for entry in process.environment {
            let name = entry[..<(entry.utf8.firstIndex(of: UInt8(ascii: "=")) ?? entry.endIndex)]
            let place = few ? result.firstIndex { Self.names($0, name) } : places[name]
            if let place { result[place] = entry } else {
                if !few { places[name] = result.count }
                result.append(entry)
            }
        }
        let place = result.firstIndex { Self.names($0, "HOME") }
        if place.map({ result[$0] == "HOME=" }) ?? true {
            let home = "HOME=\(UserDatabase.home(of: process.uid))"
            if let place { result[place] = home } else { result.append(home) }
        }
        return result
    }

    /// Whether an entry of an environment is of this name.
    private static func names(_ entry: String, _ name: Substring) -> Bool {
        let count = name.utf8.count
        guard entry.utf8.starts(with: name.utf8) else { return false }
        return entry.utf8.count == count || entry.utf8[entry.utf8.index(entry.utf8.startIndex, offsetBy: count)] == UInt8(ascii: "=")
    }

    /// Finds the program as the shell would, with the texts of Go's exec.LookPath, which dockerd tells 126 and 127 apart by.
    func findProgram(_ environment: [String]) throws(RuntimeError) -> String {
        let name = process.arguments[0]
        if name.contains(byte: UInt8(ascii: "/")) {
            if let problem = Self.problem(name) { throw Self.refused(name, problem) }
            return name
        }
        let path = environment.last { $0.hasPrefix("PATH=") }.map { String($0.dropFirst(5)) } ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        for directory in path.fields(by: ":") where directory.isAbsolutePath {
            let candidate = "\(directory)/\(name)"
            if Self.problem(candidate) == nil { return candidate }
        }
        throw RuntimeError(.notFound, "exec: \"\(name)\": executable file not found in $PATH")
    }

    private static func refused(_ name: String, _ problem: (text: String, errno: Errno)) -> RuntimeError {
        RuntimeError(problem.errno == .accessDenied ? .permissionDenied : .notFound, "exec: \"\(name)\": \(problem.text)")
    }

    private static func problem(_ path: String) -> (text: String, errno: Errno)? {
        do throws(SystemError) {
            let status = try Files.status(path)
            if status.isDirectory { return ("is a directory", .isDirectory) }
            if !Files.isExecutable(path) && status.st_mode & 0o111 == 0 { return ("permission denied", .accessDenied) }
            return nil
        } catch { return ("stat \(path): \(error.errno.description.lowercased())", error.errno) }
    }

    /// Becomes the program. Comes back only with an error: "exec /bin/foo: permission denied".
    func execute(_ program: Program) -> RuntimeError {
        if !process.hasProgram { Processes.leave(0) }
        let error = Processes.execute(program.path, arguments: process.arguments, environment: program.environment)
        let code: ErrorCode = error.errno == .accessDenied ? .permissionDenied : error.errno == .noSuchFile ? .notFound : .invalidArgument
        return RuntimeError(code, "exec \(program.path): \(error.errno.description.lowercased())", isProgramFailure: true)
    }
}
