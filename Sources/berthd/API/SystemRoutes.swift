import DockerAPI
import NIOCore
import NIOHTTP1

/// `/_ping`, `/version`, `/info`, `/events`, `/system/df`, `/auth`.
struct SystemRoutes: Sendable {
    let info: SystemInformation
    private let imageAnswers = ImageListAnswer()
    var environment: ContainerEnvironment { info.environment }

    init(info: SystemInformation) { self.info = info }

    func register(in router: inout Router) {
        router.add(.GET, "/_ping") { _ in Self.ping }
        router.add(.HEAD, "/_ping") { _ in Self.ping }
        router.add(.GET, "/version") { _ in try .json(await info.version()) }
        router.add(.GET, "/info") { request in try .json(await info.info(version: request.version)) }
        router.add(.GET, "/events", events)
        router.add(.GET, "/system/df", diskUsage)
        router.add(.POST, "/session") { _ in throw DaemonError.unimplemented("building with BuildKit (/session)") }
    }

    private static let ping = HTTPResponse(
        status: .ok,
        headers: [
            "Builder-Version": "1", "Swarm": "inactive", "Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Content-Type": "text/plain; charset=utf-8",
        ], body: .bytes(ByteBuffer(string: "OK")))

    private static let eventFilters: Set<String> = [
        "config", "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope", "secret", "service", "type", "volume", "builder",
    ]

    private func events(_ request: HTTPRequest) async throws -> HTTPResponse {
        let filters = try ListFilters(request.query["filters"], accepted: Self.eventFilters)
        let until = try Timestamp.nanoseconds(request.query["until"], name: "until")
        // 0 is the beginning of time here, and not the absence of a time as for logs.
        var since = request.query["since"] == "0" ? 0 : try Timestamp.nanoseconds(request.query["since"], name: "since")
        // An end without a beginning is a look back at everything, as for dockerd.
        if since == nil, until != nil { since = 0 }
        if let since, let until, until < since { throw DaemonError.invalid("`since` time (\(request.query["since"] ?? "")) cannot be after `until` time (\(request.query["until"] ?? ""))") }
        let hub = environment.events
        // Subscribed before the head is sent, so that what a client does after seeing it is in the stream.
        let (past, live) = hub.subscribe(since: since)
        return .stream(contentType: "application/json") { writer in
            for event in past where EventFilter.matches(event.message, filters) && (until.map { event.nanoseconds <= $0 } ?? true) { try await writer.writeLine(event.message) }
            guard let until else {
                for await event in live where EventFilter.matches(event.message, filters) { try await writer.writeLine(event.message) }
                try Task.checkCancellation()
                return
            }
            let left = until - WallClock.now().nanosecondsSinceEpoch
            guard left > 0 else { return }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { for await event in live where EventFilter.matches(event.message, filters) { try await writer.writeLine(event.message) } }
                group.addTask { try await Task.sleep(for: .nanoseconds(left)) }
                try await group.next()
                group.cancelAll()
            }
        }
    }

    private func diskUsage(_ request: HTTPRequest) async throws -> HTTPResponse {
        let types = Set(request.query.all("type"))
        for type in types where !["container", "image", "volume", "build-cache"].contains(type) { throw DaemonError.invalid("unknown object type: \(type)") }
        @Sendable func wants(_ type: String) -> Bool { types.isEmpty || types.contains(type) }
        async let images = wants("image") ? images() : nil
        async let volumes = wants("volume") ? environment.volumes.diskUsage() : nil
        // Megabytes when there are many: nobody else holds them, so that what follows is appended without a copy.
        var answer = JSONBody.Members(begun: wants("container") ? try await containers(version: request.version) : nil)
        if let found = try await images {
            try answer.add("LayersSize", found.layersSize)
            answer.add("Images", text: found.list)
        }
        if let volumes = try await volumes { try answer.add("Volumes", volumes) }
        if wants("build-cache") { try answer.add("BuildCache", [DiskUsage.BuildCacheRecord]()) }
        return .json(text: answer.finish())
    }

    private func images() async throws -> (layersSize: Int64, list: ByteBuffer) {
        let found = try await environment.images.diskUsage()
        // Containers are counted here in every version.
        return (found.layersSize, try imageAnswers.array(found.images, version: .newest))
    }

    /// Every container with its sizes, as the begin of a JSON object.
    private func containers(version: APIVersion) async throws -> ByteBuffer {
        let containers = environment.store.all.map { ($0, $0.shown) }
        await environment.layerSizes.keep(only: containers.map(\.0.id))
        let sizes = await environment.layerSizes(containers.map { ($0, $1.snapshot) })
        var list = ContainerListText(environment, version: version, expected: containers.count, before: "{\"Containers\":")
        var unpacked: [String: Int64] = [:]
        for ((container, (snapshot, health)), size) in zip(containers, sizes) {
            let digest = snapshot.record.image.manifest.digest ?? ""
            let below: Int64
            if let known = unpacked[digest] { below = known } else {
                below = try await environment.images.unpackedSize(snapshot.record.image.manifest)
                unpacked[digest] = below
            }
            try await list.append(container, snapshot, health: health, sizes: ListedContainer.Sizes(own: size ?? 0, whole: (size ?? 0) + below))
        }
        return list.finish()
    }
}

/// The filters of `/events`.
enum EventFilter {
    static func matches(_ event: EventMessage, _ filters: ListFilters) -> Bool {
        let attributes = event.Actor?.Attributes ?? [:]
        let id = event.Actor?.ID ?? ""
        func subject(_ kind: String) -> Bool {
            filters.matches(kind) { wanted in
                guard event.Type == kind else { return false }
                return id == wanted || attributes["name"] == wanted || id.hasPrefix(wanted) || kind == "image" && (attributes["name"]?.split(separator: ":").first.map(String.init) == wanted)
            }
        }
        let action = event.Action ?? ""
        return filters.matches("event") { $0 == action || action.hasPrefix($0 + ":") } && filters.matches("type") { $0 == event.Type } && filters.matches("scope") { $0 == event.scope }
            && filters.matchesLabels(attributes) && subject("container") && imageMatches(event, filters) && subject("network") && subject("volume") && subject("daemon")
    }

    /// An image filter also matches the containers made from it.
    private static func imageMatches(_ event: EventMessage, _ filters: ListFilters) -> Bool {
        filters.matches("image") { wanted in
            let attributes = event.Actor?.Attributes ?? [:]
            let names = [event.Actor?.ID, attributes["name"], attributes["image"]].compactMap { $0 }
            return names.contains { $0 == wanted || $0.split(separator: ":").first.map(String.init) == wanted }
        }
    }
}
