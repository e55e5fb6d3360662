/// `network` and its subcommands.
enum NetworkCommands {
    static let all: [Command] = [connect, create, disconnect, InspectCommand.network, list, prune, remove]

    private static let connect = Command(
        name: "connect", synopsis: "[OPTIONS] NETWORK CONTAINER", summary: "Connect a container to a network", arguments: .exactly(2),
        flags: [
            .commaList("alias", "Add network-scoped alias for the container"), .commaList("driver-opt", "driver options for the network"),
            .int("gw-priority", "Highest gw-priority provides the default gateway. Accepts positive and negative values."),
            .string("ip", "IPv4 address (e.g., \"172.30.100.104\")"), .string("ip6", "IPv6 address (e.g., \"2001:db8::33\")"),
            .list("link", "Add link to another container", check: ValueChecks.link),
            .commaList("link-local-ip", "Add a link-local address for the container"),
        ]
    ) { call in
        var attachment = NetworkAttachment(target: call.arguments[0])
        for option in call.list("driver-opt") {
            let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map { String($0).trimmingBlanks() }
            guard parts.count == 2, !parts[0].isEmpty else { throw CommandFailure("invalid key/value pair format in driver options") }
            attachment.driverOptions[parts[0]] = .string(parts[1])
        }
        (attachment.ipv4, attachment.ipv6, attachment.linkLocal) = (call.string("ip"), call.string("ip6"), call.list("link-local-ip"))
        attachment.gatewayPriority = call.int("gw-priority")
        var endpoint = try attachment.endpoint().objectValue ?? JSONObject()
        // On this path aliases and links are the engine's to judge
        if !call.list("alias").isEmpty { endpoint["Aliases"] = .strings(call.list("alias")) }
        if !call.list("link").isEmpty { endpoint["Links"] = .strings(call.list("link")) }
        try call.engine.call(
            "POST", path(call.arguments[0], "/connect"),
            body: .json(["Container": .string(call.arguments[1]), "EndpointConfig": .object(endpoint)]))
    }

    private static let disconnect = Command(
        name: "disconnect", synopsis: "[OPTIONS] NETWORK CONTAINER", summary: "Disconnect a container from a network", arguments: .exactly(2),
        flags: [.bool("force", "f", "Force the container to disconnect from a network")]
    ) { call in
        try call.engine.call(
            "POST", path(call.arguments[0], "/disconnect"), body: .json(["Container": .string(call.arguments[1]), "Force": .bool(call.bool("force"))]))
    }

    private static let create = Command(
        name: "create", synopsis: "[OPTIONS] NETWORK", summary: "Create a network", arguments: .exactly(1),
        flags: [
            .bool("attachable", "Enable manual container attachment"),
            .list("aux-address", type: "map", "Auxiliary IPv4 or IPv6 addresses used by Network driver"),
            .string("config-from", "The network from which to copy the configuration"), .bool("config-only", "Create a configuration only network"),
            .string("driver", "d", default: "bridge", "Driver to manage the Network"), .commaList("gateway", "IPv4 or IPv6 Gateway for the master subnet"),
            .bool("ingress", "Create swarm routing-mesh network"), .bool("internal", "Restrict external access to the network"),
            .commaList("ip-range", "Allocate container ip from a sub-range"), .string("ipam-driver", default: "default", "IP Address Management Driver"),
            .list("ipam-opt", type: "map", "Set IPAM driver specific options"), .bool("ipv4", default: true, "Enable or disable IPv4 address assignment"),
            .bool("ipv6", "Enable or disable IPv6 address assignment"), .list("label", "Set metadata on a network", check: ValueChecks.label),
            .list("opt", "o", type: "map", "Set driver specific options"), .string("scope", "Control the network's scope"),
            .commaList("subnet", "Subnet in CIDR format that represents a network segment"),
        ], run: createNetwork)

    private static let list = Command(
        name: "ls", synopsis: "[OPTIONS]", summary: "List networks", arguments: .none,
        flags: [.filter("Provide filter values (e.g. \"driver=bridge\")"), .format, .bool("no-trunc", "Do not truncate the output"), .bool("quiet", "q", "Only display network IDs")],
        alternatives: ["list"], aliases: ["network ls", "network list"], run: listNetworks)

    private static let remove = Command(
        name: "rm", synopsis: "NETWORK [NETWORK...]", summary: "Remove one or more networks", arguments: .atLeast(1),
        flags: [.bool("force", "f", "Do not error if the network does not exist")], alternatives: ["remove"], aliases: ["network rm", "network remove"]
    ) { call in
        let engine = try call.engine
        var failed = false
        for name in call.arguments {
            do {
                try engine.call("DELETE", path(name))
                call.print(name)
            } catch let failure as EngineFailure {
                if call.bool("force"), failure.status == 404 { continue }
                call.printError(failure.message)
                failed = true
            }
        }
        if failed { throw CommandFailure("exit status 1") }
    }

    private static let prune = Command(
        name: "prune", synopsis: "[OPTIONS]", summary: "Remove all unused networks", arguments: .none,
        flags: [.pruneFilter("Provide filter values (e.g. \"until=<timestamp>\")"), .force]
    ) { call in
        let warning = "WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue?"
        if !call.bool("force"), !call.client.confirm(warning) { return }
        let text = try pruneNetworks(call)
        if !text.isEmpty { call.print(text) }
    }

    static func pruneNetworks(_ call: Invocation) throws -> String {
        let deleted = try call.engine.json("POST", "/networks/prune", query: call.pruneFilters()).strings("NetworksDeleted")
        return deleted.isEmpty ? "" : "Deleted Networks:\n" + deleted.map { "\($0)\n" }.joined()
    }

    private static func path(_ name: String, _ rest: String = "") -> String { "/networks/\(percentEncoded(name))\(rest)" }

    private static func createNetwork(_ call: Invocation) throws {
        let pools = try AddressPools(
            subnets: call.list("subnet"), ranges: call.list("ip-range"), gateways: call.list("gateway"), auxiliary: KeyValueFile.map(call.list("aux-address")))
        var body = JSONObject([
            ("Name", .string(call.arguments[0])), ("Driver", .string(call.string("driver"))), ("Scope", .string(call.string("scope"))),
            (
                "IPAM",
                ["Driver": .string(call.string("ipam-driver")), "Options": .object(KeyValueFile.map(call.list("ipam-opt"))), "Config": pools.json]
            ), ("Internal", .bool(call.bool("internal"))), ("Attachable", .bool(call.bool("attachable"))), ("Ingress", .bool(call.bool("ingress"))),
            ("ConfigOnly", .bool(call.bool("config-only"))), ("Options", .object(KeyValueFile.map(call.list("opt")))),
            ("Labels", .object(KeyValueFile.map(call.list("label")))),
        ])
        if call.changed("ipv4") { body["EnableIPv4"] = .bool(call.bool("ipv4")) }
        if call.changed("ipv6") { body["EnableIPv6"] = .bool(call.bool("ipv6")) }
        if !call.string("config-from").isEmpty { body["ConfigFrom"] = ["Network": .string(call.string("config-from"))] }
        let reply = try call.engine.json("POST", "/networks/create", body: .json(.object(body)))
        if !reply.string("Warning").isEmpty { call.printError("WARNING: \(reply.string("Warning"))") }
        call.print(reply.string("Id"))
    }

    private static func listNetworks(_ call: Invocation) throws {
        let quiet = call.bool("quiet")
        let truncating = !call.bool("no-trunc")
        var format = call.string("format")
        if format.isEmpty, !quiet { format = call.client.config.format("networksFormat") }
        let listing = Listing.choose(
            given: format, table: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}", quiet: quiet ? "{{.ID}}" : nil,
            headers: [
                ("ID", "NETWORK ID"), ("Name", "NAME"), ("Driver", "DRIVER"), ("Scope", "SCOPE"), ("IPv4", "IPV4"), ("IPv6", "IPV6"),
                ("Internal", "INTERNAL"), ("Labels", "LABELS"), ("CreatedAt", "CREATED AT"),
            ])
        let networks = (try call.engine.json("GET", "/networks", query: call.filters()).arrayValue ?? [])
            .sorted { naturallyPrecedes($0.string("Name"), $1.string("Name")) }
        let rows = networks.map { network in
            TemplateRow(
                typeName: "*network.networkContext",
                fields: [
                    ("ID", { .string(truncating ? Shortening.id(network.string("Id")) : network.string("Id")) }), ("Name", { .string(network.string("Name")) }),
                    ("Driver", { .string(network.string("Driver")) }), ("Scope", { .string(network.string("Scope")) }),
                    ("IPv4", { .string(network.bool("EnableIPv4") ? "true" : "false") }), ("IPv6", { .string(network.bool("EnableIPv6") ? "true" : "false") }),
                    ("Internal", { .string(network.bool("Internal") ? "true" : "false") }),
                    ("Labels", { .string(ContainerRow.labels(network.object("Labels"))) }),
                    ("CreatedAt", { .string(Timestamp(rfc3339: network.string("Created"))?.goStringUTC ?? network.string("Created")) }),
                ], label: { network.object("Labels")[$0]?.stringValue ?? "" })
        }
        call.client.out.write(try listing.render(rows))
    }
}
