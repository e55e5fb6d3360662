import DockerAPI
import OCISpec

/// `docker images` and `docker image inspect`.
extension ImageService {
    struct ListOptions: Sendable {
        /// Intermediate images of the classic builder too; Berth makes none.
        var all = false
        var sharedSize = false
        var manifests = false
    }

    static let listFilters: Set<String> = ["before", "dangling", "label", "label!", "reference", "since", "until"]

    /// One entry for each target, newest first.
    func list(_ filters: ListFilters, options: ListOptions) async throws -> [ImageSummary] {
        let dangling = try filters.boolean("dangling")
        let until = try filters.until()
        let before = try await moment(filters["before"]), since = try await moment(filters["since"])
        let patterns = filters["reference"]
        let users = users.imageUsers()
        var summaries: [(summary: ImageSummary, blobs: [OCISpec.Digest: Int64], chains: [OCISpec.Digest])] = []
        for (target, names) in try await grouped() {
            var tags = Self.tags(names)
            if let dangling, dangling != tags.isEmpty { continue }
            if !patterns.isEmpty {
                tags.removeAll { tag in !patterns.contains { ReferencePattern.matches($0, tag) } }
                if tags.isEmpty { continue }
            }
            // Of an image with several names only those that were asked for are shown, digests included.
            let shown = patterns.isEmpty ? names : names.filter { named in Self.tags([named]).contains(where: tags.contains) }
            let variants = try await catalog.variants(of: target)
            let best = ImageCatalog.best(variants, for: ImagePlatform.host)
            let created = best?.config?.created.flatMap { WallClock(rfc3339: $0) } ?? WallClock(seconds: 0, nanoseconds: 0)
            if let until, created >= until { continue }
            if let before, created >= before { continue }
            if let since, created <= since { continue }
            guard filters.matchesLabels(best?.config?.config.labels ?? [:]) else { continue }
            var summary = try await summarize(target, names: shown, variants: variants, users: users)
            summary.RepoTags = tags
            summary.Created = best == nil ? 0 : created.seconds
            summary.Labels = best?.config?.config.labels.isEmpty == false ? best?.config?.config.labels : nil
            if !options.manifests { summary.Manifests = nil }
            var blobs: [OCISpec.Digest: Int64] = [:]
            for variant in variants {
                guard let manifest = variant.manifest else { continue }
                for blob in [variant.descriptor, manifest.config] + manifest.layers { blobs[blob.digest] = blob.size }
            }
            summaries.append((summary, blobs, variants.flatMap(\.chainIDs)))
        }
        if options.sharedSize { try await fillSharedSizes(&summaries) }
        return summaries.map(\.summary).sorted { ($1.Created ?? 0, $0.Id) < ($0.Created ?? 0, $1.Id) }
    }

    private func grouped() async throws -> [(OCISpec.Descriptor, [ImageStoreClient.Named])] {
        Dictionary(grouping: try await client.list()) { $0.target.digest }.values.compactMap { names in names.first.map { ($0.target, names.sorted { $0.name < $1.name }) } }
    }

    private func moment(_ references: Set<String>) async throws -> WallClock? {
        guard let reference = references.first else { return nil }
        let best = try await catalog.best(of: try await find(reference).target, for: ImagePlatform.host)
        return best?.config?.created.flatMap { WallClock(rfc3339: $0) }
    }

    /// What several images have in common, counted for each of them.
    private func fillSharedSizes(_ items: inout [(summary: ImageSummary, blobs: [OCISpec.Digest: Int64], chains: [OCISpec.Digest])]) async throws {
        var count: [OCISpec.Digest: Int] = [:], chainCount: [OCISpec.Digest: Int] = [:]
        for item in items {
            for digest in item.blobs.keys { count[digest, default: 0] += 1 }
            for chain in Set(item.chains) { chainCount[chain, default: 0] += 1 }
        }
        for index in items.indices {
            var shared: Int64 = 0
            for (digest, size) in items[index].blobs where (count[digest] ?? 0) > 1 { shared += size }
            for chain in Set(items[index].chains) where (chainCount[chain] ?? 0) > 1 { shared += try await catalog.layerSize(chain) }
            items[index].summary.SharedSize = shared
        }
    }

    /// Names that users gave, as they write them.
    static func tags(_ names: [ImageStoreClient.Named]) -> [String] {
        names.filter { !isDangling($0.name) }.map { named in (try? ImageReference(parsing: named.name))?.familiar ?? named.name }
    }

    /// `NAME@DIGEST` for every repository.
    static func repositoryDigests(_ names: [ImageStoreClient.Named]) -> [String] {
        var result: [String] = []
        for named in names where !isDangling(named.name) {
            guard let reference = try? ImageReference(parsing: named.name) else { continue }
            let text = "\(reference.familiarName)@\(named.target.digest)"
            if !result.contains(text) { result.append(text) }
        }
        return result
    }

    private func summarize(_ target: OCISpec.Descriptor, names: [ImageStoreClient.Named], variants: [ImageVariant], users: [ImageUser]) async throws -> ImageSummary {
        var summary = ImageSummary()
        summary.Id = target.digest.description
        summary.ParentId = ""
        summary.RepoTags = Self.tags(names)
        summary.RepoDigests = Self.repositoryDigests(names)
        summary.SharedSize = -1
        summary.Descriptor = DockerAPI.Descriptor(target)
        let manifests = try await describe(variants, users: users)
        summary.Manifests = manifests
        summary.Size = manifests.reduce(0) { $0 + ($1.Size?.Total ?? 0) }
        summary.Containers = Int64(users.filter { $0.imageID == summary.Id }.count)
        return summary
    }

    func describe(_ variants: [ImageVariant], users: [ImageUser]) async throws -> [ImageSummary.Manifest] {
        var result: [ImageSummary.Manifest] = []
        for variant in variants {
            let unpacked = try await catalog.unpackedSize(variant)
            var item = ImageSummary.Manifest()
            item.ID = variant.descriptor.digest.description
            item.Descriptor = DockerAPI.Descriptor(variant.descriptor)
            item.Available = variant.isAvailable
            item.Kind = variant.kind.rawValue
            var size = ImageSummary.Manifest.Sizes()
            size.Content = variant.contentSize
            size.Total = variant.contentSize + unpacked
            item.Size = size
            if variant.kind == .image {
                var data = ImageSummary.Manifest.ImageData()
                data.Platform = (variant.descriptor.platform ?? variant.platform).map { DockerAPI.Descriptor.Platform($0) }
                data.Containers = users.filter { $0.manifest == item.ID }.map(\.containerID)
                var sizes = ImageSummary.Manifest.ImageData.Unpacked()
                sizes.Unpacked = unpacked
                data.Size = sizes
                item.ImageData = data
            }
            result.append(item)
        }
        return result
    }

    // MARK: - Inspect

    func inspect(_ reference: String, platform: String?, manifests: Bool) async throws -> ImageInspect {
        let found = try await find(reference)
        let wanted = try platform.flatMap { $0.isEmpty ? nil : $0 }.map { try Self.requestedPlatform($0) }
        let variants = try await catalog.variants(of: found.target)
        let best = ImageCatalog.best(variants, for: wanted ?? ImagePlatform.host, strictly: wanted != nil)
        if let wanted, best == nil {
            throw DaemonError.notFound("image with reference \(reference) was found but does not provide the specified platform (\(ImagePlatform.text(wanted)))")
        }
        var answer = ImageInspect()
        let target = wanted == nil ? found.target : best?.descriptor ?? found.target
        answer.Id = target.digest.description
        answer.RepoTags = Self.tags(found.names)
        answer.RepoDigests = Self.repositoryDigests(found.names)
        answer.Parent = ""
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
            answer.Size = best.contentSize + (try await catalog.unpackedSize(best))
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
        if manifests { answer.Manifests = try await describe(variants, users: users.imageUsers()) }
        return answer
    }

    /// A platform as the API has it: `linux/arm64` of old clients, a JSON object of an OCI platform since 1.48.
    static func requestedPlatform(_ text: String) throws -> Platform {
        guard text.hasPrefix("{") else { return try ImagePlatform.parse(text) }
        let platform = try JSONBody.decode(DockerAPI.Descriptor.Platform.self, from: text)
        return ImagePlatform.normalized(OCISpec.Platform(architecture: platform.architecture ?? "", os: platform.os ?? "", variant: platform.variant))
    }

    // MARK: - History

    func history(_ reference: String, platform: String?) async throws -> [ImageHistoryItem] {
        let found = try await find(reference)
        let wanted = try platform.flatMap { $0.isEmpty ? nil : $0 }.map { try Self.requestedPlatform($0) }
        guard let best = try await catalog.best(of: found.target, for: wanted ?? ImagePlatform.host, strictly: wanted != nil), let config = best.config else {
            throw DaemonError.notFound("image with reference \(reference) was found but does not provide the specified platform (\(ImagePlatform.text(wanted ?? ImagePlatform.host)))")
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
        return items
    }
}

/// The filter `reference=` of `docker images`: Go's path.Match over the familiar name, with or without the tag.
enum ReferencePattern {
    static func matches(_ pattern: String, _ tag: String) -> Bool {
        let name = (try? ImageReference(parsing: tag))?.familiarName ?? tag
        return glob(pattern[...], tag[...]) || glob(pattern[...], name[...])
    }

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
