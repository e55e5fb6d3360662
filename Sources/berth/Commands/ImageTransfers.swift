/// `pull` and `push`.
enum ImageTransfers {
    static let pull = Command(
        name: "pull", synopsis: "[OPTIONS] NAME[:TAG|@DIGEST]", summary: "Download an image from a registry", arguments: .exactly(1),
        flags: [
            .bool("all-tags", "a", "Download all tagged images in the repository"),
            .bool("disable-content-trust", default: true, "Skip image verification"),
            .string("platform", "Set platform if server is multi-platform capable"), .bool("quiet", "q", "Suppress verbose output"),
        ], aliases: ["image pull", "pull"], run: pullImage)

    static let push = Command(
        name: "push", synopsis: "[OPTIONS] NAME[:TAG]", summary: "Upload an image to a registry", arguments: .exactly(1),
        flags: [
            .bool("all-tags", "a", "Push all tags of an image to the repository"), .bool("disable-content-trust", default: true, "Skip image signing"),
            .string(
                "platform",
                "Push a platform-specific manifest as a single-platform image to the registry.\nImage index won't be pushed, meaning that other manifests, including attestations won't be preserved.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)"
            ), .bool("quiet", "q", "Suppress verbose output"),
        ], aliases: ["image push", "push"], run: pushImage)

    /// The reference with the tag that is meant, and whether that tag had to be added.
    private static func reference(_ call: Invocation) throws -> (reference: ImageReference, tag: String?) {
        let reference = try ImageReference(call.arguments[0])
        if !call.bool("disable-content-trust") { throw CommandFailure("content trust is not supported: images cannot be verified or signed") }
        if call.bool("all-tags") {
            if !reference.isNameOnly { throw CommandFailure("tag can't be used with --all-tags/-a") }
            return (reference, nil)
        }
        if reference.isNameOnly, !call.bool("quiet") { call.print("Using default tag: latest") }
        return (reference, reference.digest == nil ? reference.tag ?? "latest" : reference.tag)
    }

    private static func pullImage(_ call: Invocation) throws {
        let (reference, tag) = try reference(call)
        let name = "\(reference.domain)/\(reference.path)"
        var query = [("fromImage", name)]
        if !call.bool("all-tags") { query.append(("tag", reference.digest ?? tag ?? "latest")) }
        if !call.string("platform").isEmpty { query.append(("platform", call.string("platform").lowercased())) }
        let engine = try call.engine
        let response = try engine.open("POST", "/images/create", query: query, headers: RegistryCredentials.header(for: reference.domain, config: call.client.config))
        try show(response, call, isQuiet: call.bool("quiet"))
        engine.release(response)
        call.print(name + (tag.map { ":\($0)" } ?? "") + (reference.digest.map { "@\($0)" } ?? ""))
    }

    private static func pushImage(_ call: Invocation) throws {
        var query: [(String, String)] = []
        if !call.string("platform").isEmpty { query.append(("platform", try Platform(call.string("platform")).json.text)) }
        let (reference, tag) = try reference(call)
        if let tag, !call.bool("all-tags") { query.append(("tag", tag)) }
        let engine = try call.engine
        let response = try engine.open(
            "POST", "/images/\(percentEncoded(reference.familiarName, keeping: "/:"))/push", query: query,
            headers: RegistryCredentials.header(for: reference.domain, config: call.client.config))
        try show(response, call, isQuiet: call.bool("quiet"))
        engine.release(response)
        if call.bool("quiet") { call.print("\(reference.domain)/\(reference.path)" + (tag.map { ":\($0)" } ?? "")) }
    }

    /// Progress on standard output.
    static func show(_ response: HTTPResponse, _ call: Invocation, isQuiet: Bool = false) throws {
        let out = call.client.out
        let terminal = LocalTerminal(descriptor: 1)
        var display = ProgressDisplay(isTerminal: terminal.exists, width: terminal.size.width) { text in
            guard !isQuiet else { return }
            out.write(text)
            if !response.hasBufferedBytes || text.hasSuffix("\r") { out.flush() }
        }
        try display.show(response)
    }
}
