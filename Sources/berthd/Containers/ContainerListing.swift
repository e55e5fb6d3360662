import DockerAPI
import NIOCore

/// `GET /containers/json`: which containers, in which order. Newest first.
struct ContainerListing: Sendable {
    static let filters: Set<String> = [
        "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "label!", "name", "network", "publish", "since", "status", "volume",
    ]
    private static let states = ["created", "running", "paused", "restarting", "removing", "exited", "dead"]
    private static let healths = ["none", "starting", "healthy", "unhealthy"]

    let environment: ContainerEnvironment

    /// - Returns: a JSON array.
    func list(all: Bool, limit: Int, size: Bool, before: String?, since: String?, filters: ListFilters, version: APIVersion) async throws -> ByteBuffer {
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

        let candidates = store.all.map { container in
            let (snapshot, health) = container.shown
            return (container, snapshot, health, created: snapshot.record.created)
        }.sorted { $0.created > $1.created }
        var list = ContainerListText(environment, version: version, expected: showsAll && filters.isEmpty && limit <= 0 ? candidates.count : 0)
        for (container, snapshot, health, created) in candidates {
            if let newerThan, created <= newerThan { continue }
            if let olderThan, created >= olderThan { continue }
            guard showsAll || snapshot.record.lifecycle.isRunning || snapshot.record.lifecycle.isRestarting, isTask != true else { continue }
            if !filters.isEmpty {
                guard Self.matches(filters, snapshot.record, health: health) else { continue }
                let lifecycle = snapshot.record.lifecycle
                if !exited.isEmpty, !exited.contains(lifecycle.exitCode) || lifecycle.isRunning || lifecycle.startedAt == nil { continue }
                if let ancestors, !ancestors.contains(snapshot.record.image.id) { continue }
                guard Self.hasPorts(snapshot.record, exposed: expose, published: publish) else { continue }
            }
            try await list.append(container, snapshot, health: health, sizes: size ? try await environment.sizes(of: snapshot.record) : nil)
            if limit > 0, list.count == limit { break }
        }
        return list.finish()
    }

    /// Those filters that need nothing but the container.
    private static func matches(_ filters: ListFilters, _ record: ContainerRecord, health: String?) -> Bool {
        filters.matchesPattern("name", record.name, "/" + record.name) && filters.matches("id", { record.id.hasPrefix($0) })
            && filters.matchesLabels(record.config.Labels ?? [:]) && filters.matches("status", { $0 == record.lifecycle.statusName })
            && filters.matches("health", { $0 == health ?? "none" })
            && filters.matches("volume", { value in record.mounts.contains { $0.destination == value || ($0.volumeName ?? $0.source) == value } })
            && filters.matches("network", { value in record.endpoints.contains { $0.key == value } || record.attachment.endpoints.contains { $0.value.NetworkID?.hasPrefix(value) ?? false } })
    }

    /// `expose` and `publish`: one of them is enough.
    private static func hasPorts(_ record: ContainerRecord, exposed: Set<String>?, published: Set<String>?) -> Bool {
        if exposed == nil, published == nil { return true }
        let ports = record.lifecycle.isRunning ? ContainerViews.ports(record.attachment.ports) : []
        let declared = Set((record.config.ExposedPorts ?? [:]).keys)
        let isExposed = exposed.map { wanted in ports.contains { wanted.contains("\($0.PrivatePort)/\($0.Type)") } || !wanted.isDisjoint(with: declared) } ?? false
        let isPublished = published.map { wanted in ports.contains { wanted.contains("\($0.PublicPort ?? 0)/\($0.Type)") } } ?? false
        return isExposed || isPublished
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

extension ContainerEnvironment {
    var views: ContainerViews { ContainerViews(environment: self) }
}
