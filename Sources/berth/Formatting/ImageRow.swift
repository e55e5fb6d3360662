/// An image of `GET /images/json`; one row for each of its tags.
enum ImageRow {
    private static let created = "{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}"
    static let table = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t\(created)\t{{.Size}}"
    static let tableWithDigests = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t\(created)\t{{.Size}}"

    static let headers: [(field: String, title: String)] = [
        ("ID", "IMAGE ID"), ("Repository", "REPOSITORY"), ("Tag", "TAG"), ("Digest", "DIGEST"), ("CreatedSince", "CREATED"), ("CreatedAt", "CREATED AT"),
        ("Size", "SIZE"), ("Containers", "CONTAINERS"), ("VirtualSize", "SIZE"), ("SharedSize", "SHARED SIZE"), ("UniqueSize", "UNIQUE SIZE"),
    ]

    static func listing(given: String, quiet: Bool, digests: Bool) -> Listing {
        if given == "raw" {
            let raw =
                "repository: {{ .Repository }}\ntag: {{.Tag}}\n" + (digests ? "digest: {{.Digest}}\n" : "")
                + "image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n"
            return Listing(format: quiet ? "image_id: {{.ID}}" : raw, headers: headers)
        }
        let isDefault = given.isEmpty || given == "table"
        let base = isDefault ? (quiet ? "{{.ID}}" : "table " + (digests ? tableWithDigests : table)) : given
        let missesDigest = !isDefault && digests && base.hasPrefix("table") && !base.contains("{{.Digest}}")
        return Listing(format: base + (missesDigest ? "\t{{.Digest}}" : ""), headers: headers)
    }

    static func rows(_ image: JSONValue, truncating: Bool, digests: Bool) -> [TemplateRow] {
        if isDangling(image) { return [make(image, repository: "<none>", tag: "<none>", digest: "<none>", truncating: truncating)] }
        var repositories: [String] = []
        var tags: [String: [String]] = [:]
        for text in image.strings("RepoTags") {
            guard let reference = try? ImageReference(text), let tag = reference.tag else { continue }
            if !repositories.contains(reference.familiarName) { repositories.append(reference.familiarName) }
            tags[reference.familiarName, default: []].append(tag)
        }
        var known: [String: [String]] = [:]
        for text in image.strings("RepoDigests") {
            guard let reference = try? ImageReference(text), let digest = reference.digest else { continue }
            if !repositories.contains(reference.familiarName) { repositories.append(reference.familiarName) }
            known[reference.familiarName, default: []].append(digest)
        }
        return repositories.flatMap { repository -> [TemplateRow] in
            func row(_ tag: String, _ digest: String) -> TemplateRow {
                make(image, repository: repository, tag: tag, digest: digest, truncating: truncating)
            }
            let found = known[repository] ?? []
            guard let tags = tags[repository] else { return digests ? found.map { row("<none>", $0) } : [row("<none>", "")] }
            return tags.flatMap { tag in digests && !found.isEmpty ? found.map { row(tag, $0) } : [row(tag, "<none>")] }
        }
    }

    static func isDangling(_ image: JSONValue) -> Bool {
        let (tags, digests) = (image.strings("RepoTags"), image.strings("RepoDigests"))
        return tags.isEmpty && digests.isEmpty || tags == ["<none>:<none>"] && digests == ["<none>@<none>"]
    }

    static func make(_ image: JSONValue, repository: String, tag: String, digest: String, truncating: Bool) -> TemplateRow {
        let (size, shared, containers) = (image.int("Size"), image["SharedSize"]?.intValue ?? -1, image["Containers"]?.intValue ?? -1)
        return TemplateRow(
            typeName: "*formatter.imageContext",
            fields: [
                ("ID", { .string(truncating ? Shortening.id(image.string("Id")) : image.string("Id")) }),
                ("Repository", { .string(repository) }), ("Tag", { .string(tag) }), ("Digest", { .string(digest) }),
                ("CreatedSince", { .string(ContainerRow.ago(image.int("Created"))) }),
                ("CreatedAt", { .string(Timestamp(seconds: image.int("Created")).goString) }),
                ("Size", { .string(Sizes.human(Double(size), precision: 3)) }),
                ("Containers", { .string(containers == -1 ? "N/A" : String(containers)) }),
                ("VirtualSize", { .string(Sizes.human(Double(size))) }),
                ("SharedSize", { .string(shared == -1 ? "N/A" : Sizes.human(Double(shared))) }),
                ("UniqueSize", { .string(size == -1 || shared == -1 ? "N/A" : Sizes.human(Double(size - shared))) }),
            ])
    }
}
