/// `image policy`: what the engine would remove of its images by itself, and having it done now. Docker has no such command.
enum ImagePolicyCommand {
    static let command = Command(
        name: "policy", synopsis: "[OPTIONS]", summary: "Show what the engine would remove of its unused images, or have it done", arguments: .none,
        flags: [
            .string("format", "Format output using a Go template, or \"json\""), .bool("force", "f", "Do not prompt for confirmation"),
            .string("high", "High watermark in place of the engine's: a percentage of the disk or a size"),
            .string("low", "Low watermark in place of the engine's"), .string("min-age", "Minimum age in place of the engine's (e.g. \"12h\")"), .noTrunc,
            .list("pin", "Leave images with this label too (LABEL or LABEL=VALUE)"), .bool("run", "Remove the images now"),
        ],
        details: "Shows what the engine's image policy would remove now, in that order, and why other images stay.\nNothing is removed without --run.", run: run)

    private static func run(_ call: Invocation) throws {
        var query = ["high", "low", "min-age"].filter { !call.string($0).isEmpty }.map { ($0, call.string($0)) }
        query += call.list("pin").map { ("pin", $0) }
        let isRun = call.bool("run")
        if isRun, !call.bool("force"), !call.client.confirm("WARNING! This will remove the images that \(call.client.program) image policy shows.\nAre you sure you want to continue?") { return }
        let report: JSONValue
        do { report = try call.engine.json(isRun ? "POST" : "GET", "/images/policy", query: query) } catch let failure as EngineFailure where failure.status == 404 {
            throw CommandFailure("this engine has no image policy: it is no berthd")
        }
        let format = call.string("format")
        guard format.isEmpty || format == "table" else {
            call.client.out.write(try Listing(format: format, headers: []).render([TemplateRow(typeName: "*policy.Report", fields: fields(report))]))
            return
        }
        call.client.out.write(try text(report, isRun: isRun, truncating: !call.bool("no-trunc")))
    }

    private static func fields(_ report: JSONValue) -> [(name: String, value: () -> JSONValue)] { (report.objectValue?.members ?? []).map { member in (member.key, { member.value }) } }

    private static func text(_ report: JSONValue, isRun: Bool, truncating: Bool) throws -> String {
        guard !report.string("High").isEmpty else { return "The image policy is off: no high watermark is set (image-policy-high).\n" }
        let before = report["Before"] ?? .null
        let (used, total) = (before.int("UsedBytes"), before.int("TotalBytes"))
        let percent = total > 0 ? Double(used * 1000 / total) / 10 : 0
        var head = TableWriter().align(
            """
            Watermarks:\thigh \(mark(report.string("High"))), low \(mark(report.string("Low")))
            Minimum age:\t\(report.string("MinimumAge"))
            Pins:\t\(report.strings("Pins").joined(separator: ", "))
            Disk:\t\(percent)% used (\(Sizes.human(Double(used))) of \(Sizes.human(Double(total))))
            Images:\t\(Sizes.human(Double(before.int("ImageBytes"))))
            Images that stay:\t\(report.int("InUse")) in use, \(report.int("Pinned")) pinned, \(report.int("Young")) younger than the minimum age

            """)
        let images = report.array("Images")
        guard !images.isEmpty else {
            return head + (report.bool("IsOverHigh") ? "\nAbove the high watermark, and no image may be removed.\n" : "\nNothing to remove.\n")
        }
        let rows = images.map { image in
            let names = image.strings("RepoTags")
            let seen = Timestamp(rfc3339: image.string("LastUsed")).map { ContainerRow.ago($0.seconds) } ?? "N/A"
            return "\(truncating ? Shortening.id(image.string("Id")) : image.string("Id"))\t\(names.isEmpty ? "<none>" : names.joined(separator: ","))\t\(seen)\t\(Sizes.human(Double(image.int("Bytes"))))\n"
        }
        head += "\n" + TableWriter().align("IMAGE ID\tNAMES\tLAST USED\tSIZE\n" + rows.joined())
        let bytes = images.reduce(0) { $0 + $1.int("Bytes") }
        if isRun {
            let reclaimed = max(0, before.int("ImageBytes") - (report["After"] ?? .null).int("ImageBytes"))
            return head + "\nRemoved \(report.array("Deleted").filter { !$0.string("Deleted").isEmpty }.count) images. Total reclaimed space: \(Sizes.human(Double(reclaimed)))\n"
        }
        let missing = report.int("MissingBytes")
        return head + "\nWould remove \(images.count) images and reclaim \(Sizes.human(Double(bytes)))\(missing > 0 ? "; \(Sizes.human(Double(missing))) above the low watermark would be left" : "").\n"
    }

    private static func mark(_ text: String) -> String { text.hasSuffix("%") ? text : Double(text).map { Sizes.human($0) } ?? text }
}
