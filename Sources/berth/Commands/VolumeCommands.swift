/// `volume` and its subcommands.
enum VolumeCommands {
    static let all: [Command] = [create, InspectCommand.volume, list, prune, remove]

    private static let create = Command(
        name: "create", synopsis: "[OPTIONS] [VOLUME]", summary: "Create a volume", arguments: .atMost(1),
        flags: [
            .string("driver", "d", default: "local", "Specify volume driver name"), .list("label", "Set metadata for a volume", check: ValueChecks.label),
            Flag.string("name", "Specify volume name").hidden(), .list("opt", "o", type: "map", "Set driver specific options"),
        ]
    ) { call in
        var name = call.string("name")
        if let argument = call.arguments.first {
            if !name.isEmpty { throw CommandFailure("conflicting options: cannot specify a volume-name through both --name and as a positional arg") }
            name = argument
        }
        var body = JSONObject([("Name", .string(name)), ("Driver", .string(call.string("driver")))])
        if !call.list("opt").isEmpty { body["DriverOpts"] = .object(KeyValueFile.map(call.list("opt"))) }
        if !call.list("label").isEmpty { body["Labels"] = .object(KeyValueFile.map(call.list("label"))) }
        let reply = try call.engine.json("POST", "/volumes/create", body: .json(.object(body)))
        call.print(reply.string("Name"))
    }

    private static let list = Command(
        name: "ls", synopsis: "[OPTIONS]", summary: "List volumes", arguments: .none,
        flags: [.filter("Provide filter values (e.g. \"dangling=true\")"), .format, .bool("quiet", "q", "Only display volume names")],
        alternatives: ["list"], aliases: ["volume ls", "volume list"]
    ) { call in
        let quiet = call.bool("quiet")
        var format = call.string("format")
        if format.isEmpty, !quiet { format = call.client.config.format("volumesFormat") }
        let listing = Listing.choose(given: format, table: "{{.Driver}}\t{{.Name}}", quiet: quiet ? "{{.Name}}" : nil, headers: VolumeRow.headers)
        let volumes = try call.engine.json("GET", "/volumes", query: call.filters()).array("Volumes")
            .sorted { naturallyPrecedes($0.string("Name"), $1.string("Name")) }
        call.client.out.write(try listing.render(volumes.map(VolumeRow.make)))
    }

    private static let remove = Command(
        name: "rm", synopsis: "[OPTIONS] VOLUME [VOLUME...]", summary: "Remove one or more volumes", arguments: .atLeast(1),
        flags: [.bool("force", "f", "Force the removal of one or more volumes")], alternatives: ["remove"], aliases: ["volume rm", "volume remove"],
        details: "Remove one or more volumes. You cannot remove a volume that is in use by a container."
    ) { call in
        try call.forEach(call.arguments) { engine, name in
            try engine.call("DELETE", "/volumes/\(percentEncoded(name))", query: call.bool("force") ? [("force", "1")] : [])
        }
    }

    private static let prune = Command(
        name: "prune", synopsis: "[OPTIONS]", summary: "Remove unused local volumes", arguments: .none,
        flags: [.bool("all", "a", "Remove all unused volumes, not just anonymous ones"), .pruneFilter("Provide filter values (e.g. \"label=<label>\")"), .force]
    ) { call in
        let everything = call.bool("all")
        if everything, call.list("filter").contains(where: { $0.hasPrefix("all=") }) {
            throw CommandFailure("conflicting options: cannot specify both --all and --filter all=1")
        }
        let kind = everything ? "all" : "anonymous"
        let warning = "WARNING! This will remove \(kind) local volumes not used by at least one container.\nAre you sure you want to continue?"
        if !call.bool("force"), !call.client.confirm(warning) { return }
        let (text, reclaimed) = try pruneVolumes(call, all: everything)
        if !text.isEmpty { call.print(text) }
        call.print("Total reclaimed space: \(Sizes.human(Double(reclaimed)))")
    }

    static func pruneVolumes(_ call: Invocation, all: Bool) throws -> (String, Int64) {
        let report = try call.engine.json("POST", "/volumes/prune", query: call.pruneFilters(all ? [("all", "true")] : []))
        let deleted = report.strings("VolumesDeleted")
        if deleted.isEmpty { return ("", 0) }
        return ("Deleted Volumes:\n" + deleted.map { "\($0)\n" }.joined(), report.int("SpaceReclaimed"))
    }
}

/// A volume of `GET /volumes`.
enum VolumeRow {
    static let headers: [(field: String, title: String)] = [
        ("Name", "VOLUME NAME"), ("Driver", "DRIVER"), ("Scope", "SCOPE"), ("Availability", "AVAILABILITY"), ("Group", "GROUP"),
        ("Mountpoint", "MOUNTPOINT"), ("Labels", "LABELS"), ("Links", "LINKS"), ("Size", "SIZE"), ("Status", "STATUS"),
    ]

    static func make(_ volume: JSONValue) -> TemplateRow {
        let usage = volume["UsageData"]
        return TemplateRow(
            typeName: "*formatter.volumeContext",
            fields: [
                ("Name", { .string(volume.string("Name")) }), ("Driver", { .string(volume.string("Driver")) }),
                ("Scope", { .string(volume.string("Scope")) }), ("Mountpoint", { .string(volume.string("Mountpoint")) }),
                ("Labels", { .string(ContainerRow.labels(volume.object("Labels"))) }),
                ("Links", { .string(usage == nil || usage?.isNull == true ? "N/A" : String(usage?.int("RefCount") ?? 0)) }),
                ("Size", { .string(usage == nil || usage?.isNull == true ? "N/A" : Sizes.human(usage?.double("Size") ?? 0)) }),
                // Of Swarm's cluster volumes, which Berth does not have
                ("Group", { "N/A" }), ("Availability", { "N/A" }), ("Status", { "N/A" }),
            ], label: { volume.object("Labels")[$0]?.stringValue ?? "" })
    }
}
