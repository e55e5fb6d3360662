/// The answer of `GET /system/df`: four summaries, or every object with its size.
struct DiskUsage {
    static let table = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"
    static let raw = "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}\n"
    static let headers: [(field: String, title: String)] = [
        ("Type", "TYPE"), ("TotalCount", "TOTAL"), ("Active", "ACTIVE"), ("Size", "SIZE"), ("Reclaimable", "RECLAIMABLE"),
    ]

    private let usage: JSONValue
    private let images: [JSONValue]
    private let containers: [JSONValue]
    private let volumes: [JSONValue]
    private let cache: [JSONValue]

    init(_ usage: JSONValue) {
        self.usage = usage
        (images, containers, volumes, cache) = (usage.array("Images"), usage.array("Containers"), usage.array("Volumes"), usage.array("BuildCache"))
    }

    var summary: [TemplateRow] { [imageSummary, containerSummary, volumeSummary, cacheSummary] }

    private var cacheSize: Int64 { cache.filter { !$0.bool("Shared") }.reduce(0) { $0 + $1.int("Size") } }

    private func row(_ type: String, _ name: String, total: Int, active: Int, size: Int64, reclaimable: String) -> TemplateRow {
        TemplateRow(
            typeName: "*formatter.\(name)",
            fields: [
                ("Type", { .string(type) }), ("TotalCount", { .string(String(total)) }), ("Active", { .string(String(active)) }),
                ("Size", { .string(Sizes.human(Double(size))) }), ("Reclaimable", { .string(reclaimable) }),
            ])
    }

    private static func share(_ part: Int64, of total: Int64) -> String {
        Sizes.human(Double(part)) + (total > 0 ? " (\(part * 100 / total)%)" : "")
    }

    private var imageSummary: TemplateRow {
        let total = usage.int("LayersSize")
        let used = images.filter { $0.int("Containers") != 0 && $0.int("Size") != -1 && $0.int("SharedSize") != -1 }
            .reduce(0) { $0 + $1.int("Size") - $1.int("SharedSize") }
        return row(
            "Images", "diskUsageImagesContext", total: images.count, active: images.count { $0.int("Containers") > 0 }, size: total,
            reclaimable: DiskUsage.share(total - used, of: total))
    }

    private var containerSummary: TemplateRow {
        func isActive(_ container: JSONValue) -> Bool { ["running", "paused", "restarting"].contains(container.string("State")) }
        let total = containers.reduce(0) { $0 + $1.int("SizeRw") }
        let idle = containers.filter { !isActive($0) }.reduce(0) { $0 + $1.int("SizeRw") }
        return row(
            "Containers", "diskUsageContainersContext", total: containers.count, active: containers.count(where: isActive), size: total,
            reclaimable: DiskUsage.share(idle, of: total))
    }

    private var volumeSummary: TemplateRow {
        let known = volumes.compactMap { $0["UsageData"] }.filter { $0.int("Size") != -1 }
        let total = known.reduce(0) { $0 + $1.int("Size") }
        let idle = known.filter { $0.int("RefCount") == 0 }.reduce(0) { $0 + $1.int("Size") }
        return row(
            "Local Volumes", "diskUsageVolumesContext", total: volumes.count, active: volumes.count { ($0["UsageData"]?.int("RefCount") ?? 0) > 0 },
            size: total, reclaimable: DiskUsage.share(idle, of: total))
    }

    private var cacheSummary: TemplateRow {
        let inUse = cache.filter { $0.bool("InUse") && !$0.bool("Shared") }.reduce(0) { $0 + $1.int("Size") }
        return row(
            "Build Cache", "diskUsageBuilderContext", total: cache.count, active: cache.count { $0.bool("InUse") }, size: cacheSize,
            reclaimable: Sizes.human(Double(cacheSize - inUse)))
    }

    private func imageRows(truncating: Bool) -> [TemplateRow] {
        images.map { image in
            var (repository, tag) = ("<none>", "<none>")
            if !ImageRow.isDangling(image), let first = image.strings("RepoTags").first, let reference = try? ImageReference(first), let found = reference.tag {
                (repository, tag) = (reference.familiarName, found)
            }
            return ImageRow.make(image, repository: repository, tag: tag, digest: "", truncating: truncating)
        }
    }

    private func containerRows(truncating: Bool) -> [TemplateRow] {
        containers.map { container in
            var object = container.objectValue ?? JSONObject()
            object["SizeRootFs"] = 0
            return ContainerRow.make(.object(object), truncating: truncating)
        }
    }

    private func cacheRows(truncating: Bool) -> [TemplateRow] {
        cache.map { record in
            func age(_ key: String) -> String {
                guard let time = Timestamp(rfc3339: record.string(key)) else { return "" }
                return Durations.human(nanoseconds: Timestamp.now().nanoseconds(since: time)) + " ago"
            }
            let id = record.string("ID")
            return TemplateRow(
                typeName: "*formatter.buildCacheContext",
                fields: [
                    ("ID", { .string((truncating ? Shortening.id(id) : id) + (record.bool("InUse") ? "*" : "")) }), ("CacheType", { .string(record.string("Type")) }),
                    ("Size", { .string(Sizes.human(record.double("Size"), precision: 3)) }), ("CreatedSince", { .string(age("CreatedAt")) }),
                    ("LastUsedSince", { .string(age("LastUsedAt")) }), ("UsageCount", { .string(String(record.int("UsageCount"))) }),
                    ("Shared", { .string(record.bool("Shared") ? "true" : "false") }), ("InUse", { .string(record.bool("InUse") ? "true" : "false") }),
                    ("Description", { .string(record.string("Description")) }), ("Parent", { .string(record.string("Parent")) }),
                ])
        }
    }

    /// Every object: four tables, or a template over `.Images`, `.Containers`, `.Volumes` and `.BuildCache`.
    func verbose(_ format: String) throws -> String {
        if !format.isEmpty, format != "table" {
            let value = JSONValue.object(JSONObject([
                ("Images", .array(imageRows(truncating: false).map(\.json))), ("Containers", .array(containerRows(truncating: false).map(\.json))),
                ("Volumes", .array(volumes.map { VolumeRow.make($0).json })), ("BuildCache", .array(cacheRows(truncating: false).map(\.json))),
            ]))
            do { return try Template(format == "json" ? "{{json .}}" : format).render(.json(value)) } catch let error as TemplateError {
                throw CommandFailure("template parsing error: \(error.message)")
            }
        }
        func table(_ columns: String, _ headers: [(field: String, title: String)], _ rows: [TemplateRow]) throws -> String {
            try Listing(format: "table " + columns, headers: headers).render(rows)
        }
        let cacheHeaders: [(field: String, title: String)] = [
            ("ID", "CACHE ID"), ("CacheType", "CACHE TYPE"), ("Size", "SIZE"), ("CreatedSince", "CREATED"), ("LastUsedSince", "LAST USED"),
            ("UsageCount", "USAGE"), ("Shared", "SHARED"),
        ]
        return "Images space usage:\n\n"
            + (try table(
                "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}", ImageRow.headers,
                imageRows(truncating: true))) + "\nContainers space usage:\n\n"
            + (try table(
                "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}", ContainerRow.headers,
                containerRows(truncating: true))) + "\nLocal Volumes space usage:\n\n"
            + (try table("{{.Name}}\t{{.Links}}\t{{.Size}}", VolumeRow.headers, volumes.map(VolumeRow.make)))
            + "\nBuild cache usage: \(Sizes.human(Double(cacheSize)))\n\n"
            + (try table(
                "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}", cacheHeaders, cacheRows(truncating: true)))
    }
}
