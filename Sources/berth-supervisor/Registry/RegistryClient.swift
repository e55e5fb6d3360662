import AsyncHTTPClient
import BerthDefaults
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOSSL
import OCISpec
import Synchronization

/// How to reach registries.
struct RegistryOptions: Sendable {
    /// Hosts (with port, or CIDR-free prefixes as dockerd has them) that may be spoken to without a verified certificate or without TLS.
    var insecure: Set<String> = []
    /// "http" or "https" where the client said so; nil decides by the host.
    var scheme: String?
    /// Sent with every request to the registry itself.
    var headers: [(String, String)] = []
    /// A request that makes no progress for so long has failed.
    var idleTimeout: TimeAmount = .seconds(60)
    var attempts = 5
}

/// One repository of one registry, spoken to as the distribution specification 1.1 says.
///
/// Credentials and tokens go to the registry's own host and to the token server that it names; a redirect to another host never carries them. Everything
/// that arrives is bounded and checked by whoever asked for it; nothing here stores anything.
final class RegistryClient: Sendable {
    let reference: ImageReference
    private let http: HTTPClient
    private let options: RegistryOptions
    private let authorization: RegistryAuthorization
    /// "http://127.0.0.1:5000": found out by the first request where there is a choice.
    private let base: Mutex<String>
    private let host: String
    private let isInsecure: Bool

    static let manifestTypes = [
        MediaType.ociIndex, MediaType.dockerManifestList, MediaType.ociManifest, MediaType.dockerManifest,
    ]
    /// containerd's and the specification's bound on a manifest.
    static let manifestLimit = 4 << 20

    init(_ reference: ImageReference, http: HTTPClient, options: RegistryOptions, credentials: @escaping RegistryAuthorization.CredentialSource) {
        self.reference = reference
        self.http = http
        self.options = options
        host = reference.domain == ImageReference.defaultDomain ? "registry-1.docker.io" : reference.domain
        isInsecure = Self.isLoopback(host) || options.insecure.contains(host) || options.scheme == "http"
        let scheme = options.scheme ?? (isInsecure ? "http" : "https")
        base = Mutex("\(scheme)://\(host)")
        authorization = RegistryAuthorization(host: reference.domain, source: credentials) { method, url, header, form in
            var request = HTTPClientRequest(url: url)
            request.method = HTTPMethod(rawValue: method)
            request.headers.add(name: "User-Agent", value: Self.userAgent)
            if let header { request.headers.add(name: "Authorization", value: header) }
            if let form {
                request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
                request.body = .bytes(ByteBuffer(string: form))
            }
            do {
                let response = try await http.execute(request, deadline: .now() + .seconds(60))
                return (response.status.code, try await Self.collect(response.body, limit: 1 << 20))
            } catch {
                throw RegistryErrors.failure(error, method: method.capitalized, url: url.split(separator: "?").first.map(String.init) ?? url)
            }
        }
    }

    private static let userAgent = "berth/\(Defaults.version)"

    static func isLoopback(_ host: String) -> Bool {
        let name = host.hasPrefix("[") ? host.prefix { $0 != "]" }.dropFirst() : host.prefix { $0 != ":" }
        if name == "localhost" || name == "::1" { return true }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        return parts.count == 4 && parts[0] == 127 && !parts.contains(nil)
    }

    /// The label by which content remembers where it came from: host without a port, as containerd writes it.
    var sourceLabel: String {
        let domain = reference.domain
        let host = domain.hasPrefix("[") ? String(domain.prefix { $0 != "]" }) + "]" : String(domain.prefix { $0 != ":" })
        return "containerd.io/distribution.source.\(host)"
    }

    // MARK: Manifests

    /// What the reference's tag or digest stands for now.
    func resolve() async throws -> Descriptor {
        let target = reference.digest?.description ?? reference.tag ?? ImageReference.defaultTag
        let head = try await send("HEAD", "manifests/\(target)", accept: Self.manifestTypes)
        if head.status == .ok, let digest = head.headers.first(name: "Docker-Content-Digest").flatMap({ try? Digest(parsing: $0) }),
            let size = head.headers.first(name: "Content-Length").flatMap({ Int64($0) }), size > 0, let type = mediaType(head.headers)
        {
            try check(reference.digest, against: digest)
            return Descriptor(mediaType: type, digest: digest, size: size)
        }
        // Registries that answer no HEAD, or without a digest; and every refusal, whose reason is in the body of a GET only.
        let response = try await send("GET", "manifests/\(target)", accept: Self.manifestTypes)
        let body = try await Self.collect(response.body, limit: Self.manifestLimit)
        guard response.status == .ok else { throw RegistryErrors.refusal(response.status.code, body: body, what: "GET \(url("manifests/\(target)"))", reference: reference) }
        let digest = RunningDigest.of(body, reference.digest?.algorithm ?? .sha256)
        try check(reference.digest, against: digest)
        guard let type = mediaType(response.headers) else { throw StorageError(.invalidArgument, "registry \(host) sent a manifest without a media type") }
        return Descriptor(mediaType: type, digest: digest, size: Int64(body.count))
    }

    private func mediaType(_ headers: HTTPHeaders) -> String? {
        headers.first(name: "Content-Type").map { String($0.prefix { $0 != ";" }).trimmingASCIIBlanks }
    }

    private func check(_ expected: Digest?, against actual: Digest) throws {
        if let expected, expected != actual {
            throw StorageError(.failedPrecondition, "registry \(host) answered with \(actual) for \(expected): unexpected digest")
        }
    }

    /// The bytes of a manifest or index, verified.
    func manifest(_ descriptor: Descriptor) async throws -> [UInt8] {
        guard descriptor.size <= Self.manifestLimit else { throw StorageError(.invalidArgument, "manifest \(descriptor.digest) of \(descriptor.size) bytes is too large") }
        let path = "manifests/\(descriptor.digest)"
        let response = try await send("GET", path, accept: [descriptor.mediaType] + Self.manifestTypes.filter { $0 != descriptor.mediaType })
        let body = try await Self.collect(response.body, limit: Self.manifestLimit)
        guard response.status == .ok else { throw RegistryErrors.refusal(response.status.code, body: body, what: "GET /\(path)", reference: reference) }
        guard Int64(body.count) == descriptor.size else {
            throw StorageError(.failedPrecondition, "manifest \(descriptor.digest) is \(body.count) bytes, expected \(descriptor.size): failed size validation")
        }
        guard RunningDigest.of(body, descriptor.digest.algorithm) == descriptor.digest else {
            throw StorageError(.failedPrecondition, "manifest verification failed for digest \(descriptor.digest)")
        }
        return body
    }

    // MARK: Blobs

    /// A blob's bytes from `offset` on. A registry without ranges starts at 0, which the second part tells.
    func blob(_ descriptor: Descriptor, from offset: Int64) async throws -> (body: HTTPClientResponse.Body, offset: Int64) {
        let path = MediaType.isManifest(descriptor.mediaType) || MediaType.isIndex(descriptor.mediaType)
            ? "manifests/\(descriptor.digest)" : "blobs/\(descriptor.digest)"
        let range = offset > 0 ? [("Range", "bytes=\(offset)-")] : []
        let response = try await send("GET", path, accept: [descriptor.mediaType, "*/*"], headers: range)
        switch response.status {
        case .ok: return (response.body, 0)
        case .partialContent:
            guard let range = response.headers.first(name: "Content-Range"), range.hasPrefix("bytes \(offset)-") else {
                throw StorageError(.unavailable, "registry \(host) answered with another range than was asked for")
            }
            return (response.body, offset)
        default:
            let body = try await Self.collect(response.body, limit: 64 << 10)
            throw RegistryErrors.refusal(response.status.code, body: body, what: "GET \(url(path))", reference: reference)
        }
    }

    func hasBlob(_ digest: Digest) async throws -> Bool {
        try await send("HEAD", "blobs/\(digest)", scope: pushScope).status == .ok
    }

    /// Whether the registry has the manifest, under the tag if there is one.
    func hasManifest(_ digest: Digest) async throws -> Bool {
        try await send("HEAD", "manifests/\(reference.tag ?? digest.description)", accept: Self.manifestTypes, scope: pushScope)
            .headers.first(name: "Docker-Content-Digest") == digest.description
    }

    /// Uploads a blob in one piece. With `mountFrom`, asks first whether the registry can take it from another of its repositories.
    func upload(_ descriptor: Descriptor, mountFrom: String?, body: @escaping @Sendable () -> HTTPClientRequest.Body) async throws {
        var query = ""
        var scope = pushScope
        if let mountFrom {
            query = "?mount=\(descriptor.digest)&from=\(RegistryAuthorization.escape(mountFrom))"
            scope += " repository:\(mountFrom):pull"
        }
        let begun = try await send("POST", "blobs/uploads/\(query)", headers: [("Content-Length", "0")], scope: scope)
        if begun.status == .created { return }
        guard begun.status == .accepted, let location = begun.headers.first(name: "Location") else {
            throw RegistryErrors.pushRefusal(
                begun.status.code, body: try await Self.collect(begun.body, limit: 64 << 10), what: "POST \(url("blobs/uploads/"))", reference: reference)
        }
        let target = try resolve(location, against: url("blobs/uploads/"))
        let upload = target + (target.contains("?") ? "&" : "?") + "digest=\(RegistryAuthorization.escape(descriptor.digest.description))"
        let done = try await send(
            "PUT", url: upload, headers: [("Content-Type", "application/octet-stream"), ("Content-Length", "\(descriptor.size)")], scope: scope, body: body)
        guard done.status == .created || done.status == .noContent else {
            throw RegistryErrors.pushRefusal(
                done.status.code, body: try await Self.collect(done.body, limit: 64 << 10), what: "PUT \(Self.withoutQuery(upload))", reference: reference)
        }
    }

    /// Uploads a manifest or index under `target`, a tag or digest.
    func putManifest(_ bytes: [UInt8], mediaType: String, as target: String) async throws {
        let path = "manifests/\(target)"
        let response = try await send("PUT", path, headers: [("Content-Type", mediaType)], scope: pushScope) { .bytes(ByteBuffer(bytes: bytes)) }
        guard response.status == .created || response.status == .ok || response.status == .accepted else {
            throw RegistryErrors.pushRefusal(
                response.status.code, body: try await Self.collect(response.body, limit: 64 << 10), what: "PUT \(url(path))", reference: reference)
        }
    }

    // MARK: Requests

    private var pullScope: String { "repository:\(reference.path):pull" }
    private var pushScope: String { "repository:\(reference.path):pull,push" }

    private func url(_ path: String) -> String { "\(base.withLock { $0 })/v2/\(reference.path)/\(path)" }

    private static func withoutQuery(_ url: String) -> String { String(url.prefix { $0 != "?" }) }

    private func send(
        _ method: String, _ path: String, accept: [String] = [], headers: [(String, String)] = [], scope: String? = nil,
        body: (@Sendable () -> HTTPClientRequest.Body)? = nil
    ) async throws -> HTTPClientResponse {
        let first = url(path)
        do {
            let response = try await send(method, url: first, accept: accept, headers: headers, scope: scope, body: body)
            if isInsecure, options.scheme == nil, response.status == .badRequest, first.hasPrefix("http://"), response.headers.first(name: "Docker-Distribution-Api-Version") == nil {
                // A TLS server that was spoken to in plain text.
                base.withLock { $0 = "https://\(host)" }
                return try await send(method, url: url(path), accept: accept, headers: headers, scope: scope, body: body)
            }
            return response
        } catch let error as HTTPClientError where isInsecure && options.scheme == nil && first.hasPrefix("http://") && error == .remoteConnectionClosed {
            base.withLock { $0 = "https://\(host)" }
            return try await send(method, url: url(path), accept: accept, headers: headers, scope: scope, body: body)
        }
    }

    /// One request with what belongs to it: authorization, redirects, waiting where the registry says so.
    private func send(
        _ method: String, url first: String, accept: [String] = [], headers: [(String, String)] = [], scope: String? = nil,
        body: (@Sendable () -> HTTPClientRequest.Body)? = nil
    ) async throws -> HTTPClientResponse {
        let scope = scope ?? pullScope
        var url = first
        var redirects = 0
        var waits = 0
        var refusals = 0
        while true {
            let isOwn = Self.origin(url) == Self.origin(first)
            var request = HTTPClientRequest(url: url)
            request.method = HTTPMethod(rawValue: method)
            request.headers.add(name: "User-Agent", value: Self.userAgent)
            for type in accept { request.headers.add(name: "Accept", value: type) }
            for (name, value) in headers where name != "Content-Length" || body == nil { request.headers.add(name: name, value: value) }
            var used: String?
            if isOwn {
                for (name, value) in options.headers { request.headers.replaceOrAdd(name: name, value: value) }
                if !request.headers.contains(name: "Authorization") {
                    used = try await authorization.header(for: scope)
                    if let used { request.headers.add(name: "Authorization", value: used) }
                }
            }
            if isInsecure { request.tlsConfiguration = Self.unverified }
            request.body = body?()
            let response: HTTPClientResponse
            do {
                response = try await http.execute(request, deadline: .distantFuture)
            } catch let error as HTTPClientError where error == .remoteConnectionClosed && url.hasPrefix("http://") && isInsecure && options.scheme == nil {
                throw error
            } catch {
                throw RegistryErrors.failure(error, method: method.capitalized, url: Self.withoutQuery(url))
            }
            switch response.status.code {
            case 401 where isOwn && refusals < 3:
                refusals += 1
                let challenges = response.headers["WWW-Authenticate"].flatMap(AuthChallenge.parse)
                guard try await authorization.answer(challenges, scope: scope, used: used, what: "\(method.capitalized) \"\(Self.withoutQuery(url))\"") else { return response }
                _ = try? await Self.collect(response.body, limit: 64 << 10)
            case 301, 302, 303, 307, 308:
                guard let location = response.headers.first(name: "Location") else { return response }
                redirects += 1
                guard redirects <= 10 else { throw StorageError(.unavailable, "\(method.capitalized) \"\(Self.withoutQuery(first))\": stopped after 10 redirects") }
                let next = try resolve(location, against: url)
                guard next.hasPrefix("https://") || url.hasPrefix("http://") else {
                    throw StorageError(.unavailable, "registry \(host) redirects from https to http")
                }
                _ = try? await Self.collect(response.body, limit: 64 << 10)
                url = next
            case 429 where waits < 4:
                waits += 1
                let seconds = response.headers.first(name: "Retry-After").flatMap { Int($0) } ?? (1 << waits)
                guard seconds <= 60 else { return response }
                _ = try? await Self.collect(response.body, limit: 64 << 10)
                try await Task.sleep(for: .seconds(max(1, seconds)))
            default: return response
            }
        }
    }

    /// "https://host:port", by which two addresses are the same party.
    private static func origin(_ url: String) -> Substring {
        // Behind the two slashes of the scheme.
        guard let first = url.firstIndex(of: "/"), let start = url.index(first, offsetBy: 2, limitedBy: url.endIndex) else { return url[...] }
        return url[..<(url[start...].firstIndex(where: { $0 == "/" || $0 == "?" || $0 == "#" }) ?? url.endIndex)]
    }

    private func resolve(_ location: String, against url: String) throws -> String {
        if location.hasPrefix("https://") || location.hasPrefix("http://") { return location }
        if location.hasPrefix("//") { return String(url.prefix { $0 != "/" }) + location }
        if location.hasPrefix("/") { return Self.origin(url) + location }
        guard !location.contains("://"), let slash = Self.withoutQuery(url).lastIndex(of: "/") else {
            throw StorageError(.unavailable, "registry \(host) sent a malformed Location")
        }
        return url[...slash] + location
    }

    private static let unverified: TLSConfiguration = {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        return configuration
    }()

    /// A whole body of at most `limit` bytes.
    static func collect(_ body: HTTPClientResponse.Body, limit: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        for try await var chunk in body {
            guard bytes.count + chunk.readableBytes <= limit else { throw StorageError(.resourceExhausted, "registry sent more than \(limit) bytes") }
            bytes += chunk.readBytes(length: chunk.readableBytes) ?? []
        }
        return bytes
    }
}

extension String {
    fileprivate var trimmingASCIIBlanks: String { String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()) }
}
