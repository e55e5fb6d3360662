import DockerAPI
import FoundationEssentials
import NIOCore
import NIOHTTP1

/// `/containers/{name...}/archive`, `/export` and `/changes`: decode, call the service, encode.
struct FileRoutes: Sendable {
    let service: FileService

    func register(in router: inout Router) {
        router.add(.HEAD, "/containers/{name...}/archive") { request in
            let stat = try await service.status(request.parameter("name"), path: try Self.path(request))
            return HTTPResponse(status: .ok, headers: [Self.statHeader: try Self.header(stat)])
        }
        router.add(.GET, "/containers/{name...}/archive") { request in
            let (stat, produce) = try await service.archive(request.parameter("name"), path: try Self.path(request))
            return HTTPResponse(status: .ok, headers: ["Content-Type": "application/x-tar", Self.statHeader: try Self.header(stat)], body: .stream(produce))
        }
        router.add(.PUT, "/containers/{name...}/archive") { request in
            let options = FileService.WriteOptions(keepsKinds: request.query.flag("noOverwriteDirNonDir"), ownedByUser: request.query.flag("copyUIDGID"))
            try await service.extract(request.parameter("name"), path: try Self.path(request), options: options, body: request.body)
            return HTTPResponse(status: .ok)
        }
        router.add(.GET, "/containers/{name...}/export") { request in
            .stream(contentType: "application/octet-stream", try await service.export(request.parameter("name")))
        }
        router.add(.GET, "/containers/{name...}/changes") { request in
            try .json(await service.changes(request.parameter("name")))
        }
    }

    private static let statHeader = "X-Docker-Container-Path-Stat"

    private static func path(_ request: HTTPRequest) throws(DaemonError) -> String {
        guard let path = request.query["path"], !path.isEmpty else { throw .invalid("bad parameter: path cannot be empty") }
        guard !path.utf8.contains(0) else { throw .invalid("bad parameter: path contains a NUL byte") }
        return path
    }

    private static func header(_ stat: PathStat) throws -> String { Data(try JSONBody.encodeToString(stat).utf8).base64EncodedString() }
}
