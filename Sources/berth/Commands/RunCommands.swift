import Glibc

/// `run` and `create`.
enum RunCommands {
    static let run = Command(
        name: "run", synopsis: "[OPTIONS] IMAGE [COMMAND] [ARG...]", summary: "Create and run a new container from an image", arguments: .atLeast(1),
        flags: CreateFlags.all + [
            .bool("detach", "d", "Run container in background and print container ID"),
            .string("detach-keys", "Override the key sequence for detaching a container"),
            .bool("sig-proxy", default: true, "Proxy received signals to the process"),
        ], interspersed: false, aliases: ["container run", "run"], run: runContainer)

    static let create = Command(
        name: "create", synopsis: "[OPTIONS] IMAGE [COMMAND] [ARG...]", summary: "Create a new container", arguments: .atLeast(1),
        flags: CreateFlags.all, interspersed: false, aliases: ["container create", "create"], run: createContainer)

    private static func createContainer(_ call: Invocation) throws {
        let request: ContainerRequest
        do { request = try self.request(call) } catch { throw withHelp(error, call, "create", status: 125) }
        call.print(try ContainerCreation(call).create(request))
    }

    private static func request(_ call: Invocation) throws -> ContainerRequest {
        let pull = call.string("pull")
        guard ["always", "missing", "never"].contains(pull) else {
            throw CommandFailure("invalid pull option: '\(pull)': must be one of \"always\", \"missing\" or \"never\"")
        }
        if call.bool("use-api-socket") { throw CommandFailure("--use-api-socket is experimental in Docker and not supported: mount the socket with -v") }
        if !call.bool("disable-content-trust") || call.client.environment["DOCKER_CONTENT_TRUST"] == "1" {
            throw CommandFailure("content trust is not supported: images cannot be verified")
        }
        let proxies = call.client.config.proxies(host: (try? call.engine.host.description) ?? "")
        return try ContainerRequest(call.flags, image: call.arguments[0], command: Array(call.arguments.dropFirst()), proxies: proxies)
    }

    private static func runContainer(_ call: Invocation) throws {
        var request: ContainerRequest
        do { request = try self.request(call) } catch { throw withHelp(error, call, "run", status: 125) }
        if call.bool("detach") {
            if !call.list("attach").isEmpty { throw CommandFailure("conflicting options: cannot specify both --attach and --detach") }
            request.detach()
        } else {
            try checkTTY(attachesInput: request.attachesInput, isTTY: request.isTTY)
        }
        let terminal = LocalTerminal(descriptor: 1)
        if request.isTTY, terminal.exists { request.setConsoleSize(height: terminal.size.height, width: terminal.size.width) }
        let id: String
        do { id = try ContainerCreation(call).create(request) } catch { throw statusError(error, call) }
        if request.attachesInput || request.attachesOutput || request.attachesErrors {
            try runAttached(call, request, id)
        } else {
            do { try call.engine.call("POST", "/containers/\(id)/start") } catch { throw statusError(error, call) }
            call.print(id)
        }
    }

    /// Attaches, asks for the exit status, and only then starts, so that no output and no exit is missed.
    private static func runAttached(_ call: Invocation, _ request: ContainerRequest, _ id: String) throws {
        let engine = try call.engine
        let signals = try SignalQueue((call.bool("sig-proxy") ? SignalQueue.forwardable : []) + [SIGWINCH])
        let keys = call.client.detachKeys(call.string("detach-keys"))
        let attachment: HTTPResponse
        do {
            attachment = try Attachment.open(
                engine, id, input: request.attachesInput, output: request.attachesOutput, errors: request.attachesErrors, keys: keys)
        } catch { throw error }
        let waiting = try engine.open("POST", "/containers/\(id)/wait", query: [("condition", call.bool("rm") ? "removed" : "next-exit")])
        let session = StreamSession(
            client: call.client, stream: attachment.connection, isTTY: request.isTTY, takesInput: request.attachesInput,
            showsOutput: request.attachesOutput, showsErrors: request.attachesErrors)
        session.waiting = waiting
        session.signals = signals
        session.escape = try DetachSequence(keys)
        session.onSignal = { signal in
            if signal == SIGWINCH {
                if request.isTTY { Attachment.resize(engine, "/containers/\(id)/resize") }
            } else {
                _ = try? engine.call("POST", "/containers/\(id)/kill", query: [("signal", SignalQueue.name(signal))])
            }
        }
        do { try engine.call("POST", "/containers/\(id)/start") } catch {
            if call.bool("rm") { _ = try? waiting.readAll() }
            throw statusError(error, call)
        }
        if request.isTTY, LocalTerminal(descriptor: 1).exists { Attachment.resize(engine, "/containers/\(id)/resize") }
        session.enterRawMode()
        if try session.run() == .detached { return }
        let status = try WaitReply(session.waitReply ?? waiting.readAll()).status(call.client)
        if status != 0 { throw CommandFailure.exit(status) }
    }

    /// Docker's exit status for what the engine refuses: 127 for a program that is not there, 126 for one that cannot be executed, 125 for the rest.
    static func statusError(_ error: any Error, _ call: Invocation) -> CommandFailure {
        let message = Main.describe(error).message
        let status: Int32
        if ["executable file not found", "no such file or directory", "system cannot find the file specified"].contains(where: message.contains) {
            status = 127
        } else if ["permission denied", "is a directory"].contains(where: message.contains) {
            status = 126
        } else {
            status = 125
        }
        return withHelp(error, call, "run", status: status)
    }

    private static func withHelp(_ error: any Error, _ call: Invocation, _ name: String, status: Int32) -> CommandFailure {
        let program = call.client.program
        return CommandFailure("\(program): \(Main.describe(error).message)\n\nRun '\(program) \(name) --help' for more information", status: status)
    }

    /// A terminal in the container needs one in front of it.
    static func checkTTY(attachesInput: Bool, isTTY: Bool) throws {
        if attachesInput, isTTY, !LocalTerminal(descriptor: 0).exists { throw CommandFailure("the input device is not a TTY") }
    }
}

/// The answer of `POST /containers/ID/wait`.
struct WaitReply {
    private let reply: JSONValue

    init(_ bytes: [UInt8]) throws {
        guard let reply = try? JSONParser.parse(bytes) else { throw CommandFailure("the engine went away before the container's exit status was known", status: 125) }
        self.reply = reply
    }

    func status(_ client: Client) throws -> Int32 {
        if let message = reply["Error"]?["Message"]?.stringValue, !message.isEmpty {
            client.err("Error waiting for container: \(message)\n")
            return 125
        }
        return Int32(truncatingIfNeeded: reply.int("StatusCode"))
    }
}
