import DockerAPI
import LinuxSystem

/// `logs`.
enum LogsCommand {
    static let command = Command(
        name: "logs", synopsis: "[OPTIONS] CONTAINER", summary: "Fetch the logs of a container", arguments: .exactly(1),
        flags: [
            .bool("details", "Show extra details provided to logs"), .bool("follow", "f", "Follow log output"),
            .string("since", "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)"),
            .string("tail", "n", default: "all", "Number of lines to show from the end of the logs"), .bool("timestamps", "t", "Show timestamps"),
            .string("until", "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)"),
        ], aliases: ["container logs", "logs"], run: run)

    private static func run(_ call: Invocation) throws {
        let engine = try call.engine
        let name = call.arguments[0]
        let container = try engine.json("GET", call.containerPath(name, "/json"))
        let isTTY = container["Config"]?.bool("Tty") ?? false
        var query = [("stdout", "1"), ("stderr", "1")]
        for key in ["since", "until"] where !call.string(key).isEmpty {
            do { query.append((key, try TimeArgument.parse(call.string(key)))) } catch let error as InvalidValue {
                throw CommandFailure("invalid value for \(GoText.quoted(key)): \(error.reason)")
            }
        }
        for key in ["timestamps", "details", "follow"] where call.bool(key) { query.append((key, "1")) }
        query.append(("tail", call.string("tail")))
        let response = try engine.open("GET", "/containers/\(container.string("Id"))/logs", query: query)
        try copy(response, isTTY: isTTY, follows: call.bool("follow"), to: call.client)
    }

    /// Whoever follows sees every piece at once; otherwise a large log goes through in large pieces.
    private static func copy(_ response: HTTPResponse, isTTY: Bool, follows: Bool, to client: Client) throws {
        var frame = FrameDecoder()
        while case let bytes = try response.read(), !bytes.isEmpty {
            if isTTY {
                try client.out.writeNow(bytes)
                continue
            }
            try frame.decode(bytes) { kind, payload in
                switch kind {
                case .stdin, .stdout: client.out.write(bytes: payload)
                case .stderr:
                    client.out.flush()
                    try payload.withUnsafeBytesThrowing { (raw) throws(SystemError) in try writeAll(2, raw) }
                case .systemError: throw CommandFailure("error from daemon in stream: \(String(decoding: payload, as: UTF8.self))")
                }
            }
            if follows, !response.hasBufferedBytes { client.out.flush() }
        }
    }
}
