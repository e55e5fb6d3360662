import DockerAPI

/// `history`, `tag`, `rmi` and `image prune`.
enum ImageDetails {
    static let tag = Command(
        name: "tag", synopsis: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", summary: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        arguments: .exactly(2), aliases: ["image tag", "tag"]
    ) { call in
        let target: ImageReference
        do { target = try ImageReference(call.arguments[1]) } catch let failure as CommandFailure {
            throw CommandFailure("Error parsing reference: \(GoText.quoted(call.arguments[1])) is not a valid repository/tag: \(failure.message)")
        }
        if target.digest != nil { throw CommandFailure("refusing to create a tag with a digest reference") }
        let source = percentEncoded(call.arguments[0], keeping: "/:@")
        try call.engine.call("POST", "/images/\(source)/tag", query: [("repo", target.familiarName), ("tag", target.tag ?? "latest")])
    }

    static let remove = Command(
        name: "rm", synopsis: "[OPTIONS] IMAGE [IMAGE...]", summary: "Remove one or more images", arguments: .atLeast(1),
        flags: [
            .bool("force", "f", "Force removal of the image"), .bool("no-prune", "Do not delete untagged parents"),
            .commaList("platform", "Remove only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")"),
        ], alternatives: ["rmi", "remove"], aliases: ["image rm", "image remove", "rmi"], run: removeImages)

    static let history = Command(
        name: "history", synopsis: "[OPTIONS] IMAGE", summary: "Show the history of an image", arguments: .exactly(1),
        flags: [
            .format, .bool("human", "H", default: true, "Print sizes and dates in human readable format"), .noTrunc,
            .string("platform", "Show history for the given platform. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")"),
            .bool("quiet", "q", "Only show image IDs"),
        ], aliases: ["image history", "history"], run: showHistory)

    static let prune = Command(
        name: "prune", synopsis: "[OPTIONS]", summary: "Remove unused images", arguments: .none,
        flags: [.bool("all", "a", "Remove all unused images, not just dangling ones"), .pruneFilter("Provide filter values (e.g. \"until=<timestamp>\")"), .force]
    ) { call in
        let warning =
            call.bool("all")
            ? "WARNING! This will remove all images without at least one container associated to them.\nAre you sure you want to continue?"
            : "WARNING! This will remove all dangling images.\nAre you sure you want to continue?"
        if !call.bool("force"), !call.client.confirm(warning) { return }
        let (text, reclaimed) = try pruneImages(call, all: call.bool("all"))
        if !text.isEmpty { call.print(text) }
        call.print("Total reclaimed space: \(Sizes.human(Double(reclaimed)))")
    }

    static func pruneImages(_ call: Invocation, all: Bool) throws -> (String, Int64) {
        let report = try call.engine.json("POST", "/images/prune", query: call.pruneFilters([("dangling", all ? "false" : "true")]))
        let deleted = report.array("ImagesDeleted")
        if deleted.isEmpty { return ("", 0) }
        let lines = deleted.map { $0.string("Untagged").isEmpty ? "deleted: \($0.string("Deleted"))\n" : "untagged: \($0.string("Untagged"))\n" }
        return ("Deleted Images:\n" + lines.joined(), report.int("SpaceReclaimed"))
    }

    private static func removeImages(_ call: Invocation) throws {
        var query: [(String, String)] = []
        if call.bool("force") { query.append(("force", "1")) }
        if call.bool("no-prune") { query.append(("noprune", "1")) }
        for platform in call.list("platform") { query.append(("platforms", try Platform(platform).json.text)) }
        let engine = try call.engine
        var failures: [String] = []
        var isFatal = false
        for name in call.arguments {
            do {
                for entry in try engine.json("DELETE", "/images/\(percentEncoded(name, keeping: "/:@"))", query: query).arrayValue ?? [] {
                    call.print(entry.string("Deleted").isEmpty ? "Untagged: \(entry.string("Untagged"))" : "Deleted: \(entry.string("Deleted"))")
                }
            } catch {
                if (error as? EngineFailure)?.status != 404 { isFatal = true }
                failures.append(Main.describe(error).message)
            }
        }
        if failures.isEmpty { return }
        if !call.bool("force") || isFatal { throw CommandFailure(failures.joined(separator: "\n")) }
        call.printError(failures.joined(separator: "\n"))
    }

    private static func showHistory(_ call: Invocation) throws {
        let human = call.bool("human")
        let truncating = !call.bool("no-trunc")
        let query = call.string("platform").isEmpty ? [] : [("platform", try Platform(call.string("platform")).json.text)]
        let layers = try call.engine.json("GET", "/images/\(percentEncoded(call.arguments[0], keeping: "/:@"))/history", query: query).arrayValue ?? []
        let created = human ? "{{.CreatedSince}}" : "{{.CreatedAt}}"
        let listing = Listing.choose(
            given: call.string("format"), table: "{{.ID}}\t\(created)\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}", quiet: call.bool("quiet") ? "{{.ID}}" : nil,
            headers: [
                ("ID", "IMAGE"), ("CreatedSince", "CREATED"), ("CreatedAt", "CREATED AT"), ("CreatedBy", "CREATED BY"), ("Size", "SIZE"), ("Comment", "COMMENT"),
            ])
        let rows = layers.map { layer -> TemplateRow in
            let createdAt = layer.int("Created")
            let by = layer.string("CreatedBy").replacing("\t", with: " ")
            return TemplateRow(
                typeName: "*image.historyContext",
                fields: [
                    ("ID", { .string(truncating ? Shortening.id(layer.string("Id")) : layer.string("Id")) }),
                    ("CreatedAt", { .string(Timestamp(seconds: createdAt).rfc3339) }),
                    ("CreatedSince", { .string(human ? (createdAt <= 0 ? "N/A" : ContainerRow.ago(createdAt)) : Timestamp(seconds: createdAt).rfc3339) }),
                    ("CreatedBy", { .string(truncating ? Shortening.ellipsis(by, 45) : by) }),
                    ("Size", { .string(human ? Sizes.human(layer.double("Size"), precision: 3) : String(layer.int("Size"))) }),
                    ("Comment", { .string(layer.string("Comment")) }),
                ])
        }
        call.client.out.write(try listing.render(rows))
    }
}
