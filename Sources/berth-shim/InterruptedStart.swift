import Glibc
import LinuxSystem

/// What is on its way in a bundle and not wanted any more: a shim's `start` whose supervisor was killed, a runtime's `create` whose shim was, or that is to be
/// given up.
///
/// Nobody has written such a process down, and it would go on: with a shim, or a container, that nothing knows of. So it is looked for, by its working
/// directory, which is the bundle, and its program.
struct InterruptedStart {
    let bundle: String
    /// Device and inode: a program's path may be given away meanwhile, and the runtime runs from a mount of the shim's own.
    private let programs: [(dev_t, ino_t)]
    /// A runtime may be a script: then the program is its interpreter.
    private let paths: [String]

    /// - Parameter programs: paths, or names on PATH.
    init(bundle: String, programs: [String]) {
        self.bundle = bundle
        paths = programs.map { program in
            program.contains("/") ? program : Self.directories.map { "\($0)/\(program)" }.first(where: Files.isExecutable) ?? program
        }
        self.programs = paths.compactMap { path in (try? Files.status(path)).map { ($0.st_dev, $0.st_ino) } }
    }

    private static let directories = (getenv("PATH").map { String(cString: $0) } ?? "").fields(by: ":").map(String.init)

    /// Kills them, and looks again after each round, for one may have made a child meanwhile.
    func end() {
        for _ in 0..<50 {
            let found = ((try? Files.entries(of: "/proc")) ?? []).compactMap { pid_t($0) }.filter(belongs)
            if found.isEmpty { return }
            found.forEach(Self.end)
        }
    }

    private func belongs(_ pid: pid_t) -> Bool {
        guard pid > 1, pid != getpid(), (try? Files.readLink("/proc/\(pid)/cwd")) == bundle, let program = try? Files.status("/proc/\(pid)/exe") else { return false }
        return programs.contains { $0 == (program.st_dev, program.st_ino) } || isScript(pid)
    }

    /// execve(2): the interpreter's arguments are one of its own at most, then the script.
    private func isScript(_ pid: pid_t) -> Bool {
        guard let arguments = try? Files.readText("/proc/\(pid)/cmdline").fields(by: "\0").prefix(3) else { return false }
        return arguments.dropFirst().contains { argument in paths.contains { $0 == argument } }
    }

    /// Kills a process and waits until it is gone, or a zombie of someone else's.
    static func end(_ pid: pid_t) {
        kill(pid, SIGKILL)
        for _ in 0..<200 where Files.exists("/proc/\(pid)/exe") && kill(pid, 0) == 0 { usleep(5000) }
    }
}
