/// `rm` and `container prune`.
enum ContainerRemoval {
    static let remove = Command(
        name: "rm", synopsis: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Remove one or more containers", arguments: .atLeast(1),
        flags: [
            .bool("force", "f", "Force the removal of a running container (uses SIGKILL)"), .bool("link", "l", "Remove the specified link"),
            .bool("volumes", "v", "Remove anonymous volumes associated with the container"),
        ], aliases: ["container rm", "container remove", "rm"]
    ) { call in
        let force = call.bool("force")
        var query: [(String, String)] = []
        if call.bool("volumes") { query.append(("v", "1")) }
        if call.bool("link") { query.append(("link", "1")) }
        if force { query.append(("force", "1")) }
        let names = call.arguments.map { name in String(name.drop { $0 == "/" }) }
        if names.contains("") { throw CommandFailure("container name cannot be empty") }
        try call.inParallel(
            call.arguments,
            onFailure: { failure in
                guard force, failure.status == 404 else { return false }
                call.printError(failure.message)
                return true
            }
        ) { name in
            // A link is named by its path, whose first slash the engine does not want
            let bare = String(name.drop { $0 == "/" })
            return ("DELETE", call.containerPath(bare), query)
        }
    }

    static let prune = Command(
        name: "prune", synopsis: "[OPTIONS]", summary: "Remove all stopped containers", arguments: .none,
        flags: [.pruneFilter("Provide filter values (e.g. \"until=<timestamp>\")"), .force]
    ) { call in
        if !call.bool("force"),
            !call.client.confirm("WARNING! This will remove all stopped containers.\nAre you sure you want to continue?") { return }
        let (text, reclaimed) = try pruneContainers(call)
        if !text.isEmpty { call.print(text) }
        call.print("Total reclaimed space: \(Sizes.human(Double(reclaimed)))")
    }

    /// What was removed, as text, and the bytes it gives back. `system prune` uses it too.
    static func pruneContainers(_ call: Invocation) throws -> (String, Int64) {
        let report = try call.engine.json("POST", "/containers/prune", query: call.pruneFilters())
        let deleted = report.strings("ContainersDeleted")
        if deleted.isEmpty { return ("", 0) }
        return ("Deleted Containers:\n" + deleted.map { "\($0)\n" }.joined(), report.int("SpaceReclaimed"))
    }
}
