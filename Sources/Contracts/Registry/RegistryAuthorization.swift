import BerthDefaults
import FoundationEssentials
import NIOCore

/// Who the user is to a registry.
package enum RegistryCredentials: Sendable, Equatable {
    case anonymous
    case password(username: String, secret: String)
    /// An identity token, exchanged for access tokens.
    case refresh(String)
    /// The value of the Authorization header as it is.
    case header(String)
}

/// One challenge of a WWW-Authenticate header. Spec: RFC 9110, section 11; the parameters are those of distribution's token scheme.
package struct AuthChallenge: Equatable, Sendable {
    /// In lower case: "bearer", "basic".
    package var scheme: String
    package var parameters: [String: String]

    /// All challenges of a header's values. Anything that does not parse is left out.
    package static func parse(_ header: String) -> [AuthChallenge] {
        var challenges: [AuthChallenge] = []
        var scanner = Scanner(Array(header.utf8))
        while let token = scanner.token() {
            if scanner.take("="), let last = challenges.indices.last {
                if let value = scanner.value() { challenges[last].parameters[token.lowercased()] = value }
            } else {
                challenges.append(AuthChallenge(scheme: token.lowercased(), parameters: [:]))
            }
        }
        return challenges
    }

    private struct Scanner {
        private let bytes: [UInt8]
        private var index = 0

        init(_ bytes: [UInt8]) { self.bytes = bytes }

        mutating func token() -> String? {
            while index < bytes.count, bytes[index] == 0x20 || bytes[index] == 0x09 || bytes[index] == UInt8(ascii: ",") { index += 1 }
            let start = index
            while index < bytes.count, !" \t,=\"".utf8.contains(bytes[index]) { index += 1 }
            return index > start ? String(decoding: bytes[start..<index], as: UTF8.self) : nil
        }

        mutating func take(_ character: Character) -> Bool {
            var next = index
            while next < bytes.count, bytes[next] == 0x20 { next += 1 }
            guard next < bytes.count, bytes[next] == character.asciiValue else { return false }
            index = next + 1
            return true
        }

        mutating func value() -> String? {
            while index < bytes.count, bytes[index] == 0x20 { index += 1 }
            guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else { return token() }
            index += 1
            var value: [UInt8] = []
            while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
                if bytes[index] == UInt8(ascii: "\\"), index + 1 < bytes.count { index += 1 }
                value.append(bytes[index])
                index += 1
            }
            index += 1
            return String(decoding: value, as: UTF8.self)
        }
    }
}

/// The tokens that one user has for one registry host. They are sent to that host alone.
package actor RegistryAuthorization {
    package typealias CredentialSource = @Sendable (_ host: String) async throws -> RegistryCredentials
    /// Performs a request to a token server and returns status and body.
    package typealias TokenRequest = @Sendable (_ method: String, _ url: String, _ authorization: String?, _ form: String?) async throws -> (status: UInt, body: [UInt8])

    private struct Token {
        var value: String
        var expires: ContinuousClock.Instant
    }

    private let host: String
    private let source: CredentialSource
    private let request: TokenRequest
    private let wantsIdentityToken: Bool
    /// The last that a token server gave.
    private(set) var identityToken: String?
    private var credentials: RegistryCredentials?
    private var loading: Task<RegistryCredentials, any Error>?
    private var tokens: [String: Token] = [:]
    private var usesBasic = false
    private var pending: [String: Task<String, any Error>] = [:]

    package init(host: String, wantsIdentityToken: Bool = false, source: @escaping CredentialSource, request: @escaping TokenRequest) {
        self.host = host
        self.wantsIdentityToken = wantsIdentityToken
        self.source = source
        self.request = request
    }

    /// The header for a request in `scope`, as far as it is known without asking the registry.
    package func header(for scope: String) async throws -> String? {
        if usesBasic { return try await basicHeader() }
        if case .header(let value)? = credentials { return value }
        guard let token = tokens[scope], token.expires > .now else { return nil }
        return "Bearer \(token.value)"
    }

    /// Answers a 401. Returns false when there is nothing new to try.
    /// - Parameter used: the header that was refused.
    package func answer(_ challenges: [AuthChallenge], scope: String, used: String?, what: String) async throws -> Bool {
        if let bearer = challenges.first(where: { $0.scheme == "bearer" }) {
            if let current = tokens[scope], current.expires > .now, "Bearer \(current.value)" != used { return true }
            if case .header(let value) = try await load(), used != value {
                return true
            }
            let before = tokens[scope]?.value
            if used != nil, before != nil, "Bearer \(before ?? "")" == used { tokens[scope] = nil }
            _ = try await fetchToken(bearer, scope: scope)
            // A token that was just fetched and refused will not be better the next time.
            return used == nil || "Bearer \(tokens[scope]?.value ?? "")" != used
        }
        if challenges.contains(where: { $0.scheme == "basic" }) {
            guard used == nil else { return false }
            usesBasic = true
            guard try await basicHeader() != nil else {
                usesBasic = false
                throw CodedError(.unauthenticated, "\(what): no basic auth credentials")
            }
            return true
        }
        if case .header(let value) = try await load() { return used != value }
        return false
    }

    private func load() async throws -> RegistryCredentials {
        if let credentials { return credentials }
        // The user is asked once, however many requests are refused at the same time.
        if let loading { return try await loading.value }
        let task = Task { [source, host] in try await source(host) }
        loading = task
        defer { loading = nil }
        let loaded = try await task.value
        credentials = loaded
        return loaded
    }

    private func basicHeader() async throws -> String? {
        switch try await load() {
        case .password(let username, let secret): Self.basic(username, secret)
        case .header(let value): value
        case .anonymous, .refresh: nil
        }
    }

    private static func basic(_ username: String, _ secret: String) -> String {
        "Basic " + Data("\(username):\(secret)".utf8).base64EncodedString()
    }

    // MARK: Tokens

    private struct Reply: Decodable {
        var token: String?
        var access_token: String?
        var expires_in: Int?
        var refresh_token: String?
    }

    /// One request at a time per scope; those that come meanwhile get its token.
    private func fetchToken(_ challenge: AuthChallenge, scope: String) async throws -> String {
        if let running = pending[scope] { return try await running.value }
        let task = Task { try await self.requestToken(challenge, scope: scope) }
        pending[scope] = task
        defer { pending[scope] = nil }
        return try await task.value
    }

    private func requestToken(_ challenge: AuthChallenge, scope: String) async throws -> String {
        guard let realm = challenge.parameters["realm"], realm.hasPrefix("https://") || realm.hasPrefix("http://") else {
            throw CodedError(.unauthenticated, "registry \(host) asks for a token without saying where to get one")
        }
        let service = challenge.parameters["service"]
        let scopes = Self.union(scope, challenge.parameters["scope"] ?? "")
        let credentials = try await load()
        var reply: (status: UInt, body: [UInt8])
        switch credentials {
        case .refresh(let token):
            reply = try await request("POST", realm, nil, Self.form(["grant_type": "refresh_token", "refresh_token": token], service: service, scope: scopes))
        case .password(let username, let secret):
            reply = try await request("GET", url(realm, service: service, scope: scopes, account: username), Self.basic(username, secret), nil)
            if reply.status == 404 || reply.status == 405 {
                reply = try await request(
                    "POST", realm, nil, Self.form(["grant_type": "password", "username": username, "password": secret], service: service, scope: scopes))
            }
        case .anonymous, .header:
            reply = try await request("GET", url(realm, service: service, scope: scopes, account: nil), nil, nil)
        }
        guard reply.status == 200 else {
            let said = RegistryErrorBody.text(reply.body)?.text
            if case .anonymous = credentials, reply.status == 401 || reply.status == 403, said == nil {
                // Nobody gave a password that could be wrong: containerd's words, with what the server said.
                let answer = "\(reply.status) \(HTTPStatusText.of(reply.status)): \(String(decoding: reply.body.prefix(512), as: UTF8.self).filter { !$0.isNewline })"
                throw CodedError(.unauthenticated, "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to \(realm): \(answer)")
            }
            if reply.status == 401 || reply.status == 403 {
                throw CodedError(.unauthenticated, said ?? "unauthorized: incorrect username or password")
            }
            throw CodedError(.unavailable, "token server of \(host) answered \(reply.status) \(HTTPStatusText.of(reply.status))\(said.map { ": \($0)" } ?? "")")
        }
        guard let decoded = try? JSONDecoder().decode(Reply.self, from: Data(reply.body)), let value = decoded.token ?? decoded.access_token, !value.isEmpty
        else { throw CodedError(.unauthenticated, "authorization server did not include a token in the response") }
        guard value.utf8.count <= 64 << 10, value.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw CodedError(.unauthenticated, "authorization server of \(host) returned a malformed token")
        }
        identityToken = decoded.refresh_token ?? identityToken
        if let refresh = decoded.refresh_token, case .refresh = credentials { self.credentials = .refresh(refresh) }
        // The specification's default is a minute; a part is kept in hand for the way to the registry.
        let lifetime = max(60, min(decoded.expires_in ?? 60, 3600))
        tokens[scope] = Token(value: value, expires: .now + .seconds(lifetime - 10))
        return value
    }

    /// What we know that we need and what the registry asks for, once each: a token for both saves the next refusal.
    package static func union(_ own: String, _ asked: String) -> String {
        var actions: [(resource: Substring, names: [Substring])] = []
        for scope in own.split(separator: " ") + asked.split(separator: " ") {
            guard let colon = scope.lastIndex(of: ":") else { continue }
            let resource = scope[..<colon]
            let names = scope[scope.index(after: colon)...].split(separator: ",")
            if let index = actions.firstIndex(where: { $0.resource == resource }) {
                actions[index].names += names.filter { !actions[index].names.contains($0) }
            } else {
                actions.append((resource, names))
            }
        }
        return actions.map { "\($0.resource):\($0.names.joined(separator: ","))" }.joined(separator: " ")
    }

    private func url(_ realm: String, service: String?, scope: String, account: String?) -> String {
        var query: [String] = []
        if let account { query.append("account=\(Self.escape(account))") }
        if wantsIdentityToken { query += ["client_id=berth", "offline_token=true"] }
        for part in scope.split(separator: " ") { query.append("scope=\(Self.escape(String(part)))") }
        if let service { query.append("service=\(Self.escape(service))") }
        return realm + (realm.contains("?") ? "&" : "?") + query.joined(separator: "&")
    }

    private static func form(_ fields: [String: String], service: String?, scope: String) -> String {
        var fields = fields
        fields["client_id"] = "berth"
        fields["scope"] = scope
        fields["service"] = service
        return fields.sorted { $0.key < $1.key }.map { "\($0.key)=\(escape($0.value))" }.joined(separator: "&")
    }

    /// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3).
    package static func escape(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = Array("0123456789ABCDEF")
                result += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
        return result
    }
}
