/// `ps`, which is `container ls`.
enum ContainerList {
    static let list = Command(
        name: "ls", synopsis: "[OPTIONS]", summary: "List containers", arguments: .none,
        flags: [
            .bool("all", "a", "Show all containers (default shows just running)"), .filter(), .format,
            .int("last", "n", default: -1, "Show n last created containers (includes all states)"),
            .bool("latest", "l", "Show the latest created container (includes all states)"), .noTrunc,
            .bool("quiet", "q", "Only display container IDs"), .bool("size", "s", "Display total file sizes"),
        ], alternatives: ["ps", "list"], aliases: ["container ls", "container list", "container ps", "ps"], run: run)

    private static func run(_ call: Invocation) throws {
        var format = call.string("format")
        if format.isEmpty {
            format = call.client.config.format("psFormat")
        } else if call.bool("quiet") {
            call.client.err("WARNING: Ignoring custom format, because both --format and --quiet are set.\n")
        }
        var listing = ContainerRow.listing(given: format, quiet: call.bool("quiet"), size: call.bool("size"))
        var query: [(String, String)] = []
        var size = call.bool("size")
        if !format.isEmpty {
            try check(format)
            if !call.bool("quiet"), !call.changed("size"), listing.uses("Size") {
                size = true
                listing = ContainerRow.listing(given: format, quiet: false, size: true)
            }
        }
        let limit = call.bool("latest") && call.int("last") == -1 ? 1 : call.int("last")
        if call.bool("all") { query.append(("all", "1")) }
        if limit > 0 { query.append(("limit", String(limit))) }
        if size { query.append(("size", "1")) }
        let containers = try call.engine.json("GET", "/containers/json", query: query + call.filters()).arrayValue ?? []
        call.client.out.write(try listing.render(containers.map { ContainerRow.make($0, truncating: !call.bool("no-trunc")) }))
    }

    /// A wrong template is told before the engine is asked.
    private static func check(_ format: String) throws {
        let template: Template
        do { template = try Template(format) } catch let error as TemplateError { throw CommandFailure("failed to parse template: \(error.message)") }
        do { _ = try template.render(.row(ContainerRow.make(.object(JSONObject()), truncating: true))) } catch let error as TemplateError {
            throw CommandFailure("failed to execute template: \(error.message)")
        }
    }
}
