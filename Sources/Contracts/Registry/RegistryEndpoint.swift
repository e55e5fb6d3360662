package import AsyncHTTPClient
import BerthDefaults
import FoundationEssentials
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// One repository at one place, spoken to with what belongs to a request: authorization, redirects, waiting where the registry says so.
///
/// Credentials and tokens go to this place and to the token server that it names; a redirect to another host never carries them.
package final class RegistryEndpoint: Sendable {
    package let host: RegistryHost
    /// Path of the repository; empty for requests that concern none.
    private let repository: String
    private let http: HTTPClient
    private let authorization: RegistryAuthorization
    /// Which of the host's schemes is spoken; found out by the first answer where there is a choice.
    private let scheme: Mutex<(index: Int, isSettled: Bool)>
    /// For this place and for those that it redirects to.
    private let configurations = Mutex<[Bool: TLSConfiguration]>([:])

    package static let userAgent = "berth/\(Defaults.version)"

    /// - Parameters:
    ///   - domain: of the image's name; under it the credentials of the registry itself are asked for.
    ///   - logsIn: asks a token server for an identity token too, which stands for the password from then on.
    package init(
        _ host: RegistryHost, domain: String, repository: String = "", http: HTTPClient, logsIn: Bool = false,
        credentials: @escaping RegistryAuthorization.CredentialSource
    ) {
        self.host = host
        self.repository = repository
        self.http = http
        scheme = Mutex((0, host.schemes.count == 1))
        let tls = host.tls
        let mayBePlain = host.schemes.contains("http") || tls.skipsVerification
        authorization = RegistryAuthorization(host: host.isOrigin ? domain : host.authority, wantsIdentityToken: logsIn, source: credentials) { method, url, header, form in
            // Whoever can read the way to the token server has the password.
            guard url.hasPrefix("https://") || mayBePlain else {
                throw CodedError(.unauthenticated, "registry \(host.authority) names a token server without TLS")
            }
            var request = HTTPClientRequest(url: url)
            request.method = HTTPMethod(rawValue: method)
            request.headers.add(name: "User-Agent", value: Self.userAgent)
            if !tls.isEmpty { request.tlsConfiguration = try tls.configuration(showsCertificate: Self.origin(url).hasSuffix("://\(host.authority)")) }
            if let header { request.headers.add(name: "Authorization", value: header) }
            if let form {
                request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
                request.body = .bytes(ByteBuffer(string: form))
            }
            do {
                let response = try await http.execute(request, deadline: .now() + .seconds(60))
                return (response.status.code, try await Self.collect(response.body, limit: 1 << 20))
            } catch {
                throw RegistryErrors.failure(error, method: method.capitalized, url: Self.withoutQuery(url))
            }
        }
    }

    /// What a request is made of, beside its address.
    struct Request: Sendable {
        var method: String
        var accept: [String] = []
        var headers: [(String, String)] = []
        /// Of the token, as the distribution specification writes it.
        var scope: String
        /// Made anew for each attempt.
        var body: (@Sendable () -> HTTPClientRequest.Body)?
        /// The answer is small: whoever takes longer than this for all of it is given up.
        var patience: TimeAmount?
    }

    /// "http://127.0.0.1:5000/v2/library/busybox/manifests/latest"
    func url(_ path: String, query: String = "") -> String {
        var parts: [String] = query.isEmpty ? [] : [query]
        if let proxied = host.proxied { parts.append("ns=\(RegistryAuthorization.escape(proxied))") }
        return "\(root)\(host.path)/\(repository)/\(path)\(parts.isEmpty ? "" : "?" + parts.joined(separator: "&"))"
    }

    /// "http://127.0.0.1:5000", by the scheme that is spoken.
    private var root: String { "\(host.schemes[scheme.withLock { $0.index }])://\(host.authority)" }

    /// Sends a request to a path of the repository.
    func send(_ request: Request, _ path: String, query: String = "") async throws -> HTTPClientResponse {
        try await send(request) { url(path, query: query) }
    }

    /// Sends a request to an address below the host's path.
    func send(_ request: Request, relative: String, query: String) async throws -> HTTPClientResponse {
        try await send(request) { "\(root)\(host.path)/\(relative)\(query.isEmpty ? "" : "?\(query)")" }
    }

    /// Sends a request to an address that may change with the scheme.
    private func send(_ request: Request, address: () -> String) async throws -> HTTPClientResponse {
        while true {
            let address = address()
            do {
                let response = try await send(request, to: address)
                if isPlainTextRefused(response, address), tryNextScheme(after: address) { continue }
                scheme.withLock { $0.isSettled = true }
                return response
            } catch let error where Self.isOtherKindOfServer(error) && tryNextScheme(after: address) {
                continue
            } catch {
                throw RegistryErrors.failure(error, method: request.method.capitalized, url: Self.withoutQuery(address))
            }
        }
    }

    /// Sends a request to an address that the registry gave, such as that of an upload.
    func send(_ request: Request, to first: String) async throws -> HTTPClientResponse {
        var url = first
        var redirects = 0
        var waits = 0
        var refusals = 0
        while true {
            let isOwn = Self.origin(url) == Self.origin(first)
            let (prepared, used) = try await prepared(request, url, isOwn: isOwn)
            var attempt = prepared
            attempt.body = request.body?()
            let deadline = request.patience.map { .now() + $0 } ?? NIODeadline.distantFuture
            let response = try await http.execute(attempt, deadline: deadline)
            switch response.status.code {
            case 401 where isOwn && refusals < 3:
                refusals += 1
                let challenges = response.headers["WWW-Authenticate"].flatMap(AuthChallenge.parse)
                let what = "\(request.method.capitalized) \"\(Self.withoutQuery(url))\""
                guard try await authorization.answer(challenges, scope: request.scope, used: used, what: what) else { return response }
                _ = try? await Self.collect(response.body, limit: 64 << 10)
            case 301, 302, 303, 307, 308:
                guard let location = response.headers.first(name: "Location") else { return response }
                redirects += 1
                guard redirects <= 10 else {
                    throw CodedError(.unavailable, "\(request.method.capitalized) \"\(Self.withoutQuery(first))\": stopped after 10 redirects")
                }
                let next = try resolve(location, against: url)
                guard next.hasPrefix("https://") || url.hasPrefix("http://") else {
                    throw CodedError(.unavailable, "registry \(host.authority) redirects from https to http")
                }
                _ = try? await Self.collect(response.body, limit: 64 << 10)
                url = next
            case 429 where waits < 4, 503 where waits < 4 && response.headers.contains(name: "Retry-After"):
                waits += 1
                let seconds = response.headers.first(name: "Retry-After").flatMap { RetryAfter.seconds($0, now: Int64(time(nil))) } ?? (1 << waits)
                guard seconds <= 60 else { return response }
                _ = try? await Self.collect(response.body, limit: 64 << 10)
                try await Task.sleep(for: .seconds(max(1, seconds)))
            default: return response
            }
        }
    }

    /// Asks an address that is no part of the registry, without credentials or headers of ours.
    func sendAnonymously(_ method: String, _ first: String) async throws -> HTTPClientResponse {
        var url = first
        for _ in 0...10 {
            // An image must not make us ask plain text servers nearby, unless its registry is one.
            guard url.hasPrefix("https://") || (url.hasPrefix("http://") && host.schemes.contains("http")) else {
                throw CodedError(.permissionDenied, "address without TLS")
            }
            var request = HTTPClientRequest(url: url)
            request.method = HTTPMethod(rawValue: method)
            request.headers.add(name: "User-Agent", value: Self.userAgent)
            if !host.tls.isEmpty { request.tlsConfiguration = try tls(showsCertificate: false) }
            let response = try await http.execute(request, deadline: .distantFuture)
            guard (301...308).contains(response.status.code), response.status.code != 304, let location = response.headers.first(name: "Location") else {
                return response
            }
            _ = try? await Self.collect(response.body, limit: 64 << 10)
            url = try resolve(location, against: url)
        }
        throw CodedError(.unavailable, "\(method.capitalized) \"\(Self.withoutQuery(first))\": stopped after 10 redirects")
    }

    /// Shows the credentials to the registry. Spec: distribution-spec, "Determining Support".
    /// - Returns: the identity token that its token server gave for them, if any.
    /// - Throws: unauthenticated in the words of the token server; internalError, as dockerd says it, where the registry itself refuses.
    package func logIn() async throws -> String? {
        var address = ""
        let request = Request(method: "GET", scope: "", patience: .seconds(60))
        let response: HTTPClientResponse
        do {
            response = try await send(request) {
                address = "\(root)\(host.path)/"
                return address
            }
        } catch let error as CodedError where error.code == .unauthenticated {
            throw CodedError(.unauthenticated, error.message.hasPrefix("Get ") ? error.message : "Get \"\(address)\": \(error.message)")
        }
        _ = try? await Self.collect(response.body, limit: 64 << 10)
        guard response.status == .ok else {
            throw CodedError(.internalError, "login attempt to \(address) failed with status: \(response.status.code) \(HTTPStatusText.of(response.status.code))")
        }
        return await authorization.identityToken
    }

    /// One attempt, and the authorization that it carries.
    private func prepared(_ request: Request, _ url: String, isOwn: Bool) async throws -> (HTTPClientRequest, authorization: String?) {
        var attempt = HTTPClientRequest(url: url)
        attempt.method = HTTPMethod(rawValue: request.method)
        attempt.headers.add(name: "User-Agent", value: Self.userAgent)
        for type in request.accept { attempt.headers.add(name: "Accept", value: type) }
        for (name, value) in request.headers where name != "Content-Length" || request.body == nil { attempt.headers.add(name: name, value: value) }
        var used: String?
        if isOwn {
            for header in host.headers { attempt.headers.replaceOrAdd(name: header.name, value: header.value) }
            if !attempt.headers.contains(name: "Authorization") {
                used = try await authorization.header(for: request.scope)
                if let used { attempt.headers.add(name: "Authorization", value: used) }
            }
        }
        if !host.tls.isEmpty { attempt.tlsConfiguration = try tls(showsCertificate: isOwn) }
        return (attempt, used)
    }

    /// The client tells connections apart by their configuration: the same value each time, or every request would open a new one.
    private func tls(showsCertificate: Bool) throws -> TLSConfiguration {
        try configurations.withLock { configurations in
            if let known = configurations[showsCertificate] { return known }
            let made = try host.tls.configuration(showsCertificate: showsCertificate)
            configurations[showsCertificate] = made
            return made
        }
    }

    // MARK: With or without TLS

    /// A TLS server that was spoken to in plain text and says so.
    private func isPlainTextRefused(_ response: HTTPClientResponse, _ address: String) -> Bool {
        address.hasPrefix("http://") && response.status == .badRequest && response.headers.first(name: "Docker-Distribution-Api-Version") == nil
    }

    /// What a server of the other kind, or none on that port, makes of us.
    private static func isOtherKindOfServer(_ error: any Error) -> Bool {
        switch error {
        case let error as HTTPClientError: error == .remoteConnectionClosed || error == .tlsHandshakeTimeout
        case is NIOSSLError, is NIOSSLExtraError, is NIOConnectionError, is IOError: true
        default: false
        }
    }

    /// - Parameter address: what was tried. Several requests at once may find out about the same scheme: only the first of them goes on to the next.
    /// - Returns: false when there is none, or when this place has answered this scheme before.
    private func tryNextScheme(after address: String) -> Bool {
        scheme.withLock { scheme in
            guard address.hasPrefix("\(host.schemes[scheme.index])://") else { return true }
            guard !scheme.isSettled, scheme.index + 1 < host.schemes.count else { return false }
            scheme.index += 1
            return true
        }
    }

    // MARK: Addresses

    static func withoutQuery(_ url: String) -> String { String(url.prefix { $0 != "?" }) }

    /// "https://host:port", by which two addresses are the same party.
    package static func origin(_ url: String) -> Substring {
        // Behind the two slashes of the scheme.
        guard let first = url.firstIndex(of: "/"), let start = url.index(first, offsetBy: 2, limitedBy: url.endIndex) else { return url[...] }
        return url[..<(url[start...].firstIndex(where: { $0 == "/" || $0 == "?" || $0 == "#" }) ?? url.endIndex)]
    }

    /// An address that an answer gave, made whole.
    func resolve(_ location: String, against url: String) throws -> String {
        if location.hasPrefix("https://") || location.hasPrefix("http://") { return location }
        if location.hasPrefix("//") { return String(url.prefix { $0 != "/" }) + location }
        if location.hasPrefix("/") { return Self.origin(url) + location }
        guard !location.contains("://"), let slash = Self.withoutQuery(url).lastIndex(of: "/") else {
            throw CodedError(.unavailable, "registry \(host.authority) sent a malformed Location")
        }
        return url[...slash] + location
    }

    /// A whole body of at most `limit` bytes.
    package static func collect(_ body: HTTPClientResponse.Body, limit: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        for try await var chunk in body {
            guard bytes.count + chunk.readableBytes <= limit else { throw CodedError(.resourceExhausted, "registry sent more than \(limit) bytes") }
            bytes += chunk.readBytes(length: chunk.readableBytes) ?? []
        }
        return bytes
    }
}

/// The header Retry-After: seconds or a date. Spec: RFC 9110, section 10.2.3.
package enum RetryAfter {
    /// - Parameter now: seconds since 1970.
    package static func seconds(_ text: String, now: Int64) -> Int? {
        if let seconds = Int(text) { return seconds >= 0 ? seconds : nil }
        // "Wed, 21 Oct 2015 07:28:00 GMT"
        let parts = text.split { $0 == " " || $0 == ":" }
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        guard parts.count == 8, parts[7] == "GMT", let day = Int64(parts[1]), let month = months.firstIndex(of: String(parts[2])), let year = Int64(parts[3]),
            let hour = Int64(parts[4]), let minute = Int64(parts[5]), let second = Int64(parts[6])
        else { return nil }
        // Days from the civil date, with March as the year's first month.
        let shifted = month >= 2 ? year : year - 1
        let monthFromMarch = Int64((month + 10) % 12)
        let dayOfYear = (153 * monthFromMarch + 2) / 5 + day - 1
        let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
        return Int(max(0, days * 86_400 + hour * 3600 + minute * 60 + second - now))
    }
}
