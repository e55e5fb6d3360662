import BerthDefaults
import LinuxSystem

/// Requests to the engine: negotiates the API version once, keeps one connection for the next request, turns error replies into failures.
final class EngineClient {
    /// The highest API version this client speaks.
    static let newestVersion = "1.51"
    /// The lowest it still speaks.
    static let oldestVersion = "1.24"

    let host: EngineHost
    private let extraHeaders: [(String, String)]
    private var idle: SocketConnection?
    private var negotiated: String?
    /// DOCKER_API_VERSION was set, so nothing is negotiated.
    let versionIsFixed: Bool
    private(set) var serverOS = "linux"
    private(set) var hasExperimental = false

    init(host: EngineHost, fixedVersion: String?, extraHeaders: [(String, String)] = []) {
        self.host = host
        self.extraHeaders = extraHeaders
        versionIsFixed = fixedVersion != nil
        negotiated = fixedVersion
    }

    /// The version in use. Asks the engine the first time.
    func version() throws -> String {
        if let negotiated { return negotiated }
        let response = try perform(HTTPRequest(method: "HEAD", target: "\(host.basePath)/_ping"))
        _ = try response.readAll()
        release(response)
        let offered = response.header("api-version") ?? EngineClient.oldestVersion
        serverOS = response.header("ostype") ?? "linux"
        hasExperimental = response.header("docker-experimental") == "true"
        let version = EngineClient.isOlder(offered, than: EngineClient.newestVersion) ? offered : EngineClient.newestVersion
        negotiated = version
        return version
    }

    /// For what must be said without an engine.
    var versionForDisplay: String { negotiated ?? EngineClient.newestVersion }

    static func isOlder(_ version: String, than other: String) -> Bool {
        let left = version.split(separator: ".").map { Int($0) ?? 0 }
        let right = other.split(separator: ".").map { Int($0) ?? 0 }
        return left.lexicographicallyPrecedes(right)
    }

    /// Sends a request on a connection of its own or the idle one, and leaves the body to the caller.
    /// - Throws: `CommandFailure` in the words of the engine for every status from 400 on.
    func open(
        _ method: String, _ path: String, query: [(String, String)] = [], headers: [(String, String)] = [], body: HTTPRequest.Body = .none,
        upgrade: Bool = false
    ) throws -> HTTPResponse {
        let response = try begin(method, path, query: query, headers: headers, body: body, upgrade: upgrade)
        return try check(response)
    }

    /// The same without looking at the status, for calls where a refusal is not the end.
    func begin(
        _ method: String, _ path: String, query: [(String, String)] = [], headers: [(String, String)] = [], body: HTTPRequest.Body = .none,
        upgrade: Bool = false
    ) throws -> HTTPResponse {
        let target = "\(host.basePath)/v\(try version())\(path)" + EngineClient.encode(query)
        return try perform(HTTPRequest(method: method, target: target, headers: headers, body: body, upgrade: upgrade))
    }

    /// Sends and waits for the whole reply.
    @discardableResult
    func call(
        _ method: String, _ path: String, query: [(String, String)] = [], headers: [(String, String)] = [], body: HTTPRequest.Body = .none
    ) throws -> [UInt8] {
        let response = try open(method, path, query: query, headers: headers, body: body)
        let content = try response.readAll()
        release(response)
        return content
    }

    /// The same, read as JSON.
    func json(
        _ method: String, _ path: String, query: [(String, String)] = [], headers: [(String, String)] = [], body: HTTPRequest.Body = .none
    ) throws -> JSONValue {
        let content = try call(method, path, query: query, headers: headers, body: body)
        do { return try JSONParser.parse(content) } catch { throw CommandFailure("the engine's reply to \(method) \(path) is not JSON") }
    }

    /// Sends a request on a connection of its own and does not wait for the reply, so that several can be on their way.
    func send(_ method: String, _ path: String, query: [(String, String)] = []) throws -> PendingReply {
        let target = "\(host.basePath)/v\(try version())\(path)" + EngineClient.encode(query)
        let request = HTTPRequest(method: method, target: target, headers: extraHeaders)
        let connection = try takeIdle() ?? host.connect()
        try request.send(on: connection, host: host.httpHost, userAgent: EngineClient.userAgent)
        return PendingReply(connection: connection)
    }

    private func takeIdle() -> SocketConnection? {
        defer { idle = nil }
        return idle
    }

    private static let userAgent = "Docker-Client/\(Defaults.version) (linux)"

    /// Gives the connection of a reply that was read to its end to the next request.
    func release(_ response: HTTPResponse) {
        if response.isReusable { idle = response.connection }
    }

    /// Turns a refusal into a failure.
    func check(_ response: HTTPResponse) throws -> HTTPResponse {
        guard response.status >= 400 else { return response }
        let content = try response.readAll()
        release(response)
        throw EngineFailure(status: response.status, reply: content)
    }

    private func perform(_ request: HTTPRequest) throws -> HTTPResponse {
        var request = request
        request.headers += extraHeaders
        let userAgent = EngineClient.userAgent
        // An idle connection may have been closed by the engine meanwhile: then, and only before anything was answered, the request is sent once more
        if let connection = idle, !request.upgrade {
            idle = nil
            if request.body.isRepeatable {
                do {
                    try request.send(on: connection, host: host.httpHost, userAgent: userAgent)
                    return try HTTPResponse(from: connection, isHead: request.method == "HEAD")
                } catch {
                    if connection.hasBufferedBytes { throw error }
                }
            }
        }
        let connection = try host.connect()
        do { try request.send(on: connection, host: host.httpHost, userAgent: userAgent) } catch let error as SystemError {
            // A refusal may have come while a large body was still being sent
            guard let response = try? HTTPResponse(from: connection, isHead: false), response.status >= 400 else {
                throw CommandFailure("\(error)")
            }
            return response
        }
        return try HTTPResponse(from: connection, isHead: request.method == "HEAD")
    }

    static func encode(_ query: [(String, String)]) -> String {
        query.isEmpty ? "" : "?" + query.map { "\(percentEncoded($0.0))=\(percentEncoded($0.1))" }.joined(separator: "&")
    }
}

/// A request that was sent and whose reply nobody has read yet.
struct PendingReply {
    let connection: SocketConnection

    func response() throws -> HTTPResponse { try HTTPResponse(from: connection, isHead: false) }
}

/// A refusal by the engine: status and message.
struct EngineFailure: Error {
    let status: Int
    let reason: String

    init(status: Int, reply: [UInt8]) {
        self.status = status
        let text = (try? JSONParser.parse(reply))?["message"]?.stringValue ?? String(decoding: reply, as: UTF8.self)
        reason = text.trimmingBlanks()
    }

    var message: String {
        reason.isEmpty ? "Error response from daemon: request returned status \(status)" : "Error response from daemon: \(reason)"
    }
}

/// Everything but letters, digits and `-._~` as `%XX`.
func percentEncoded(_ text: String, keeping kept: String = "") -> String {
    var result = ""
    for byte in text.utf8 {
        let character = Character(Unicode.Scalar(byte))
        if character.isASCII, character.isLetter || character.isNumber || "-._~".contains(character) || kept.contains(character) {
            result.append(character)
        } else {
            let digits = String(byte, radix: 16, uppercase: true)
            result += "%" + (digits.count == 1 ? "0" : "") + digits
        }
    }
    return result
}
