/// `system` and its subcommands.
enum SystemCommands {
    static let all: [Command] = [diskUsage, EventsCommand.command, InfoCommand.command, prune]

    private static let diskUsage = Command(
        name: "df", synopsis: "[OPTIONS]", summary: "Show the engine's disk usage", arguments: .none,
        flags: [.format, .bool("verbose", "v", "Show detailed information on space usage")]
    ) { call in
        let usage = DiskUsage(try call.engine.json("GET", "/system/df"))
        let format = call.string("format")
        if call.bool("verbose") {
            call.client.out.write(try usage.verbose(format))
        } else {
            let listing = format == "raw" ? Listing(format: DiskUsage.raw, headers: DiskUsage.headers)
                : Listing.choose(given: format, table: DiskUsage.table, quiet: nil, headers: DiskUsage.headers)
            call.client.out.write(try listing.render(usage.summary))
        }
    }

    private static let prune = Command(
        name: "prune", synopsis: "[OPTIONS]", summary: "Remove unused data", arguments: .none,
        flags: [
            .bool("all", "a", "Remove all unused images not just dangling ones"), .pruneFilter("Provide filter values (e.g. \"label=<key>=<value>\")"),
            .force, .bool("volumes", "Prune anonymous volumes"),
        ], run: pruneAll)

    private static func pruneAll(_ call: Invocation) throws {
        let (all, volumes) = (call.bool("all"), call.bool("volumes"))
        if volumes, call.list("filter").contains(where: { $0.hasPrefix("until=") }) {
            throw CommandFailure("ERROR: The \"until\" filter is not supported with \"--volumes\"")
        }
        if !call.bool("force"), !call.client.confirm(question(call)) { return }
        var reclaimed: Int64 = 0
        func show(_ result: (String, Int64)) {
            reclaimed += result.1
            if !result.0.isEmpty { call.print(result.0) }
        }
        show(try ContainerRemoval.pruneContainers(call))
        show((try NetworkCommands.pruneNetworks(call), 0))
        if volumes { show(try VolumeCommands.pruneVolumes(call, all: false)) }
        show(try ImageDetails.pruneImages(call, all: all))
        show(try buildCache(call, all: all))
        call.print("Total reclaimed space: \(Sizes.human(Double(reclaimed)))")
    }

    /// An engine that builds nothing has no cache, which it says with 404 or 501.
    private static func buildCache(_ call: Invocation, all: Bool) throws -> (String, Int64) {
        do {
            let report = try call.engine.json("POST", "/build/prune", query: (all ? [("all", "1")] : []) + call.pruneFilters())
            let deleted = report.strings("CachesDeleted")
            if deleted.isEmpty { return ("", 0) }
            return ("Deleted build cache objects:\n" + deleted.map { "\($0)\n" }.joined(), report.int("SpaceReclaimed"))
        } catch let failure as EngineFailure where failure.status == 404 || failure.status == 501 { return ("", 0) }
    }

    private static func question(_ call: Invocation) -> String {
        var warnings = ["all stopped containers", "all networks not used by at least one container"]
        if call.bool("volumes") { warnings.append("all anonymous volumes not used by at least one container") }
        warnings.append(call.bool("all") ? "all images without at least one container associated to them" : "all dangling images")
        warnings.append(call.bool("all") ? "all build cache" : "unused build cache")
        let filters = call.list("filter").filter { text in ["label=", "label!=", "until="].contains { text.hasPrefix($0) } }.sorted(by: naturallyPrecedes)
        var text = "WARNING! This will remove:" + warnings.map { "\n  - \($0)" }.joined() + "\n"
        if !filters.isEmpty { text += "\n  Items to be pruned will be filtered with:" + filters.map { "\n  - \($0)" }.joined() + "\n" }
        return text + "\nAre you sure you want to continue?"
    }
}
