import DockerAPI
import NIOCore
import NIOHTTP1

/// `/build`: decode, call the service, stream what it says.
enum BuildRoutes {
    static func register(in router: inout Router, service: BuildService, events: EventHub) {
        router.add(.POST, "/build") { request in try await build(request, service: service) }
        router.add(.POST, "/build/prune") { request in
            for name in ["reserved-space", "keep-storage", "max-used-space", "min-free-space"] {
                if let text = request.query[name], !text.isEmpty, Int64(text) == nil {
                    throw DaemonError.invalid("\(name) is in bytes and expects an integer, got \(text): strconv.Atoi: parsing \(GoText.quoted(text)): invalid syntax")
                }
            }
            // The steps of builds are images, which `docker image prune` removes: there is no store beside them that could be emptied.
            events.publish(type: "builder", action: "prune", id: "", attributes: ["reclaimed": "0"])
            return try .json(BuildPruneReport(CachesDeleted: nil, SpaceReclaimed: 0))
        }
        router.add(.POST, "/build/cancel") { request in
            guard let id = request.query["id"], !id.isEmpty else { throw DaemonError.invalid("build ID not provided") }
            throw DaemonError.unimplemented("cancelling a build of BuildKit (one of the classic builder ends when its client goes)")
        }
    }

    private static func build(_ request: HTTPRequest, service: BuildService) async throws -> HTTPResponse {
        let options = try BuildOptions(request)
        let messages = MessageQueue(), cancellation = BuildCancellation(), body = request.body
        // Not a part of the answer, which is cut off when the client goes: a build that is told to end still clears up behind itself.
        Task {
            do {
                try await run(options, body, service, messages, cancellation)
                messages.finish(nil)
            } catch { messages.finish(error) }
        }
        // What fails before anything was said is an error of the request.
        let first = try await messages.next()
        return .stream(contentType: "application/json") { writer in
            try await withTaskCancellationHandler {
                do {
                    if let first { try await writer.writeLine(first) }
                    while let message = try await Self.next(messages) { try await writer.writeLine(message) }
                } catch {
                    cancellation.cancel()
                    messages.abandon()
                    throw error
                }
            } onCancel: {
                cancellation.cancel()
                messages.abandon()
            }
        }
    }

    private static func next(_ messages: MessageQueue) async throws -> ProgressMessage? {
        do { return try await messages.next() } catch { return BuildOutput.failure(error) }
    }

    private static func run(_ options: BuildOptions, _ body: RequestBody, _ service: BuildService, _ messages: MessageQueue, _ cancellation: BuildCancellation) async throws {
        guard options.isQuiet else {
            _ = try await service.build(options, body, output: BuildOutput { try await messages.put($0) }, cancellation: cancellation)
            return
        }
        let held = Exclusive<[ProgressMessage]>([])
        do {
            let id = try await service.build(options, body, output: BuildOutput { message in held.with { $0.append(message) } }, cancellation: cancellation)
            try await messages.put(.stream(id + "\n"))
        } catch {
            // Then all of it is of interest.
            for message in held.with({ $0 }) { try await messages.put(message) }
            throw error
        }
    }
}
