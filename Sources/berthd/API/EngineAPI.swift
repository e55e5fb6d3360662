import BerthDefaults
import NIOCore
import NIOHTTP1

/// The Engine API as a function from request to answer: version prefix, routing, the headers of every answer, errors as JSON.
struct EngineAPI: Sendable {
    private let router: Router

    /// The routes come from `*Routes.swift`; this only adds what has no service behind it.
    init(router: Router) { self.router = router }

    func respond(to head: HTTPRequestHead, body: RequestBody, eventLoop: any EventLoop) async -> HTTPResponse {
        var response: HTTPResponse
        do {
            response = try await handle(head, body: body, eventLoop: eventLoop)
        } catch {
            response = HTTPErrorMapping.response(to: error)
            // Clients of versions before 1.24 know errors as text.
            if Self.isTooOld(head.uri) { response = .text(HTTPErrorMapping.daemonError(error).message + "\n", status: response.status) }
            Log.debug("\(head.method.rawValue) \(head.uri): \(response.status.code) \(error)")
        }
        response.headers.replaceOrAdd(name: "Api-Version", value: APIVersion.newest.description)
        response.headers.replaceOrAdd(name: "Docker-Experimental", value: "false")
        response.headers.replaceOrAdd(name: "Ostype", value: "linux")
        // Clients tell an engine by this word.
        response.headers.replaceOrAdd(name: "Server", value: "Docker/\(Defaults.version) (linux) Berth")
        return response
    }

    private func handle(_ head: HTTPRequestHead, body: RequestBody, eventLoop: any EventLoop) async throws -> HTTPResponse {
        let parts = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let (version, path) = try Self.splitVersion(parts[0])
        // Asked by browsers before they ask anything else; the answer says nothing of what is there.
        if head.method == .OPTIONS { return HTTPResponse(status: .ok) }
        guard let (handler, parameters) = router.match(head.method, path: path, version: version) else {
            throw DaemonError.notFound("page not found")
        }
        let request = HTTPRequest(
            method: head.method, path: String(path), query: Query(parts.count > 1 ? parts[1] : ""), headers: head.headers, version: version, parameters: parameters,
            body: body, eventLoop: eventLoop)
        return try await handler(request)
    }

    private static func isTooOld(_ uri: String) -> Bool {
        guard uri.hasPrefix("/v"), let version = APIVersion(uri.dropFirst(2).prefix { $0 != "/" }) else { return false }
        return version < .oldest
    }

    /// Takes `/v1.43` off the path. Without it a client speaks the newest version.
    ///
    /// - Throws: `.invalidArgument` with dockerd's two sentences, which clients match on to lower their version.
    static func splitVersion(_ path: Substring) throws -> (APIVersion, Substring) {
        guard path.hasPrefix("/v"), let end = path.dropFirst(2).firstIndex(of: "/"), let version = APIVersion(path[path.index(path.startIndex, offsetBy: 2)..<end]) else {
            return (.newest, path)
        }
        if version < .oldest {
            throw DaemonError.invalid("client version \(version) is too old. Minimum supported API version is \(APIVersion.oldest), please upgrade your client to a newer version")
        }
        if version > .newest {
            throw DaemonError.invalid("client version \(version) is too new. Maximum supported API version is \(APIVersion.newest)")
        }
        return (version, path[end...])
    }
}
