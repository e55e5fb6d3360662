import BerthDefaults
import Glibc
import LinuxSystem
import OCISpec

/// `run`: create and start in one, without the stop at exec.fifo. In the foreground it stays until the container ends and removes it.
enum RunCommand {
    static var specs: [OptionSpec] {
        CreateCommand.specs + [
            OptionSpec("detach", "d", .flag, "return when the program runs"),
            OptionSpec("keep", nil, .flag, "leave the stopped container"),
            OptionSpec("no-subreaper", nil, .flag, "do not become the parent of orphans"),
        ]
    }

    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        let request = try ContainerRequest(options, global, command: "run")
        if !request.plan.process.hasProgram { throw RuntimeError(.invalidArgument, "process property must not be empty") }
        let detached = options.has("detach")
        let callersConsole = try request.connectConsole(detached: detached)
        if detached { return try runDetached(request, console: callersConsole) }
        if !options.has("no-subreaper") { try attempt { () throws(SystemError) in try ProcessAttributes.becomeSubreaper() } }
        let foreground = try Foreground()
        let pair: SocketPair? = request.plan.process.terminal ? try attempt { () throws(SystemError) in try DescriptorPassing.pair() } : nil
        var built = try request.build(waitsForStart: false, console: pair?.childDescriptor, isForeground: true)
        try request.announce(&built)
        let code: CInt
        do throws(RuntimeError) {
            try Hooks.runPoststart(request.plan.hooks.poststart, built.record, request.global.diagnostics)
            let relay: TerminalRelay? = if let pair { try TerminalRelay(from: pair.takeParent()) } else { nil }
            code = try foreground.wait(for: built.child, terminal: relay, notify: built.notify)
        } catch {
            try? DeleteCommand.destroy(id: request.id, root: global.root, record: built.record, diagnostics: global.diagnostics)
            throw error
        }
        if !options.has("keep") { try DeleteCommand.destroy(id: request.id, root: global.root, record: built.record, diagnostics: global.diagnostics) }
        return code
    }

    private static func runDetached(_ request: ContainerRequest, console: CInt?) throws(RuntimeError) -> CInt {
        var built = try request.build(waitsForStart: false, console: console)
        try request.announce(&built)
        do throws(RuntimeError) {
            try Hooks.runPoststart(request.plan.hooks.poststart, built.record, request.global.diagnostics)
        } catch {
            try? DeleteCommand.destroy(id: request.id, root: request.global.root, record: built.record, diagnostics: request.global.diagnostics)
            throw error
        }
        if let notify = built.notify { try notify.wait(pid: built.child.pid, pidfd: built.child.pidfd) }
        return 0
    }
}
