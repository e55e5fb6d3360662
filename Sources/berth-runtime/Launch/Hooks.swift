import BerthDefaults
import Glibc
import LinuxSystem
import OCISpec

/// Runs OCI hooks: the container's state on standard input, the config's environment and nothing else.
///
/// | hook | by | when |
/// |---|---|---|
/// | prestart, createRuntime | runtime, its namespaces | mounts are made, the root is not changed |
/// | createContainer | init, the container's namespaces | the same; paths are the host's |
/// | startContainer | init, in the container | after `start`, before the program |
/// | poststart | runtime | after the program started; `start` does it for `create` |
/// | poststop | runtime | after the container is deleted; failures are only logged |
///
/// Spec: config.md#posix-platform-hooks.
enum Hooks {
    /// The hooks after the program has started. What a failure means depends on the version of the specification that the config follows: up to 1.2 it is a
    /// warning and the next hook runs, from 1.3 on it is an error, and the container is stopped.
    static func runPoststart(_ hooks: [RuntimeSpec.Hook], _ record: ContainerRecord, _ diagnostics: Diagnostics) throws(RuntimeError) {
        if hooks.isEmpty { return }
        let state = record.state(ContainerStatus.running)
        if !isLenient(record.ociVersion) { return try run(hooks, named: "poststart", state: state) }
        for hook in hooks {
            do throws(RuntimeError) { try run([hook], named: "poststart", state: state) } catch { diagnostics.warn(error.message) }
        }
    }

    /// Whether a version is older than 1.3.0.
    static func isLenient(_ version: String) -> Bool {
        let parts = version.fields(by: "-", limit: 2).first?.fields(by: ".").compactMap { Int($0) } ?? []
        return parts.count >= 2 && (parts[0] < 1 || (parts[0] == 1 && parts[1] < 3))
    }

    /// - Throws: on the first that fails; its standard error is part of the message.
    static func run(_ hooks: [RuntimeSpec.Hook], named name: String, state: RuntimeState) throws(RuntimeError) {
        if hooks.isEmpty { return }
        let input = try ConfigLoader.encode(state)
        for (index, hook) in hooks.enumerated() {
            do throws(RuntimeError) { try run(hook, input: input) } catch { throw error.during("error running \(name) hook #\(index)") }
        }
    }

    private static func run(_ hook: RuntimeSpec.Hook, input: [UInt8]) throws(RuntimeError) {
        let files = try attempt { () throws(SystemError) in HookFiles(input: try Pipes.memoryFile(named: "hook-state", holding: input), output: try Pipes.memoryFile(named: "hook-stderr", holding: [])) }
        let arguments = hook.args.isEmpty ? [hook.path] : hook.args
        let child = try during(hook.path) { () throws(SystemError) in
            try Processes.clone(subject: hook.path) {
                do throws(SystemError) {
                    try Processes.passOn(files.input, as: 0)
                    try Processes.passOn(files.output, as: 2)
                    if let null = try? Files.open("/dev/null", O_WRONLY) { try Processes.passOn(null, as: 1) } else { close(1) }
                    try Processes.closeOnExec(from: 3)
                    _ = Processes.execute(hook.path, arguments: arguments, environment: hook.env)
                } catch {}
                Processes.leave(127)
            }
        }
        try wait(for: child, hook, output: files.output)
    }

    private struct HookFiles: ~Copyable {
        let input: OwnedFD
        let output: OwnedFD
    }

    private static func wait(for child: borrowing ChildProcess, _ hook: RuntimeSpec.Hook, output: borrowing OwnedFD) throws(RuntimeError) {
        if let timeout = hook.timeout {
            let pidfd = child.pidfd.rawValue
            let milliseconds = CInt(clamping: timeout.multipliedReportingOverflow(by: 1000).partialValue)
            if try attempt({ () throws(SystemError) in try Processes.poll([pidfd], timeoutMilliseconds: milliseconds) }).isEmpty {
                try attempt { () throws(SystemError) in
                    try Processes.signal(SIGKILL, to: child.pidfd, name: hook.path)
                    _ = try Processes.wait(for: child.pid)
                }
                throw RuntimeError(.deadlineExceeded, "\(hook.path): hook ran past specified timeout of \(timeout)s")
            }
        }
        let status = try attempt { () throws(SystemError) in try Processes.wait(for: child.pid) }
        if status == .exited(0) { return }
        let said = (try? Files.contents(of: output, name: "hook-stderr")).map { String(decoding: $0.prefix(1000), as: UTF8.self) } ?? ""
        let how = if case .exited(let code) = status { "exit status \(code)" } else { "signal: \(SignalName.text(of: status.code - 128))" }
        throw RuntimeError(.failedPrecondition, "\(hook.path): \(how), stderr: \(said)")
    }
}
