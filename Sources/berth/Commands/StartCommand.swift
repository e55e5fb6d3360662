import Glibc

/// `start`, alone or attached.
enum StartCommand {
    static let command = Command(
        name: "start", synopsis: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Start one or more stopped containers", arguments: .atLeast(1),
        flags: [
            .bool("attach", "a", "Attach STDOUT/STDERR and forward signals"),
            .string("detach-keys", "Override the key sequence for detaching a container"), .bool("interactive", "i", "Attach container's STDIN"),
            Flag.string("checkpoint", "Restore from this checkpoint").hidden(),
            Flag.string("checkpoint-dir", "Use a custom checkpoint storage directory").hidden(),
        ], aliases: ["container start", "start"], run: run)

    private static func run(_ call: Invocation) throws {
        if call.bool("attach") || call.bool("interactive") {
            if call.arguments.count > 1 { throw CommandFailure("you cannot start and attach multiple containers at once") }
            try startAttached(call)
            return
        }
        let engine = try call.engine
        var query: [(String, String)] = []
        if call.changed("checkpoint") { query.append(("checkpoint", call.string("checkpoint"))) }
        if call.changed("checkpoint-dir") { query.append(("checkpoint-dir", call.string("checkpoint-dir"))) }
        var failed: [String] = []
        for name in call.arguments {
            do {
                try engine.call("POST", call.containerPath(name, "/start"), query: query)
                call.print(name)
            } catch {
                call.printError(Main.describe(error).message)
                failed.append(name)
            }
        }
        if !failed.isEmpty { throw CommandFailure("Error: failed to start containers: \(failed.joined(separator: ", "))") }
    }

    private static func startAttached(_ call: Invocation) throws {
        let engine = try call.engine
        let container = try engine.json("GET", call.containerPath(call.arguments[0], "/json"))
        let id = container.string("Id")
        let config = container["Config"] ?? .null
        let isTTY = config.bool("Tty")
        let removes = container["HostConfig"]?.bool("AutoRemove") ?? false
        let keys = call.client.detachKeys(call.string("detach-keys"))
        let takesInput = call.bool("interactive") && config.bool("OpenStdin")
        let signals = try SignalQueue((isTTY ? [] : SignalQueue.forwardable) + [SIGWINCH])
        let response = try Attachment.open(engine, id, input: takesInput, output: true, errors: true, keys: keys)
        let waiting = try engine.open("POST", "/containers/\(id)/wait", query: [("condition", removes ? "removed" : "next-exit")])
        let session = StreamSession(client: call.client, stream: response.connection, isTTY: isTTY, takesInput: takesInput)
        session.signals = signals
        session.waiting = waiting
        session.escape = try DetachSequence(keys)
        session.onSignal = { signal in
            if signal == SIGWINCH {
                if isTTY { Attachment.resize(engine, "/containers/\(id)/resize") }
            } else {
                _ = try? engine.call("POST", "/containers/\(id)/kill", query: [("signal", SignalQueue.name(signal))])
            }
        }
        do { try engine.call("POST", "/containers/\(id)/start") } catch {
            if removes { _ = try? waiting.readAll() }
            throw error
        }
        if isTTY, LocalTerminal(descriptor: 1).exists { Attachment.resize(engine, "/containers/\(id)/resize") }
        session.enterRawMode()
        if try session.run() == .detached { return }
        let status = try WaitReply(session.waitReply ?? waiting.readAll()).status(call.client)
        if status != 0 { throw CommandFailure.exit(status) }
    }
}
