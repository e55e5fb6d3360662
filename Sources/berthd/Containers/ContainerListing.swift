import DockerAPI

/// `GET /containers/json`: which containers, in which order. Newest first.
struct ContainerListing: Sendable {
    static let filters: Set<String> = [
        "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "label!", "name", "network", "publish", "since", "status", "volume",
    ]
    private static let states = ["created", "running", "paused", "restarting", "removing", "exited", "dead"]
    private static let healths = ["none", "starting", "healthy", "unhealthy"]

    let environment: ContainerEnvironment

    func list(all: Bool, limit: Int, size: Bool, before: String?, since: String?, filters: ListFilters, version: APIVersion) async throws -> [ContainerSummary] {
        let store = environment.store
        for status in filters["status"] where !Self.states.contains(status) {
            throw DaemonError.invalid("invalid filter 'status=\(status)': invalid value for state (\(status)): must be one of \(Self.states.joined(separator: ", "))")
        }
        for health in filters["health"] where !Self.healths.contains(health) {
            throw DaemonError.invalid("invalid filter 'health=\(health)': invalid value for health (\(health)): must be one of \(Self.healths.joined(separator: ", "))")
        }
        let exited = try filters["exited"].map { text in
            guard let code = Int(text) else { throw DaemonError.invalid("invalid filter 'exited=\(text)': strconv.Atoi: parsing \"\(text)\": invalid syntax") }
            return code
        }
        var ancestors: Set<String>?
        if !filters["ancestor"].isEmpty {
            ancestors = []
            for name in filters["ancestor"] { if let id = try? await environment.images.identify(name) { ancestors?.insert(id) } }
        }
        let isTask = try filters.boolean("is-task")
        let expose = try ports(filters["expose"], name: "expose")
        let publish = try ports(filters["publish"], name: "publish")
        let newerThan = try (filters["since"].first ?? since).map { try store.find($0).record.created }
        let olderThan = try (filters["before"].first ?? before).map { try store.find($0).record.created }
        let showsAll = all || !filters["status"].isEmpty || limit > 0

        let candidates = store.all.map { ($0, $0.record) }.sorted { $0.1.created > $1.1.created }
        let linkNames = store.linkNames
        var imageNames = ImageNames(images: environment.images)
        var result: [ContainerSummary] = []
        for (container, record) in candidates {
            if let newerThan, record.created <= newerThan { continue }
            if let olderThan, record.created >= olderThan { continue }
            let lifecycle = record.lifecycle
            guard showsAll || lifecycle.isRunning || lifecycle.isRestarting, isTask != true else { continue }
            guard filters.matchesPattern("name", record.name, "/" + record.name), filters.matches("id", { record.id.hasPrefix($0) }),
                filters.matchesLabels(record.config.Labels ?? [:]), filters.matches("status", { $0 == lifecycle.statusName }),
                filters.matches("health", { $0 == container.health?.status ?? "none" })
            else { continue }
            if !exited.isEmpty, !exited.contains(lifecycle.exitCode) || lifecycle.isRunning || lifecycle.startedAt == nil { continue }
            if let ancestors, !ancestors.contains(record.image.id) { continue }
            guard filters.matches("volume", { value in record.mounts.contains { $0.destination == value || ($0.volumeName ?? $0.source) == value } }) else { continue }
            guard filters.matches("network", { value in record.endpoints.contains { $0.key == value } || record.attachment.endpoints.contains { $0.value.NetworkID?.hasPrefix(value) ?? false } })
            else { continue }
            var summary = environment.views.summary(container, version: version, linkNames: linkNames[record.id] ?? [])
            summary.Image = try await imageNames.name(of: record)
            if expose != nil || publish != nil {
                let exposed = Set((record.config.ExposedPorts ?? [:]).keys)
                let isExposed = expose.map { wanted in summary.Ports?.contains { wanted.contains("\($0.PrivatePort)/\($0.Type)") } ?? false || !wanted.isDisjoint(with: exposed) } ?? false
                let isPublished = publish.map { wanted in summary.Ports?.contains { wanted.contains("\($0.PublicPort ?? 0)/\($0.Type)") } ?? false } ?? false
                guard isExposed || isPublished else { continue }
            }
            if size {
                let sizes = try await environment.sizes(of: record)
                (summary.SizeRw, summary.SizeRootFs) = (sizes.own, sizes.whole)
            }
            result.append(summary)
            if limit > 0, result.count == limit { break }
        }
        return result
    }

    /// `80`, `80/udp`, `8000-8010/tcp` → `PORT/PROTO`.
    private func ports(_ values: Set<String>, name: String) throws -> Set<String>? {
        guard !values.isEmpty else { return nil }
        var result: Set<String> = []
        for value in values {
            if value.contains(":") { throw DaemonError.invalid("filter for '\(name)' should not contain ':': \(value)") }
            let parts = value.split(separator: "/", maxSplits: 1)
            let ends = (parts.first ?? "").split(separator: "-").map { UInt16($0) }
            guard let low = ends.first ?? nil, let high = ends.last ?? nil, low <= high, ends.count <= 2 else { throw DaemonError.invalid("error while looking up for \(name) \(value): invalid port") }
            for port in low...high { result.insert("\(port)/\(parts.count > 1 ? String(parts[1]) : "tcp")") }
        }
        return result
    }
}

/// What `ps` shows for a container's image: the name it was made from for as long as that leads to the same image, then the ID.
private struct ImageNames {
    let images: any ImageProviding
    private var ids: [String: String?] = [:]

    init(images: any ImageProviding) { self.images = images }

    mutating func name(of record: ContainerRecord) async throws -> String {
        let name = record.config.Image ?? record.image.reference
        let id: String?
        if let known = ids[name] { id = known } else {
            id = try? await images.identify(name)
            ids[name] = id
        }
        return id == record.image.id ? name : record.image.id
    }
}

extension ContainerEnvironment {
    var views: ContainerViews { ContainerViews(environment: self) }
}
