import BerthDefaults
import DockerAPI
import FoundationEssentials
import NIOCore
import NIOHTTP1
import OCISpec

/// `/images`, `/distribution` and `/commit`: decode, call the service, encode.
enum ImageRoutes {
    static func register(in router: inout Router, service: ImageService) {
        registerQueries(in: &router, service: service)
        registerTransfers(in: &router, service: service)
    }

    /// Commit looks at a container and makes an image.
    static func registerCommit(in router: inout Router, service: ImageService, environment: ContainerEnvironment) {
        router.add(.POST, "/commit") { request in try await commit(request, service: service, environment: environment) }
    }

    private static func registerQueries(in router: inout Router, service: ImageService) {
        let answers = ImageListAnswer()
        router.add(.GET, "/images/json") { request in
            var filters = try ListFilters(request.query["filters"], accepted: ImageService.listFilters)
            if request.version < .v(41), let pattern = request.query["filter"], !pattern.isEmpty { filters.insert("reference", pattern) }
            let options = ImageService.ListOptions(
                all: request.query.flag("all"), sharedSize: request.version >= .v(42) && request.query.flag("shared-size"),
                manifests: request.version >= .v(47) && request.query.flag("manifests"))
            var answer = try answers.array(try await service.list(filters, options: options), version: request.version)
            answer.writeString("\n")
            return .json(text: answer)
        }
        router.add(.GET, "/images/search") { request in
            let text = request.query["limit"] ?? ""
            guard let limit = Int(text.isEmpty ? "0" : text) else { throw DaemonError.invalid("invalid limit specified: strconv.Atoi: parsing \"\(text)\": invalid syntax") }
            let filters = try ListFilters(request.query["filters"], accepted: RegistryQueries.searchFilters)
            return try .json(try await service.queries.search(request.query["term"] ?? "", limit: limit, filters, auth: registryAuth(request)))
        }
        router.add(.GET, "/images/get") { request in try await save(request, names: request.query.all("names"), service: service) }
        router.add(.GET, "/images/{name...}/get") { request in try await save(request, names: [request.parameter("name")], service: service) }
        router.add(.GET, "/images/{name...}/json") { request in
            let platform = request.version >= .v(49) ? try ImagePlatform.decode(request.query["platform"]) : nil
            let manifests = request.version >= .v(48) && request.query.flag("manifests")
            if manifests && platform != nil { throw DaemonError.invalid("conflicting options: manifests and platform options cannot both be set") }
            let image = try await service.inspect(request.parameter("name"), platform: platform, manifests: manifests)
            return try .json(ImageCompatibility.inspect(image, version: request.version))
        }
        router.add(.GET, "/images/{name...}/history") { request in
            let platform = request.version >= .v(48) ? try ImagePlatform.decode(request.query["platform"]) : nil
            return try .json(try await service.history(request.parameter("name"), platform: platform))
        }
        router.add(.POST, "/images/{name...}/tag") { request in
            try await service.tag(request.parameter("name"), repository: request.query["repo"] ?? "", tag: request.query["tag"] ?? "")
            return HTTPResponse(status: .created)
        }
        router.add(.POST, "/images/prune") { request in
            try .json(try await service.prune(try ListFilters(request.query["filters"], accepted: ["dangling", "label", "label!", "until"])))
        }
        router.add(.DELETE, "/images/{name...}") { request in
            let name = request.parameter("name")
            guard !name.trimmed().isEmpty else { throw DaemonError.invalid("image name cannot be blank") }
            let platforms = request.version >= .v(50) ? try request.query.all("platforms").compactMap { try ImagePlatform.decode($0) } : []
            return try .json(try await service.delete(name, force: request.query.flag("force"), keepsParents: request.query.flag("noprune"), platforms: platforms))
        }
        router.add(.GET, "/distribution/{name...}/json") { request in
            let name = request.parameter("name")
            if ImageService.idDigits(name)?.utf8.count == 64 { throw DaemonError.internalError("no manifest found for full image ID") }
            return try .json(try await service.queries.inspect(try ImageService.parse(name), auth: registryAuth(request)))
        }
        router.add(.POST, "/auth") { request in
            try .json(try await service.queries.logIn(try await JSONBody.decode(AuthConfig?.self, from: request) ?? AuthConfig()))
        }
    }

    // MARK: - Transfers

    private static func registerTransfers(in router: inout Router, service: ImageService) {
        router.add(.POST, "/images/create") { request in
            let source = request.query["fromSrc"] ?? ""
            if !source.isEmpty { return try await importArchive(request, source: source, service: service) }
            guard let name = request.query["fromImage"], !name.isEmpty else { throw DaemonError.invalid("invalid reference format") }
            let platform = request.version >= .v(32) ? request.query["platform"] : nil
            if let platform, !platform.isEmpty { _ = try ImagePlatform.parse(platform) }
            let reference = try ImageService.pullReference(name, tag: request.query["tag"] ?? "")
            let auth = registryAuth(request)
            return try await ProgressAnswer.make { emit in
                try await withoutPrompt { try await service.pullAny(reference, platform: platform, auth: auth, emit: emit) }
            }
        }
        router.add(.POST, "/images/load") { request in
            let body = request.body
            let platforms = try Self.platforms(request)
            // Always 200: what is wrong with the archive stands in the stream.
            return await ProgressAnswer.stream { emit in
                try await service.load(platforms: platforms, emit: emit) { try await body.next().map { Data($0.readableBytesView) } }
            }
        }
        router.add(.POST, "/images/{name...}/push") { request in
            let auth = registryAuth(request)
            let name = request.parameter("name"), tag = request.query["tag"] ?? ""
            let platform = request.version >= .v(46) ? try ImagePlatform.decode(request.query["platform"]) : nil
            return try await ProgressAnswer.make { emit in
                try await withoutPrompt { try await service.push(name, tag: tag, platform: platform, auth: auth, emit: emit) }
            }
        }
    }

    /// A registry that wants credentials is an internal error, as in dockerd: at a 401 the client would ask its user for a name and a password.
    private static func withoutPrompt(_ transfer: () async throws -> Void) async throws {
        do { try await transfer() } catch let error as DaemonError where error.code == .unauthenticated { throw DaemonError(.internalError, error.message) }
    }

    /// A header that cannot be read counts as none, as in dockerd: clients of all ages send all sorts of things.
    private static func registryAuth(_ request: HTTPRequest) -> AuthConfig? {
        guard let header = request.headers.first(name: "X-Registry-Auth"), !header.isEmpty else { return nil }
        do { return try AuthConfig(header: header) } catch {
            Log.debug("X-Registry-Auth is left out of account: \(error)")
            return nil
        }
    }

    private static func importArchive(_ request: HTTPRequest, source: String, service: ImageService) async throws -> HTTPResponse {
        let wanted = ImageService.ImportRequest(
            repository: request.query["repo"] ?? "", tag: request.query["tag"] ?? "", message: request.query["message"] ?? "", changes: request.query.all("changes"),
            platform: request.query["platform"], source: source)
        guard source == "-" else {
            let archive = try await RemoteArchive.open(source)
            return try await ProgressAnswer.make { emit in
                try await emit(.status("Downloading from \(archive.url)"))
                let next = archive.read { count in try await emit(.progress("Importing", current: count, total: archive.size)) }
                try await emit(.status(try await service.importArchive(wanted, next: next)))
            }
        }
        let body = request.body
        return try await ProgressAnswer.make { emit in
            let id = try await service.importArchive(wanted) { try await body.next().map { Data($0.readableBytesView) } }
            try await emit(.status(id))
        }
    }

    /// The platforms of a save or load.
    private static func platforms(_ request: HTTPRequest) throws -> [Platform] {
        guard request.version >= .v(48) else { return [] }
        let texts = request.query.all("platform")
        // Several come with a later version of the API.
        guard texts.count <= 1 else { throw DaemonError.invalid("multiple platform parameters not supported") }
        return try texts.compactMap { try ImagePlatform.decode($0) }
    }

    private static func save(_ request: HTTPRequest, names: [String], service: ImageService) async throws -> HTTPResponse {
        let platforms = try Self.platforms(request)
        let images = try await service.imagesToSave(names)
        return .stream(contentType: "application/x-tar") { writer in
            try await service.save(images, platforms: platforms) { data in try await writer.write(ByteBuffer(bytes: data)) }
        }
    }

    // MARK: - Commit

    private static func commit(_ request: HTTPRequest, service: ImageService, environment: ContainerEnvironment) async throws -> HTTPResponse {
        let config = try await JSONBody.decode(ContainerConfig?.self, from: request, allowingEmpty: true)
        let container = try environment.store.find(request.query["container"] ?? "")
        var changes = request.query.all("changes")
        changes = changes.flatMap { $0.split(separator: "\n").map(String.init) }
        let wanted = ImageService.CommitRequest(
            repository: request.query["repo"] ?? "", tag: request.query["tag"] ?? "", comment: request.query["comment"] ?? "", author: request.query["author"] ?? "",
            changes: changes, config: config)
        let id = try await container.serially { () async throws -> String in
            let record = container.record
            var pauses = request.query.flag("pause", default: true) && record.lifecycle.isRunning && !record.lifecycle.isPaused
            // One that ends in this moment needs no pause: dockerd goes on without, too.
            if pauses { pauses = (try? await environment.supervisor.pause(id: record.id)) != nil }
            do {
                let id = try await service.commit(record, wanted)
                if pauses { try? await environment.supervisor.resume(id: record.id) }
                return id
            } catch {
                if pauses { try? await environment.supervisor.resume(id: record.id) }
                throw error
            }
        }
        let reference = wanted.repository.isEmpty ? nil : try? ImageService.tagged(wanted.repository, tag: wanted.tag).familiar
        environment.publish("commit", container.record, ["comment": wanted.comment, "imageID": id, "imageRef": reference ?? ""])
        return try .json(IDResponse(Id: id), status: .created)
    }
}

/// Answers with a stream of progress lines. What fails before the first line is an error of the request; later it is the last line.
enum ProgressAnswer {
    static func make(_ work: @escaping @Sendable (_ emit: @escaping ImageService.Emit) async throws -> Void) async throws -> HTTPResponse {
        let messages = run(work)
        var iterator = messages.makeAsyncIterator()
        return answer(first: try await iterator.next(), messages)
    }

    /// The same for what has no errors of the request: every failure is the last line. The head waits for the first one here too: a client that reads no
    /// further takes it for the end of the work.
    static func stream(_ work: @escaping @Sendable (_ emit: @escaping ImageService.Emit) async throws -> Void) async -> HTTPResponse {
        let messages = run(work)
        var iterator = messages.makeAsyncIterator()
        do { return answer(first: try await iterator.next(), messages) } catch { return answer(first: ProgressMessage.failure(error), messages) }
    }

    private static func run(_ work: @escaping @Sendable (_ emit: @escaping ImageService.Emit) async throws -> Void) -> AsyncThrowingStream<ProgressMessage, any Error> {
        let (messages, continuation) = AsyncThrowingStream<ProgressMessage, any Error>.makeStream()
        // Owned by the stream: it ends when nobody reads any more.
        let task = Task {
            do {
                try await work { continuation.yield($0) }
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { _ in task.cancel() }
        return messages
    }

    private static func answer(first: ProgressMessage?, _ messages: AsyncThrowingStream<ProgressMessage, any Error>) -> HTTPResponse {
        .stream(contentType: "application/json") { writer in
            do {
                if let first { try await writer.writeLine(first) }
                for try await message in messages { try await writer.writeLine(message) }
            } catch let error as CancellationError {
                throw error
            } catch {
                try await writer.writeLine(ProgressMessage.failure(error))
            }
        }
    }
}
