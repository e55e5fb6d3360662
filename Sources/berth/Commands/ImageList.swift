import DockerAPI

/// `images`, which is `image ls`.
enum ImageList {
    static let list = Command(
        name: "ls", synopsis: "[OPTIONS] [REPOSITORY[:TAG]]", summary: "List images", arguments: .atMost(1),
        flags: [
            .bool("all", "a", "Show all images (default hides intermediate images)"), .bool("digests", "Show digests"), .filter(), .format, .noTrunc,
            .bool("quiet", "q", "Only show image IDs"), .bool("tree", "List multi-platform images as a tree (EXPERIMENTAL)"),
        ], alternatives: ["list"], aliases: ["image ls", "image list", "images"], run: run)

    private static func tree(_ call: Invocation) throws {
        for (flag, said) in [("quiet", "quiet"), ("no-trunc", "no-trunc"), ("digests", "show-digest")] where call.bool(flag) {
            throw CommandFailure("--\(said) is not yet supported with --tree")
        }
        if !call.string("format").isEmpty { throw CommandFailure("--format is not yet supported with --tree") }
        let name = call.arguments.first ?? ""
        var query = call.filters(name.isEmpty ? [] : [("reference", name)]) + [("manifests", "1")]
        if call.bool("all") { query.append(("all", "1")) }
        let images = try call.engine.json("GET", "/images/json", query: query).arrayValue ?? []
        let terminal = LocalTerminal(descriptor: 1)
        call.client.out.write(ImageTree(images, all: call.bool("all"), width: terminal.exists ? terminal.size.width : 0).text)
    }

    private static func run(_ call: Invocation) throws {
        if call.bool("tree") { return try tree(call) }
        let quiet = call.bool("quiet")
        let name = call.arguments.first ?? ""
        var format = call.string("format")
        if format.isEmpty { format = quiet ? "" : call.client.config.format("imagesFormat") }
        let digests = call.bool("digests")
        let listing = ImageRow.listing(given: format, quiet: quiet, digests: digests)
        var query = call.filters(name.isEmpty ? [] : [("reference", name)])
        if call.bool("all") { query.append(("all", "1")) }
        let images = try call.engine.json("GET", "/images/json", query: query).arrayValue ?? []
        let wantsDigests = digests || format.contains("{{.Digest}}")
        let rows = images.flatMap { ImageRow.rows($0, truncating: !call.bool("no-trunc"), digests: wantsDigests) }
        call.client.out.write(try listing.render(rows))
        let verbs = ["build", "history", "import", "inspect", "list", "load", "ls", "prune", "pull", "push", "rm", "save", "tag"]
        if images.isEmpty, call.path.hasSuffix(" images"), verbs.contains(name) {
            call.client.err("\nNo images found matching \(GoText.quoted(name)): did you mean \"\(call.client.program) image \(name)\"?\n")
        }
    }
}
