/// `commit` and `export`.
enum CommitCommands {
    static let commit = Command(
        name: "commit", synopsis: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]", summary: "Create a new image from a container's changes",
        arguments: .between(1, 2),
        flags: [
            .string("author", "a", "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")"),
            .list("change", "c", "Apply Dockerfile instruction to the created image"), .string("message", "m", "Commit message"),
            .bool("pause", "p", default: true, "Pause container during commit"),
        ], interspersed: false, aliases: ["container commit", "commit"]
    ) { call in
        var query = [("container", call.arguments[0])]
        if call.arguments.count == 2, !call.arguments[1].isEmpty {
            let reference = try ImageReference(call.arguments[1])
            if reference.digest != nil { throw CommandFailure("refusing to create a tag with a digest reference") }
            query += [("repo", reference.familiarName), ("tag", reference.tag ?? "latest")]
        }
        query += [("comment", call.string("message")), ("author", call.string("author"))]
        query += call.list("change").map { ("changes", $0) }
        if !call.bool("pause") { query.append(("pause", "0")) }
        call.print(try call.engine.json("POST", "/commit", query: query, body: .json(.null)).string("Id"))
    }

    static let export = Command(
        name: "export", synopsis: "[OPTIONS] CONTAINER", summary: "Export a container's filesystem as a tar archive", arguments: .exactly(1),
        flags: [.string("output", "o", "Write to a file, instead of STDOUT")], aliases: ["container export", "export"]
    ) { call in
        try ArchiveOutput.write(call, failing: "failed to export container") { try call.engine.open("GET", call.containerPath(call.arguments[0], "/export")) }
    }
}
