import DockerAPI

/// `top`, `port` and `diff`.
enum ContainerDetails {
    static let top = Command(
        name: "top", synopsis: "CONTAINER [ps OPTIONS]", summary: "Display the running processes of a container", arguments: .atLeast(1),
        interspersed: false, aliases: ["container top", "top"]
    ) { call in
        let options = call.arguments.dropFirst().joined(separator: " ")
        let reply = try call.engine.json("GET", call.containerPath(call.arguments[0], "/top"), query: options.isEmpty ? [] : [("ps_args", options)])
        let lines = [reply.strings("Titles")] + reply.array("Processes").map { $0.arrayValue?.compactMap(\.stringValue) ?? [] }
        call.client.out.write(TableWriter(minimumWidth: 20).align(lines.map { $0.joined(separator: "\t") + "\n" }.joined()))
    }

    static let port = Command(
        name: "port", synopsis: "CONTAINER [PRIVATE_PORT[/PROTO]]", summary: "List port mappings or a specific mapping for the container",
        arguments: .between(1, 2), aliases: ["container port", "port"]
    ) { call in
        let container = try call.engine.json("GET", call.containerPath(call.arguments[0], "/json"))
        let ports = container["NetworkSettings"]?.object("Ports") ?? JSONObject()
        func address(_ binding: JSONValue) -> String { PortColumn.hostPort(binding.string("HostIp"), binding.string("HostPort")) }
        var lines: [String]
        if call.arguments.count == 2 {
            let parts = call.arguments[1].split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard UInt16(parts[0]) != nil else {
                throw CommandFailure("Error: invalid port (\(parts[0])): strconv.ParseUint: parsing \(GoText.quoted(parts[0])): invalid syntax")
            }
            let proto = parts.count == 2 && !parts[1].isEmpty ? parts[1] : "tcp"
            let bindings = ports["\(parts[0])/\(proto)"]?.arrayValue ?? []
            if bindings.isEmpty { throw CommandFailure("Error: No public port '\(call.arguments[1])' published for \(call.arguments[0])") }
            lines = bindings.map(address)
        } else {
            lines = ports.members.flatMap { port in (port.value.arrayValue ?? []).map { "\(port.key) -> \(address($0))" } }
        }
        lines.sort(by: naturallyPrecedes)
        if !lines.isEmpty { call.print(lines.joined(separator: "\n")) }
    }

    static let diff = Command(
        name: "diff", synopsis: "CONTAINER", summary: "Inspect changes to files or directories on a container's filesystem", arguments: .exactly(1),
        aliases: ["container diff", "diff"]
    ) { call in
        if call.arguments[0].isEmpty { throw CommandFailure("Container name cannot be empty") }
        let kinds = ["C", "A", "D"]
        for change in try call.engine.json("GET", call.containerPath(call.arguments[0], "/changes")).arrayValue ?? [] {
            let kind = Int(change.int("Kind"))
            call.print("\(kinds.indices.contains(kind) ? kinds[kind] : "") \(change.string("Path"))")
        }
    }
}
