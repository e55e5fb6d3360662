/// Commands that move containers from one state to another.
enum ContainerState {
    private static let timeouts: [Flag] = [
        .string("signal", "s", "Signal to send to the container"), .int("timeout", "t", "Seconds to wait before killing the container"),
        Flag.int("time", "Seconds to wait before killing the container (deprecated: use --timeout)").hidden(),
    ]

    static let stop = Command(
        name: "stop", synopsis: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Stop one or more running containers", arguments: .atLeast(1),
        flags: timeouts, aliases: ["container stop", "stop"]
    ) { call in
        let query = try stopQuery(call)
        try call.inParallel(call.arguments) { ("POST", call.containerPath($0, "/stop"), query) }
    }

    static let restart = Command(
        name: "restart", synopsis: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Restart one or more containers", arguments: .atLeast(1),
        flags: timeouts, aliases: ["container restart", "restart"]
    ) { call in
        let query = try stopQuery(call)
        try call.forEach(call.arguments) { engine, name in try engine.call("POST", call.containerPath(name, "/restart"), query: query) }
    }

    static let kill = Command(
        name: "kill", synopsis: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Kill one or more running containers", arguments: .atLeast(1),
        flags: [.string("signal", "s", "Signal to send to the container")], aliases: ["container kill", "kill"]
    ) { call in
        let query = call.string("signal").isEmpty ? [] : [("signal", call.string("signal"))]
        try call.inParallel(call.arguments) { ("POST", call.containerPath($0, "/kill"), query) }
    }

    static let pause = Command(
        name: "pause", synopsis: "CONTAINER [CONTAINER...]", summary: "Pause all processes within one or more containers", arguments: .atLeast(1),
        aliases: ["container pause", "pause"]
    ) { call in try call.inParallel(call.arguments) { ("POST", call.containerPath($0, "/pause"), []) } }

    static let unpause = Command(
        name: "unpause", synopsis: "CONTAINER [CONTAINER...]", summary: "Unpause all processes within one or more containers", arguments: .atLeast(1),
        aliases: ["container unpause", "unpause"]
    ) { call in try call.inParallel(call.arguments) { ("POST", call.containerPath($0, "/unpause"), []) } }

    static let rename = Command(
        name: "rename", synopsis: "CONTAINER NEW_NAME", summary: "Rename a container", arguments: .exactly(2), aliases: ["container rename", "rename"]
    ) { call in
        let (old, new) = (call.arguments[0].trimmingBlanks(), call.arguments[1].trimmingBlanks())
        if old.isEmpty || new.isEmpty { throw CommandFailure("Error: Neither old nor new names may be empty") }
        do { try call.engine.call("POST", call.containerPath(old, "/rename"), query: [("name", new)]) } catch let failure as EngineFailure {
            call.printError(failure.message)
            throw CommandFailure("Error: failed to rename container named \(old)")
        }
    }

    private static func stopQuery(_ call: Invocation) throws -> [(String, String)] {
        if call.changed("time") { call.print("Flag --time has been deprecated, use --timeout instead") }
        if call.changed("time"), call.changed("timeout") { throw CommandFailure("conflicting options: cannot specify both --timeout and --time") }
        var query: [(String, String)] = []
        if call.changed("time") || call.changed("timeout") { query.append(("t", String(call.int(call.changed("time") ? "time" : "timeout")))) }
        if !call.string("signal").isEmpty { query.append(("signal", call.string("signal"))) }
        return query
    }
}

/// `wait`.
enum WaitCommand {
    static let command = Command(
        name: "wait", synopsis: "CONTAINER [CONTAINER...]", summary: "Block until one or more containers stop, then print their exit codes",
        arguments: .atLeast(1), aliases: ["container wait", "wait"]
    ) { call in
        let engine = try call.engine
        var failures: [String] = []
        for name in call.arguments {
            do {
                let response = try engine.open("POST", call.containerPath(name, "/wait"))
                call.client.out.flush()
                let reply = try JSONParser.parse(try response.readAll())
                engine.release(response)
                call.print(String(reply.int("StatusCode")))
            } catch { failures.append(Main.describe(error).message) }
        }
        if !failures.isEmpty { throw CommandFailure(failures.joined(separator: "\n")) }
    }
}
