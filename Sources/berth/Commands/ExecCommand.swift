import Glibc

/// `exec`: another program in a running container.
enum ExecCommand {
    static let command = Command(
        name: "exec", synopsis: "[OPTIONS] CONTAINER COMMAND [ARG...]", summary: "Execute a command in a running container", arguments: .atLeast(2),
        flags: [
            .bool("detach", "d", "Detached mode: run command in the background"),
            .string("detach-keys", "Override the key sequence for detaching a container"),
            .list("env", "e", "Set environment variables", check: ValueChecks.environment), .list("env-file", "Read in a file of environment variables"),
            .bool("interactive", "i", "Keep STDIN open even if not attached"), .bool("privileged", "Give extended privileges to the command"),
            .bool("tty", "t", "Allocate a pseudo-TTY"), .string("user", "u", "Username or UID (format: \"<name|uid>[:<group|gid>]\")"),
            .string("workdir", "w", "Working directory inside the container"),
        ], interspersed: false, aliases: ["container exec", "exec"], run: run)

    private static func run(_ call: Invocation) throws {
        let engine = try call.engine
        let environment = try KeyValueFile.environment(files: call.list("env-file"), flags: call.list("env"))
        let detached = call.bool("detach")
        let isTTY = call.bool("tty")
        let takesInput = !detached && call.bool("interactive")
        let keys = call.client.detachKeys(call.string("detach-keys"))
        if !detached { try RunCommands.checkTTY(attachesInput: takesInput, isTTY: isTTY) }
        let size = LocalTerminal(descriptor: 1).size
        let consoleSize: JSONValue = isTTY ? [.int(size.height), .int(size.width)] : .null
        let name = percentEncoded(call.arguments[0])
        let reply = try engine.json(
            "POST", "/containers/\(name)/exec",
            body: .json([
                "User": .string(call.string("user")), "Privileged": .bool(call.bool("privileged")), "Tty": .bool(isTTY), "ConsoleSize": consoleSize,
                "AttachStdin": .bool(takesInput), "AttachStderr": .bool(!detached), "AttachStdout": .bool(!detached), "DetachKeys": .string(keys),
                "Env": environment.isEmpty ? .null : .strings(environment), "WorkingDir": .string(call.string("workdir")),
                "Cmd": .strings(Array(call.arguments.dropFirst())),
            ]))
        let id = reply.string("Id")
        guard !id.isEmpty else { throw CommandFailure("exec ID empty") }
        if detached {
            try engine.call("POST", "/exec/\(id)/start", body: .json(["Detach": true, "Tty": .bool(isTTY), "ConsoleSize": consoleSize]))
            return
        }
        let signals = try SignalQueue(isTTY ? [SIGWINCH, SIGTERM, SIGHUP] : [SIGWINCH])
        let response = try engine.open(
            "POST", "/exec/\(id)/start", body: .json(["Detach": false, "Tty": .bool(isTTY), "ConsoleSize": consoleSize]), upgrade: true)
        let session = StreamSession(client: call.client, stream: response.connection, isTTY: isTTY, takesInput: takesInput)
        session.signals = signals
        session.escape = try DetachSequence(keys)
        session.onSignal = { [unowned session] signal in
            if signal == SIGWINCH {
                if isTTY { Attachment.resize(engine, "/exec/\(id)/resize") }
            } else {
                // Nobody forwards signals to an exec: the client ends, but not with the terminal in raw mode
                session.leaveRawMode()
                exit(128 + signal)
            }
        }
        if isTTY, LocalTerminal(descriptor: 0).exists { Attachment.resize(engine, "/exec/\(id)/resize") }
        session.enterRawMode()
        if try session.run() == .detached { throw CommandFailure("read escape sequence") }
        let status = try engine.json("GET", "/exec/\(id)/json").int("ExitCode")
        if status != 0 { throw CommandFailure.exit(Int32(truncatingIfNeeded: status)) }
    }
}
