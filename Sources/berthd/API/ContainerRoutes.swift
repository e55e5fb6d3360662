import BerthDefaults
import DockerAPI
import NIOCore
import NIOHTTP1

/// `/containers` and `/exec`: decode, call one service, encode.
struct ContainerRoutes: Sendable {
    let service: ContainerService
    let execs: ExecService
    let attach: AttachService
    let logs: LogReader
    var environment: ContainerEnvironment { service.environment }

    func register(in router: inout Router) {
        router.add(.GET, "/containers/json", list)
        router.add(.POST, "/containers/create", create)
        router.add(.POST, "/containers/prune", since: .v(25), prune)
        router.add(.GET, "/containers/{name...}/json") { request in
            try .json(await environment.views.inspect(request.parameter("name"), size: request.query.flag("size"), version: request.version))
        }
        router.add(.POST, "/containers/{name...}/start", start)
        router.add(.POST, "/containers/{name...}/stop") { request in
            try await service.stop(request.parameter("name"), signal: request.version >= .v(42) ? request.query["signal"] : nil, seconds: try request.query.integer("t"))
            return .noContent
        }
        router.add(.POST, "/containers/{name...}/restart") { request in
            try await service.restart(request.parameter("name"), signal: request.version >= .v(42) ? request.query["signal"] : nil, seconds: try request.query.integer("t"))
            return .noContent
        }
        router.add(.POST, "/containers/{name...}/kill") { request in
            try await service.kill(request.parameter("name"), signal: request.query["signal"])
            return .noContent
        }
        router.add(.POST, "/containers/{name...}/pause") { request in
            try await service.pause(request.parameter("name"))
            return .noContent
        }
        router.add(.POST, "/containers/{name...}/unpause") { request in
            try await service.unpause(request.parameter("name"))
            return .noContent
        }
        router.add(.POST, "/containers/{name...}/rename") { request in
            try await service.rename(request.parameter("name"), to: request.query["name"] ?? "")
            return .noContent
        }
        router.add(.POST, "/containers/{name...}/update") { request in
            var update = try await JSONBody.decode(ContainerUpdateRequest.self, from: request, allowingEmpty: true)
            if request.version < .v(40) { update.PidsLimit = nil }
            return try .json(ContainerUpdateResponse(Warnings: await service.update(request.parameter("name"), update)))
        }
        router.add(.POST, "/containers/{name...}/resize") { request in
            let (width, height) = try Self.size(request.query)
            try await service.resize(request.parameter("name"), width: width, height: height)
            return HTTPResponse(status: .ok)
        }
        router.add(.DELETE, "/containers/{name...}") { request in
            try await service.remove(request.parameter("name"), force: request.query.flag("force"), removingVolumes: request.query.flag("v"), link: request.query.flag("link"))
            return .noContent
        }
        router.add(.GET, "/containers/{name...}/top") { request in
            try .json(await TopService(environment: environment).top(request.parameter("name"), arguments: request.query["ps_args"] ?? ""))
        }
        router.add(.POST, "/containers/{name...}/wait", wait)
        router.add(.GET, "/containers/{name...}/logs", readLogs)
        router.add(.GET, "/containers/{name...}/stats", stats)
        router.add(.POST, "/containers/{name...}/attach", attachTo)
        router.add(.GET, "/containers/{name...}/attach/ws", attachToWebSocket)
        registerExecs(in: &router)
    }

    // MARK: Create, list

    private func create(_ request: HTTPRequest) async throws -> HTTPResponse {
        let body = try await JSONBody.decode(ContainerCreateRequest.self, from: request)
        let platform = request.version >= .v(41) ? request.query["platform"].flatMap { $0.isEmpty ? nil : $0 } : nil
        let (id, warnings) = try await service.create(body, name: request.query["name"], platform: platform, version: request.version)
        return try .json(ContainerCreateResponse(Id: id, Warnings: warnings), status: .created)
    }

    private func list(_ request: HTTPRequest) async throws -> HTTPResponse {
        let query = request.query
        let filters = try ListFilters(query["filters"], accepted: ContainerListing.filters)
        var result = try await ContainerListing(environment: environment).list(
            all: query.flag("all"), limit: try query.integer("limit") ?? 0, size: query.flag("size"), before: query["before"].flatMap { $0.isEmpty ? nil : $0 },
            since: query["since"].flatMap { $0.isEmpty ? nil : $0 }, filters: filters, version: request.version)
        result.writeStaticString("\n")
        return .json(text: result)
    }

    private func prune(_ request: HTTPRequest) async throws -> HTTPResponse {
        let filters = try ListFilters(request.query["filters"], accepted: ["label", "label!", "until"])
        let until = try filters.until()
        let (removed, bytes) = await service.prune { record in filters.matchesLabels(record.config.Labels ?? [:]) && (until.map { record.created < $0 } ?? true) }
        return try .json(ContainersPruneReport(ContainersDeleted: removed.isEmpty ? nil : removed, SpaceReclaimed: UInt64(bytes)))
    }

    private func start(_ request: HTTPRequest) async throws -> HTTPResponse {
        if let checkpoint = request.query["checkpoint"], !checkpoint.isEmpty { throw DaemonError.invalid("checkpoint is only supported in experimental mode") }
        let length = request.headers.first(name: "Content-Length").flatMap { Int($0) }
        if (length ?? 0) > 7 || request.headers.contains(name: "Transfer-Encoding") {
            throw DaemonError.invalid("starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24")
        }
        try await service.start(request.parameter("name"))
        return .noContent
    }

    // MARK: Streams

    private func wait(_ request: HTTPRequest) async throws -> HTTPResponse {
        let condition: ManagedContainer.WaitCondition
        switch request.version < .v(30) ? "" : request.query["condition"] ?? "" {
        case "", "not-running": condition = .notRunning
        case "next-exit": condition = .nextExit
        case "removed": condition = .removed
        case let other: throw DaemonError.invalid("invalid condition: \"\(other)\"")
        }
        let container = try environment.store.find(request.parameter("name"))
        if request.version < .v(30) {
            let result = await container.wait(condition)
            return try .json(ContainerWaitResponse(StatusCode: Int64(result.exitCode), Error: result.error.map { .init(Message: $0) }))
        }
        // Registered before the head is sent: a client starts the container as soon as it has seen the head.
        let waiting = container.beginWait(condition)
        return .stream(contentType: "application/json") { writer in
            let result = await waiting.result()
            try Task.checkCancellation()
            try await writer.writeLine(ContainerWaitResponse(StatusCode: Int64(result.exitCode), Error: result.error.map { .init(Message: $0) }))
        }
    }

    private func readLogs(_ request: HTTPRequest) async throws -> HTTPResponse {
        let query = request.query
        var options = LogReader.Options()
        (options.stdout, options.stderr) = (query.flag("stdout"), query.flag("stderr"))
        guard options.stdout || options.stderr else { throw DaemonError.invalid("Bad parameters: you must choose at least one stream") }
        let container = try environment.store.find(request.parameter("name"))
        let record = container.record
        try logs.check(record)
        options.follow = query.flag("follow")
        options.timestamps = query.flag("timestamps")
        options.details = query.flag("details")
        options.since = try Timestamp.nanoseconds(query["since"], name: "since")
        options.until = request.version >= .v(35) ? try Timestamp.nanoseconds(query["until"], name: "until") : nil
        if let tail = query["tail"], !tail.isEmpty, tail != "all", let count = Int(tail), count >= 0 { options.tail = count }
        let type = !record.isTerminal && request.version >= .v(42) ? StreamMediaType.multiplexedStream : StreamMediaType.rawStream
        let settled = options
        return .stream(contentType: type) { writer in
            do {
                try await logs.stream(container, settled, to: writer)
            } catch let error where !(error is CancellationError) {
                var frame = ByteBuffer()
                let text = "Error grabbing logs: \(error)\n"
                if !record.isTerminal { frame.writeBytes(StreamFrame(kind: .systemError, length: UInt32(text.utf8.count)).header) }
                frame.writeString(text)
                try await writer.write(frame)
            }
        }
    }

    private func stats(_ request: HTTPRequest) async throws -> HTTPResponse {
        let container = try environment.store.find(request.parameter("name"))
        let service = StatsService(environment: environment)
        let streams = request.query.flag("stream", default: true)
        let oneShot = request.version >= .v(41) && request.query.flag("one-shot")
        if !streams {
            if oneShot { return try .json(await service.sample(container, previous: nil)) }
            let first = try await service.sample(container, previous: nil)
            if container.lifecycle.isRunning { try await Task.sleep(for: .seconds(1)) }
            return try .json(await service.sample(container, previous: first))
        }
        return .stream(contentType: "application/json") { writer in
            var previous: ContainerStats?
            while !container.isRemoved {
                let sample = try await service.sample(container, previous: previous)
                try await writer.writeLine(sample)
                previous = sample
                try await Task.sleep(for: .seconds(1))
            }
        }
    }

    private static func attachOptions(_ query: Query) throws -> AttachService.Options {
        var options = AttachService.Options()
        (options.logs, options.stream) = (query.flag("logs"), query.flag("stream"))
        (options.stdin, options.stdout, options.stderr) = (query.flag("stdin"), query.flag("stdout"), query.flag("stderr"))
        if let keys = query["detachKeys"], !keys.isEmpty { options.detachKeys = try DetachScanner.parse(keys) }
        return options
    }

    /// Output comes without frames: a message is a message.
    private func attachToWebSocket(_ request: HTTPRequest) async throws -> HTTPResponse {
        var options = try Self.attachOptions(request.query)
        let container = try attach.check(request.parameter("name"), options)
        // Up to API 1.41 dockerd attaches all three streams whatever is asked for.
        if request.version < .v(42) { (options.stdin, options.stdout, options.stderr) = (true, true, true) }
        options.framing = container.record.isTerminal ? .none : .remove
        let upgrade = try WebSocketUpgrade(request.headers, sendsBinary: request.version >= .v(28))
        let settled = options
        return HTTPResponse(status: .switchingProtocols, body: .webSocket(upgrade) { stream in try await attach.serve(container, settled, on: stream) })
    }

    private func attachTo(_ request: HTTPRequest) async throws -> HTTPResponse {
        let options = try Self.attachOptions(request.query)
        let container = try attach.check(request.parameter("name"), options)
        let settled = options
        return hijack(request, multiplexed: !container.record.isTerminal) { stream in try await attach.serve(container, settled, on: stream) }
    }

    private func hijack(_ request: HTTPRequest, multiplexed: Bool, _ serve: @escaping @Sendable (HijackedConnection) async throws -> Void) -> HTTPResponse {
        let type = multiplexed && request.version >= .v(42) ? StreamMediaType.multiplexedStream : StreamMediaType.rawStream
        return HTTPResponse(status: .switchingProtocols, headers: ["Content-Type": type], body: .hijack(serve))
    }

    // MARK: Exec

    private func registerExecs(in router: inout Router) {
        router.add(.POST, "/containers/{name...}/exec") { request in
            var body = try await JSONBody.decode(ExecCreateRequest.self, from: request)
            if request.version < .v(42) { body.ConsoleSize = nil }
            return try .json(IDResponse(Id: try execs.create(request.parameter("name"), body)), status: .created)
        }
        router.add(.POST, "/exec/{id}/start", startExec)
        router.add(.POST, "/exec/{id}/resize") { request in
            let (width, height) = try Self.size(request.query)
            try await execs.resize(request.parameter("id"), width: width, height: height)
            return HTTPResponse(status: .ok)
        }
        router.add(.GET, "/exec/{id}/json") { request in try .json(try execs.inspect(request.parameter("id"))) }
    }

    private func startExec(_ request: HTTPRequest) async throws -> HTTPResponse {
        let body = try await JSONBody.decode(ExecStartRequest.self, from: request, allowingEmpty: true)
        let id = request.parameter("id")
        let exec = try execs.requireStartable(id)
        let size = request.version >= .v(42) && body.Tty ?? false ? body.ConsoleSize : nil
        if body.Detach ?? false {
            try await execs.start(id, consoleSize: size, stream: nil)
            return HTTPResponse(status: .ok)
        }
        let hasTerminal = exec.request.Tty ?? false, readsRaw = body.Tty ?? false
        let framing: OutputFraming.Change = hasTerminal == readsRaw ? .none : hasTerminal ? .add : .remove
        return hijack(request, multiplexed: !readsRaw) { stream in
            do {
                try await execs.start(id, consoleSize: size, stream: stream, framing: framing)
            } catch {
                // The status is sent: dockerd tells the failure in the stream, and clients read the exit code from inspect.
                let text = "\(error)\r\n"
                var frame = ByteBuffer()
                if !readsRaw { frame.writeBytes(StreamFrame(kind: .stdout, length: UInt32(text.utf8.count)).header) }
                frame.writeString(text)
                try await stream.write(frame)
            }
        }
    }

    private static func size(_ query: Query) throws -> (width: UInt32, height: UInt32) {
        func value(_ name: String, _ what: String) throws -> UInt32 {
            let text = query[name] ?? ""
            let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
            guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { throw DaemonError.invalid("invalid resize \(what) \"\(text)\": invalid syntax") }
            guard let number = UInt32(text) else { throw DaemonError.invalid("invalid resize \(what) \"\(text)\": value out of range") }
            return number
        }
        return (try value("w", "width"), try value("h", "height"))
    }
}

/// `since` and `until`: seconds since 1970 with a fraction, or RFC 3339.
enum Timestamp {
    static func nanoseconds(_ text: String?, name: String) throws(DaemonError) -> Int64? {
        guard let text, !text.isEmpty, text != "0" else { return nil }
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        if let seconds = Int64(parts[0]) {
            var nanoseconds: Int64 = 0
            if parts.count > 1 {
                let digits = parts[1].prefix(9)
                guard let fraction = Int64(digits + String(repeating: "0", count: 9 - digits.count)) else { throw .invalid("invalid value for \"\(name)\": \"\(text)\"") }
                nanoseconds = fraction
            }
            return seconds * 1_000_000_000 + nanoseconds
        }
        if let time = WallClock(rfc3339: text) { return time.nanosecondsSinceEpoch }
        throw .invalid("invalid value for \"\(name)\": \"\(text)\"")
    }
}
