package import AsyncHTTPClient
import BerthDefaults
import FoundationEssentials
import NIOCore
import NIOHTTP1
package import OCISpec
import Synchronization

/// One repository of one registry, spoken to as the distribution specification 1.1 says, by way of its mirrors where there are any.
///
/// Reading asks the places in their order until one has what is wanted; writing goes to the first that takes it. Everything that arrives is bounded and
/// checked by whoever asked for it; nothing here stores anything.
package final class RegistryClient: Sendable {
    package let reference: ImageReference
    private let endpoints: [RegistryEndpoint]
    /// Places at the beginning that have sent wrong content and are asked no more.
    private let distrusted = Mutex(0)

    package static let manifestTypes = [
        MediaType.ociIndex, MediaType.dockerManifestList, MediaType.ociManifest, MediaType.dockerManifest,
    ]
    /// containerd's and the specification's bound on a manifest.
    package static let manifestLimit = 4 << 20
    /// For an answer of at most some megabytes.
    private static let patience = TimeAmount.seconds(120)

    /// Told what was tried without success and is tried in another way: for the program's log.
    package typealias Note = @Sendable (_ message: String, _ fields: KeyValuePairs<String, String>) -> Void
    let note: Note

    package init(_ reference: ImageReference, endpoints: [RegistryEndpoint], note: @escaping Note) {
        self.reference = reference
        self.endpoints = endpoints
        self.note = note
    }

    /// After wrong content: leaves the first of the places out from now on.
    /// - Returns: false when there is no other.
    package func distrustFirst() -> Bool {
        let count = endpoints.filter { $0.host.capabilities.contains(.pull) }.count
        return distrusted.withLock { distrusted in
            guard distrusted + 1 < count else { return false }
            distrusted += 1
            return true
        }
    }

    /// The label by which content remembers where it came from: host without a port, as containerd writes it.
    package var sourceLabel: String {
        let domain = reference.domain
        let host = domain.hasPrefix("[") ? String(domain.prefix { $0 != "]" }) + "]" : String(domain.prefix { $0 != ":" })
        return "containerd.io/distribution.source.\(host)"
    }

    // MARK: Places

    /// Asks the places with a capability, one after the other.
    /// - Throws: what the last place says: behind mirrors that is the registry itself.
    private func first<Value>(_ capability: RegistryHost.Capabilities, _ body: (RegistryEndpoint) async throws -> Value) async throws -> Value {
        let able = endpoints.filter { $0.host.capabilities.contains(capability) }
        guard !able.isEmpty else { throw CodedError(.notFound, "no host is configured for \(reference.domain): not found") }
        let places = able.dropFirst(min(distrusted.withLock { $0 }, able.count - 1))
        for (index, endpoint) in places.enumerated() {
            do { return try await body(endpoint) } catch {
                try Task.checkCancellation()
                guard index + 1 < places.count else { throw error }
                note("asking the next registry host", ["image": "\(reference)", "host": endpoint.host.description, "error": "\(error)"])
            }
        }
        throw CancellationError()
    }

    /// Where content is written to.
    package func pushEndpoint() throws -> RegistryEndpoint {
        guard let endpoint = endpoints.first(where: { $0.host.capabilities.contains(.push) }) else {
            throw CodedError(.notFound, "no push hosts are configured for \(reference.domain): not found")
        }
        return endpoint
    }

    // MARK: Manifests

    /// What the reference's tag or digest stands for now.
    package func resolve() async throws -> Descriptor {
        try await first(reference.digest == nil ? .resolve : .pull) { try await resolve(at: $0) }
    }

    private func resolve(at endpoint: RegistryEndpoint) async throws -> Descriptor {
        let host = endpoint.host.authority
        let path = "manifests/\(reference.digest?.description ?? reference.tag ?? ImageReference.defaultTag)"
        let head = try await endpoint.send(request("HEAD", accept: Self.manifestTypes, patience: Self.patience), path)
        if head.status == .ok, let digest = head.headers.first(name: "Docker-Content-Digest").flatMap({ try? Digest(parsing: $0) }),
            let size = head.headers.first(name: "Content-Length").flatMap({ Int64($0) }), size > 0, let type = mediaType(head.headers)
        {
            try check(reference.digest, against: digest, host)
            return Descriptor(mediaType: type, digest: digest, size: size)
        }
        // Registries that answer no HEAD, or without a digest; and every refusal, whose reason is in the body of a GET only.
        let response = try await endpoint.send(request("GET", accept: Self.manifestTypes, patience: Self.patience), path)
        let body = try await collect(response, endpoint, path, limit: Self.manifestLimit)
        guard response.status == .ok else {
            throw RegistryErrors.refusal(response.status.code, body: body, what: "GET \(endpoint.url(path))", reference: reference)
        }
        let digest = RunningDigest.of(body, reference.digest?.algorithm ?? .sha256)
        try check(reference.digest, against: digest, host)
        guard let type = mediaType(response.headers) else { throw CodedError(.invalidArgument, "registry \(host) sent a manifest without a media type") }
        return Descriptor(mediaType: type, digest: digest, size: Int64(body.count))
    }

    private func mediaType(_ headers: HTTPHeaders) -> String? {
        headers.first(name: "Content-Type").map { String($0.prefix { $0 != ";" }).trimmingASCIIBlanks }
    }

    private func check(_ expected: Digest?, against actual: Digest, _ host: String) throws {
        if let expected, expected != actual {
            throw CodedError(.failedPrecondition, "registry \(host) answered with \(actual) for \(expected): unexpected digest")
        }
    }

    /// The bytes of a manifest or index, verified.
    package func manifest(_ descriptor: Descriptor) async throws -> [UInt8] {
        guard descriptor.size <= Self.manifestLimit else { throw CodedError(.invalidArgument, "manifest \(descriptor.digest) of \(descriptor.size) bytes is too large") }
        let path = "manifests/\(descriptor.digest)"
        return try await first(.pull) { endpoint in
            let accept = [descriptor.mediaType] + Self.manifestTypes.filter { $0 != descriptor.mediaType }
            let response = try await endpoint.send(request("GET", accept: accept, patience: Self.patience), path)
            let body = try await collect(response, endpoint, path, limit: Self.manifestLimit)
            guard response.status == .ok else {
                throw RegistryErrors.refusal(response.status.code, body: body, what: "GET \(endpoint.url(path))", reference: reference)
            }
            guard Int64(body.count) == descriptor.size else {
                throw CodedError(.failedPrecondition, "manifest \(descriptor.digest) is \(body.count) bytes, expected \(descriptor.size): failed size validation")
            }
            guard RunningDigest.of(body, descriptor.digest.algorithm) == descriptor.digest else {
                throw CodedError(.failedPrecondition, "manifest verification failed for digest \(descriptor.digest)")
            }
            return body
        }
    }

    /// Tags of the repository, in the registry's order. Spec: distribution-spec, "Listing Tags".
    package func tags() async throws -> [String] {
        try await first(.pull) { endpoint in
            var tags: [String] = []
            var query: String? = ""
            while let page = query {
                let path = "tags/list"
                let response = try await endpoint.send(request("GET", accept: ["application/json"], patience: Self.patience), path, query: page)
                let body = try await collect(response, endpoint, path, limit: Self.manifestLimit)
                guard response.status == .ok else {
                    throw RegistryErrors.refusal(response.status.code, body: body, what: "GET \(endpoint.url(path))", reference: reference)
                }
                guard let list = try? JSONDecoder().decode(TagList.self, from: Data(body)) else {
                    throw CodedError(.unavailable, "registry \(endpoint.host.authority) sent a malformed list of tags")
                }
                tags += list.tags ?? []
                guard tags.count <= Self.tagLimit else { throw CodedError(.resourceExhausted, "repository \(reference.familiarName) has more than \(Self.tagLimit) tags") }
                let next = Self.nextPage(response.headers["Link"])
                // A registry that sends us round in circles is asked once.
                query = next == page ? nil : next
            }
            return tags
        }
    }

    private struct TagList: Decodable {
        var tags: [String]?
    }

    private static let tagLimit = 100_000

    /// The query of the next page: `</v2/NAME/tags/list?n=100&last=x>; rel="next"`. Spec: RFC 8288.
    static func nextPage(_ links: [String]) -> String? {
        for link in links where link.contains("rel=\"next\"") || link.contains("rel=next") {
            guard let start = link.firstIndex(of: "<"), let end = link[start...].firstIndex(of: ">"), let mark = link[start..<end].firstIndex(of: "?") else { continue }
            return String(link[link.index(after: mark)..<end])
        }
        return nil
    }

    /// A whole blob that is a document, verified.
    package func document(_ descriptor: Descriptor, limit: Int) async throws -> [UInt8] {
        guard descriptor.size <= limit else { throw CodedError(.invalidArgument, "\(descriptor.digest) of \(descriptor.size) bytes is too large") }
        let body = try await RegistryEndpoint.collect(try await blob(descriptor, from: 0).body, limit: limit)
        guard RunningDigest.of(body, descriptor.digest.algorithm) == descriptor.digest else {
            throw CodedError(.failedPrecondition, "verification failed for digest \(descriptor.digest)")
        }
        return body
    }

    // MARK: Blobs

    /// A blob's bytes from `offset` on. A registry without ranges starts at 0, which the second part tells.
    package func blob(_ descriptor: Descriptor, from offset: Int64) async throws -> (body: HTTPClientResponse.Body, offset: Int64) {
        try await first(.pull) { endpoint in
            do { return try await blob(descriptor, from: offset, at: endpoint) } catch let error as CodedError where error.code == .notFound {
                // Foreign layers say themselves where they are. The registry is asked first: it may have been given them since.
                guard let body = try await foreignBlob(descriptor, at: endpoint) else { throw error }
                return (body, 0)
            }
        }
    }

    private func blob(_ descriptor: Descriptor, from offset: Int64, at endpoint: RegistryEndpoint) async throws -> (body: HTTPClientResponse.Body, offset: Int64) {
        let path = MediaType.isManifest(descriptor.mediaType) || MediaType.isIndex(descriptor.mediaType)
            ? "manifests/\(descriptor.digest)" : "blobs/\(descriptor.digest)"
        let range = offset > 0 ? [("Range", "bytes=\(offset)-")] : []
        let response = try await endpoint.send(request("GET", accept: [descriptor.mediaType, "*/*"], headers: range), path)
        switch response.status {
        case .ok: return (response.body, 0)
        case .partialContent:
            guard let range = response.headers.first(name: "Content-Range"), range.hasPrefix("bytes \(offset)-") else {
                throw CodedError(.unavailable, "registry \(endpoint.host.authority) answered with another range than was asked for")
            }
            return (response.body, offset)
        case .rangeNotSatisfiable where offset > 0:
            _ = try? await RegistryEndpoint.collect(response.body, limit: 64 << 10)
            return try await blob(descriptor, from: 0, at: endpoint)
        default:
            let body = try await collect(response, endpoint, path, limit: 64 << 10)
            throw RegistryErrors.refusal(response.status.code, body: body, what: "GET \(endpoint.url(path))", reference: reference)
        }
    }

    /// A layer that is not distributed by registries, from the first of the addresses in its descriptor that has it; nil where there is none.
    private func foreignBlob(_ descriptor: Descriptor, at endpoint: RegistryEndpoint) async throws -> HTTPClientResponse.Body? {
        guard MediaType.isNonDistributable(descriptor.mediaType) else { return nil }
        for url in descriptor.urls where url.hasPrefix("https://") || url.hasPrefix("http://") {
            let response: HTTPClientResponse
            do { response = try await endpoint.sendAnonymously("GET", url) } catch {
                try Task.checkCancellation()
                note("foreign layer not at this address", ["digest": "\(descriptor.digest)", "error": "\(error)"])
                continue
            }
            if response.status == .ok { return response.body }
            _ = try? await RegistryEndpoint.collect(response.body, limit: 64 << 10)
        }
        return nil
    }

    // MARK: Writing

    package func hasBlob(_ digest: OCISpec.Digest) async throws -> Bool {
        try await pushEndpoint().send(request("HEAD", scope: pushScope, patience: Self.patience), "blobs/\(digest)").status == .ok
    }

    /// Whether the registry has the manifest, under the tag if there is one.
    package func hasManifest(_ digest: OCISpec.Digest) async throws -> Bool {
        let path = "manifests/\(reference.tag ?? digest.description)"
        return try await pushEndpoint().send(request("HEAD", accept: Self.manifestTypes, scope: pushScope, patience: Self.patience), path)
            .headers.first(name: "Docker-Content-Digest") == digest.description
    }

    /// Uploads a manifest or index under `target`, a tag or digest.
    package func putManifest(_ bytes: [UInt8], mediaType: String, as target: String) async throws {
        let endpoint = try pushEndpoint()
        let path = "manifests/\(target)"
        let response = try await endpoint.send(
            request("PUT", headers: [("Content-Type", mediaType)], scope: pushScope) { .bytes(ByteBuffer(bytes: bytes)) }, path)
        guard response.status == .created || response.status == .ok || response.status == .accepted else {
            throw RegistryErrors.pushRefusal(
                response.status.code, body: try await collect(response, endpoint, path, limit: 64 << 10), what: "PUT \(endpoint.url(path))", reference: reference)
        }
    }

    // MARK: Requests

    private var pullScope: String { "repository:\(reference.path):pull" }
    var pushScope: String { "repository:\(reference.path):pull,push" }

    func request(
        _ method: String, accept: [String] = [], headers: [(String, String)] = [], scope: String? = nil, patience: TimeAmount? = nil,
        body: (@Sendable () -> HTTPClientRequest.Body)? = nil
    ) -> RegistryEndpoint.Request {
        RegistryEndpoint.Request(method: method, accept: accept, headers: headers, scope: scope ?? pullScope, body: body, patience: patience)
    }

    func collect(_ response: HTTPClientResponse, _ endpoint: RegistryEndpoint, _ path: String, limit: Int) async throws -> [UInt8] {
        do { return try await RegistryEndpoint.collect(response.body, limit: limit) } catch {
            throw RegistryErrors.failure(error, method: "Get", url: RegistryEndpoint.withoutQuery(endpoint.url(path)))
        }
    }
}

extension String {
    fileprivate var trimmingASCIIBlanks: String { String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()) }
}
