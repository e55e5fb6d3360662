import Glibc

/// `attach`: the streams of a container that runs already.
enum AttachCommand {
    static let command = Command(
        name: "attach", synopsis: "[OPTIONS] CONTAINER",
        summary: "Attach local standard input, output, and error streams to a running container", arguments: .exactly(1),
        flags: [
            .string("detach-keys", "Override the key sequence for detaching a container"), .bool("no-stdin", "Do not attach STDIN"),
            .bool("sig-proxy", default: true, "Proxy all received signals to the process"),
        ], aliases: ["container attach", "attach"], run: run)

    private static func run(_ call: Invocation) throws {
        let engine = try call.engine
        let name = percentEncoded(call.arguments[0])
        let waiting = try engine.open("POST", "/containers/\(name)/wait")
        let container = try runningContainer(engine, name)
        let isTTY = container["Config"]?.bool("Tty") ?? false
        try RunCommands.checkTTY(attachesInput: !call.bool("no-stdin"), isTTY: isTTY)
        let takesInput = !call.bool("no-stdin") && container["Config"]?.bool("OpenStdin") ?? false
        let keys = call.client.detachKeys(call.string("detach-keys"))
        let signals = try SignalQueue((call.bool("sig-proxy") && !isTTY ? SignalQueue.forwardable : []) + [SIGWINCH])
        let response = try Attachment.open(engine, name, input: takesInput, output: true, errors: true, keys: keys)
        // It may have stopped in between, and then nothing would ever end the stream
        _ = try runningContainer(engine, name)
        let session = StreamSession(client: call.client, stream: response.connection, isTTY: isTTY, takesInput: takesInput)
        session.signals = signals
        session.escape = try DetachSequence(keys)
        session.onSignal = { signal in
            if signal == SIGWINCH {
                if isTTY { Attachment.resize(engine, "/containers/\(name)/resize") }
            } else {
                _ = try? engine.call("POST", "/containers/\(name)/kill", query: [("signal", SignalQueue.name(signal))])
            }
        }
        if isTTY, LocalTerminal(descriptor: 1).exists {
            // A change of size makes programs draw themselves anew
            Attachment.resize(engine, "/containers/\(name)/resize", growing: 1)
            Attachment.resize(engine, "/containers/\(name)/resize")
        }
        session.enterRawMode()
        if try session.run() == .detached { throw CommandFailure("read escape sequence") }
        let reply = (try? JSONParser.parse(try waiting.readAll())) ?? .null
        if let message = reply["Error"]?["Message"]?.stringValue, !message.isEmpty { throw CommandFailure(message) }
        if reply.int("StatusCode") != 0 { throw CommandFailure.exit(Int32(truncatingIfNeeded: reply.int("StatusCode"))) }
    }

    private static func runningContainer(_ engine: EngineClient, _ name: String) throws -> JSONValue {
        let container = try engine.json("GET", "/containers/\(name)/json")
        let state = container["State"] ?? .null
        if !state.bool("Running") { throw CommandFailure("You cannot attach to a stopped container, start it first") }
        if state.bool("Paused") { throw CommandFailure("You cannot attach to a paused container, unpause it first") }
        if state.bool("Restarting") { throw CommandFailure("You cannot attach to a restarting container, wait until it is running") }
        return container
    }
}
