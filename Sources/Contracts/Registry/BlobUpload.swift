package import AsyncHTTPClient
import BerthDefaults
import FoundationEssentials
import NIOHTTP1
package import OCISpec

/// One blob on its way to a registry. Spec: distribution-spec, "Pushing blobs".
///
/// A small one goes in one PUT. A larger one goes as the body of a PATCH and is closed by a PUT: what the registry has of it when a connection breaks
/// stays there, and the next PATCH goes on from where the registry says it is.
package struct BlobUpload {
    /// Makes the body from an offset on.
    package typealias Body = @Sendable (_ offset: Int64) -> HTTPClientRequest.Body

    package let client: RegistryClient
    package let endpoint: RegistryEndpoint
    package let descriptor: Descriptor
    package let body: Body
    /// Repository of the same registry that has the blob, if one is known.
    package let mountFrom: String?

    package init(client: RegistryClient, endpoint: RegistryEndpoint, descriptor: Descriptor, body: @escaping Body, mountFrom: String?) {
        self.client = client
        self.endpoint = endpoint
        self.descriptor = descriptor
        self.body = body
        self.mountFrom = mountFrom
    }

    private static let monolithicLimit: Int64 = 4 << 20
    private static let attempts = 5

    private var scope: String { client.pushScope + (mountFrom.map { " repository:\($0):pull" } ?? "") }

    /// Returns when the registry has the blob.
    package func run() async throws {
        var failures = 0
        while true {
            do {
                guard let location = try await begin() else { return }
                if descriptor.size <= Self.monolithicLimit { return try await finish(location, whole: true) }
                return try await send(to: location, failures: &failures)
            } catch {
                try Task.checkCancellation()
                failures += 1
                guard Self.isWorthAnotherTry(error), failures < Self.attempts else { throw error }
                client.note("upload interrupted", ["image": "\(client.reference)", "digest": "\(descriptor.digest)", "error": "\(error)"])
                try await Task.sleep(for: .milliseconds(200 << failures))
            }
        }
    }

    private static func isWorthAnotherTry(_ error: any Error) -> Bool { (error as? CodedError)?.code == .unavailable }

    private func refusal(_ response: HTTPClientResponse, _ method: String, _ url: String) async throws -> CodedError {
        let bytes = try await RegistryEndpoint.collect(response.body, limit: 64 << 10)
        return RegistryErrors.pushRefusal(
            response.status.code, body: bytes, what: "\(method) \(RegistryEndpoint.withoutQuery(url))", reference: client.reference)
    }

    /// Where to send the blob; nil when the registry took it from another repository.
    private func begin() async throws -> String? {
        let query = mountFrom.map { "mount=\(descriptor.digest)&from=\(RegistryAuthorization.escape($0))" } ?? ""
        let path = "blobs/uploads/"
        let begun = try await endpoint.send(client.request("POST", headers: [("Content-Length", "0")], scope: scope), path, query: query)
        if begun.status == .created { return nil }
        guard begun.status == .accepted, let location = begun.headers.first(name: "Location") else { throw try await refusal(begun, "POST", endpoint.url(path)) }
        return try endpoint.resolve(location, against: endpoint.url(path))
    }

    private func send(_ method: String, _ url: String, headers: [(String, String)], body: (@Sendable () -> HTTPClientRequest.Body)? = nil) async throws -> HTTPClientResponse {
        do { return try await endpoint.send(client.request(method, headers: headers, scope: scope, body: body), to: url) } catch {
            throw RegistryErrors.failure(error, method: method.capitalized, url: RegistryEndpoint.withoutQuery(url))
        }
    }

    // MARK: In pieces

    private func send(to first: String, failures: inout Int) async throws {
        var location = first
        var offset: Int64 = 0
        while offset < descriptor.size {
            let before = offset
            do {
                location = try await patch(location, from: offset)
                offset = descriptor.size
            } catch {
                try Task.checkCancellation()
                guard Self.isWorthAnotherTry(error) else { throw error }
                failures += 1
                guard failures < Self.attempts else { throw error }
                try await Task.sleep(for: .milliseconds(200 << failures))
                // A registry that forgot the upload is told everything again.
                guard let (next, held) = try await status(location), held <= descriptor.size else { throw error }
                client.note("going on with an upload", ["digest": "\(descriptor.digest)", "at": "\(held)", "error": "\(error)"])
                location = next
                offset = held
                if offset > before { failures = 1 }
            }
        }
        try await finish(location, whole: false)
    }

    private func patch(_ location: String, from offset: Int64) async throws -> String {
        let body = body
        var headers = [("Content-Type", "application/octet-stream")]
        if offset > 0 { headers.append(("Content-Range", "\(offset)-\(descriptor.size - 1)")) }
        let response = try await send("PATCH", location, headers: headers) { body(offset) }
        guard response.status == .accepted || response.status == .noContent || response.status == .created else { throw try await refusal(response, "PATCH", location) }
        _ = try? await RegistryEndpoint.collect(response.body, limit: 64 << 10)
        return try response.headers.first(name: "Location").map { try endpoint.resolve($0, against: location) } ?? location
    }

    /// Where an upload goes on and how many bytes the registry has; nil when it knows nothing of it.
    private func status(_ location: String) async throws -> (location: String, held: Int64)? {
        let response = try await send("GET", location, headers: [])
        _ = try? await RegistryEndpoint.collect(response.body, limit: 64 << 10)
        guard response.status == .noContent || response.status == .accepted else { return nil }
        // "0-1023"; a registry with nothing says "0-0", which is also what one with a single byte says.
        let last = response.headers.first(name: "Range").flatMap { $0.split(separator: "-").last }.flatMap { Int64($0) } ?? 0
        let next = try response.headers.first(name: "Location").map { try endpoint.resolve($0, against: location) } ?? location
        return (next, last == 0 ? 0 : last + 1)
    }

    /// Closes the upload, with all of the blob or what was sent before.
    private func finish(_ location: String, whole: Bool) async throws {
        let url = location + (location.contains("?") ? "&" : "?") + "digest=\(RegistryAuthorization.escape(descriptor.digest.description))"
        let response: HTTPClientResponse
        if whole {
            let body = body
            response = try await send("PUT", url, headers: [("Content-Type", "application/octet-stream")]) { body(0) }
        } else {
            response = try await send("PUT", url, headers: [("Content-Length", "0")])
        }
        guard response.status == .created || response.status == .noContent else { throw try await refusal(response, "PUT", url) }
        _ = try? await RegistryEndpoint.collect(response.body, limit: 64 << 10)
    }
}
