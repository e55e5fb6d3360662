import DockerAPI
import OCISpec

/// `docker images` and `docker image inspect`.
extension ImageService {
    struct ListOptions: Sendable {
        /// Steps of builds too: images without a name that another one was made on.
        var all = false
        var sharedSize = false
        var manifests = false
    }

    static let listFilters: Set<String> = ["before", "dangling", "label", "label!", "reference", "since", "until"]

    /// One target with everything about it that lists show.
    struct Entry: Sendable {
        var target: OCISpec.Descriptor
        /// In their order.
        var names: [ImageStoreClient.Named]
        var facts: ImageFacts

        var id: String { target.digest.description }
        var hasName: Bool { names.contains { !ImageService.isDangling($0.name) } }
        /// The image that a build made it on.
        var parent: String? { names.lazy.compactMap { $0.labels[BuildCache.parentLabel] }.first }
        /// When it came here first.
        var arrived: WallClock { names.map(\.created).min() ?? WallClock(seconds: 0, nanoseconds: 0) }
        /// When it was last pulled, loaded or tagged.
        var updated: WallClock { names.map(\.updated).max() ?? WallClock(seconds: 0, nanoseconds: 0) }
    }

    /// Every image that is here.
    func entries() async throws -> [Entry] {
        let groups = Dictionary(grouping: try await client.list()) { $0.target.digest }.values.map { $0.sorted { $0.name < $1.name } }
        let targets = groups.map { names in (target: names[0].target, updated: names.map(\.updated).max() ?? names[0].updated) }
        let facts = try await catalog.facts(targets)
        return zip(groups, facts).map { Entry(target: $0[0].target, names: $0, facts: $1) }
    }

    /// One entry for each target, newest first.
    func list(_ filters: ListFilters, options: ListOptions) async throws -> [ImageSummary] {
        summaries(try await filtered(filters, all: options.all), options: options)
    }

    func summaries(_ entries: [(Entry, tags: [String])], options: ListOptions) -> [ImageSummary] {
        let users = options.manifests ? ImageUserIndex(users.imageUsers()) : ImageUserIndex(counts: users.imageUserCounts())
        var summaries: [ImageSummary] = []
        summaries.reserveCapacity(entries.count)
        for (entry, tags) in entries { summaries.append(summarize(entry, tags: tags, users: users, manifests: options.manifests)) }
        if options.sharedSize { Self.fillSharedSizes(&summaries, entries.map(\.0)) }
        return summaries.sorted { ($1.Created ?? 0, $0.Id) < ($0.Created ?? 0, $1.Id) }
    }

    /// The images that the filters let through, with those of their tags that do.
    private func filtered(_ filters: ListFilters, all: Bool) async throws -> [(Entry, tags: [String])] {
        let dangling = try filters.boolean("dangling")
        let until = try filters.until(severally: true)
        let before = try await moment(filters["before"]), since = try await moment(filters["since"])
        let patterns = filters["reference"]
        var result: [(Entry, tags: [String])] = []
        let entries = try await entries()
        let parents = all ? [] : Set(entries.compactMap(\.parent))
        for entry in entries {
            if !entry.hasName, parents.contains(entry.id) { continue }
            var tags = Self.tags(entry.names)
            if let dangling, dangling != tags.isEmpty { continue }
            if !patterns.isEmpty {
                tags.removeAll { tag in !patterns.contains { ReferencePattern.matches($0, tag) } }
                if tags.isEmpty { continue }
            }
            if let until, entry.arrived >= until { continue }
            if let before { guard let created = entry.facts.created, created < before else { continue } }
            if let since { guard let created = entry.facts.created, created > since else { continue } }
            guard filters.matchesLabels(entry.facts.labels) else { continue }
            var shown = entry
            // Of an image with several names only those that were asked for are shown, digests included.
            if !patterns.isEmpty { shown.names.removeAll { named in !Self.tags([named]).contains(where: tags.contains) } }
            result.append((shown, tags))
        }
        return result
    }

    private func moment(_ references: Set<String>) async throws -> WallClock? {
        guard let reference = references.first else { return nil }
        return try await best(of: reference, for: ImagePlatform.host, strictly: false).value?.config?.created.flatMap { WallClock(rfc3339: $0) }
    }

    /// What several images have in common, counted for each of them.
    private static func fillSharedSizes(_ summaries: inout [ImageSummary], _ entries: [Entry]) {
        var count: [ImageFacts.Part: Int] = [:]
        for entry in entries { for part in entry.facts.parts.keys { count[part, default: 0] += 1 } }
        for (index, entry) in entries.enumerated() {
            summaries[index].SharedSize = entry.facts.parts.reduce(0) { $0 + (count[$1.key, default: 0] > 1 ? $1.value : 0) }
        }
    }

    /// Names that users gave, as they write them.
    static func tags(_ names: [ImageStoreClient.Named]) -> [String] {
        names.filter { !isDangling($0.name) }.map { $0.reference?.familiar ?? $0.name }
    }

    /// `NAME@DIGEST` for every repository.
    static func repositoryDigests(_ names: [ImageStoreClient.Named]) -> [String] {
        var result: [String] = []
        for named in names where !isDangling(named.name) {
            guard let reference = named.reference else { continue }
            let text = "\(reference.familiarName)@\(named.target.digest)"
            if !result.contains(text) { result.append(text) }
        }
        return result
    }

    private func summarize(_ entry: Entry, tags: [String], users: ImageUserIndex, manifests: Bool) -> ImageSummary {
        let facts = entry.facts
        var summary = ImageSummary()
        summary.Id = entry.id
        summary.ParentId = entry.parent ?? ""
        summary.RepoTags = tags
        summary.RepoDigests = Self.repositoryDigests(entry.names)
        summary.SharedSize = -1
        summary.Size = facts.size
        summary.Created = facts.best == nil ? 0 : facts.created?.seconds ?? 0
        summary.Labels = facts.labels.isEmpty ? nil : facts.labels
        summary.Containers = Int64(users.count(of: facts.variants))
        summary.Descriptor = DockerAPI.Descriptor(entry.target)
        if manifests { summary.Manifests = Self.describe(facts, users: users) }
        return summary
    }

    static func describe(_ facts: ImageFacts, users: ImageUserIndex) -> [ImageSummary.Manifest] {
        zip(facts.variants, facts.unpacked).map { variant, unpacked in
            var item = ImageSummary.Manifest()
            item.ID = variant.descriptor.digest.description
            item.Descriptor = DockerAPI.Descriptor(variant.descriptor)
            item.Available = variant.isAvailable
            item.Kind = variant.kind.rawValue
            var size = ImageSummary.Manifest.Sizes()
            size.Content = variant.contentSize
            size.Total = variant.contentSize + unpacked
            item.Size = size
            switch variant.kind {
            case .image:
                var data = ImageSummary.Manifest.ImageData()
                data.Platform = (variant.descriptor.platform ?? variant.platform).map { DockerAPI.Descriptor.Platform($0) }
                data.Containers = users.containers(of: variant)
                var sizes = ImageSummary.Manifest.ImageData.Unpacked()
                sizes.Unpacked = unpacked
                data.Size = sizes
                item.ImageData = data
            case .attestation:
                item.AttestationData = variant.descriptor.annotations["vnd.docker.reference.digest"].map { ImageSummary.Manifest.Attestation(For: $0) }
            case .unknown: break
            }
            return item
        }
    }

    // MARK: - Inspect

    func inspect(_ reference: String, platform wanted: Platform?, manifests: Bool) async throws -> ImageInspect {
        func fitting(_ facts: ImageFacts) -> ImageVariant? { wanted.map { ImageCatalog.best(facts.variants, for: $0, strictly: true) } ?? facts.best }
        let (found, facts) = try await reading(reference, isWhole: { fitting($0)?.isAvailable == true }) { found in
            try await catalog.facts([(found.target, found.names.map(\.updated).max() ?? WallClock.now())])[0]
        }
        let variants = facts.variants, best = fitting(facts)
        if let wanted, best == nil {
            throw ImagePlatform.isMissing(wanted, of: reference)
        }
        var answer = ImageInspect()
        let target = wanted == nil ? found.target : best?.descriptor ?? found.target
        answer.Id = target.digest.description
        answer.RepoTags = Self.tags(found.names)
        answer.RepoDigests = Self.repositoryDigests(found.names)
        answer.Parent = found.names.lazy.compactMap { $0.labels[BuildCache.parentLabel] }.first ?? ""
        answer.DockerVersion = ""
        answer.Descriptor = DockerAPI.Descriptor(target)
        answer.Comment = best?.config?.history.last?.comment ?? ""
        answer.Created = best?.config?.created
        answer.Author = best?.config?.author ?? ""
        answer.Config = best?.config.map { ContainerConfig($0.config) }
        answer.Architecture = best?.config?.architecture ?? ""
        answer.Variant = best?.config?.variant
        answer.Os = best?.config?.os ?? ""
        answer.OsVersion = best?.config?.osVersion
        if let best {
            answer.Size = best.contentSize + zip(variants, facts.unpacked).reduce(0) { $0 + ($1.0.descriptor.digest == best.descriptor.digest ? $1.1 : 0) }
        } else {
            answer.Size = variants.reduce(0) { $0 + $1.contentSize }
        }
        answer.GraphDriver = DriverData(Name: client.snapshotter, Data: nil)
        var rootfs = ImageInspect.RootFSInfo()
        rootfs.Type = "layers"
        rootfs.Layers = best?.config?.rootfs.diffIDs.map(\.description)
        answer.RootFS = rootfs
        var metadata = ImageInspect.MetadataInfo()
        metadata.LastTagTime = (found.names.map(\.updated).max() ?? WallClock(seconds: 0, nanoseconds: 0)).rfc3339
        answer.Metadata = metadata
        if manifests { answer.Manifests = Self.describe(facts, users: ImageUserIndex(users.imageUsers())) }
        return answer
    }

    // MARK: - History

    func history(_ reference: String, platform wanted: Platform?) async throws -> [ImageHistoryItem] {
        let (found, variant) = try await best(of: reference, for: wanted ?? ImagePlatform.host, strictly: wanted != nil)
        guard let best = variant, let config = best.config else {
            throw ImagePlatform.isMissing(wanted ?? ImagePlatform.host, of: reference)
        }
        var chains = best.chainIDs[...]
        var items: [ImageHistoryItem] = []
        for step in config.history {
            var item = ImageHistoryItem()
            item.Id = "<missing>"
            item.Created = step.created.flatMap { WallClock(rfc3339: $0)?.seconds } ?? 0
            item.CreatedBy = step.createdBy ?? ""
            item.Comment = step.comment ?? ""
            item.Size = 0
            if step.emptyLayer != true, let chain = chains.popFirst() { item.Size = try await catalog.layerSize(chain) }
            items.append(item)
        }
        items.reverse()
        if !items.isEmpty {
            items[0].Id = found.id
            items[0].Tags = Self.tags(found.names)
        }
        // Of what a build made here, the steps are known.
        var names = found.names
        for index in items.indices.dropFirst() {
            guard let parent = names.lazy.compactMap({ $0.labels[BuildCache.parentLabel] }).first, let digest = try? OCISpec.Digest(parsing: parent) else { break }
            names = try await client.list(target: digest)
            guard !names.isEmpty else { break }
            items[index].Id = parent
            items[index].Tags = Self.tags(names)
        }
        return items
    }
}

/// The filter `reference=` of `docker images`: Go's path.Match over the familiar name, with or without the tag.
enum ReferencePattern {
    static func matches(_ pattern: String, _ tag: String) -> Bool {
        let name = (try? ImageReference(parsing: tag))?.familiarName ?? tag
        return glob(pattern[...], tag[...]) || glob(pattern[...], name[...])
    }

    /// The same for the name of a file.
    static func matchesName(_ pattern: String, _ name: String) -> Bool { glob(pattern[...], name[...]) }

    /// `*` and `?` stop at slashes; `[a-z]` is a set.
    private static func glob(_ pattern: Substring, _ text: Substring) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        switch first {
        case "*":
            if glob(pattern.dropFirst(), text) { return true }
            guard let next = text.first, next != "/" else { return false }
            return glob(pattern, text.dropFirst())
        case "?":
            guard let next = text.first, next != "/" else { return false }
            return glob(pattern.dropFirst(), text.dropFirst())
        case "[":
            guard let end = pattern.firstIndex(of: "]"), let next = text.first else { return false }
            var set = pattern[pattern.index(after: pattern.startIndex)..<end]
            let isNegated = set.first == "^"
            if isNegated { set = set.dropFirst() }
            var hit = false
            while let low = set.popFirst() {
                if set.first == "-", set.count > 1 {
                    set.removeFirst()
                    if let high = set.popFirst(), low <= next, next <= high { hit = true }
                } else if low == next {
                    hit = true
                }
            }
            return hit != isNegated && glob(pattern[pattern.index(after: end)...], text.dropFirst())
        case "\\" where pattern.count > 1: return text.first == pattern.dropFirst().first && glob(pattern.dropFirst(2), text.dropFirst())
        default: return text.first == first && glob(pattern.dropFirst(), text.dropFirst())
        }
    }
}
