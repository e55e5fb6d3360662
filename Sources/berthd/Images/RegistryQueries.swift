import BerthDefaults
import DockerAPI
import FoundationEssentials
import OCISpec
import Registry

/// What asks a registry without pulling: logging in, searching, an image's manifest, a repository's tags.
///
/// The daemon asks by itself, as dockerd does: containerd's API has no call for it, and a stock containerd may be the one below.
struct RegistryQueries: Sendable {
    let settings: RegistrySettings
    private let http = RegistryHTTP(idle: .seconds(60))

    init(settings: RegistrySettings) { self.settings = settings }

    /// The registry of a reference, by way of its mirrors where there are any.
    func client(_ reference: ImageReference, auth: AuthConfig?) throws -> RegistryClient {
        let credentials = auth?.registryCredentials ?? .anonymous
        let endpoints = try settings.options(for: reference.domain).hosts(for: reference.domain).map { host in
            RegistryEndpoint(host, domain: reference.domain, repository: reference.path, http: http.client(connectTimeout: host.connectTimeout)) { _ in
                // What the user gave is for the registry that the image's name speaks of, not for its mirrors.
                host.isOrigin ? credentials : .anonymous
            }
        }
        return RegistryClient(reference, endpoints: endpoints) { message, fields in Log.info("\(message): \(fields.map { "\($0.key)=\($0.value)" }.joined(separator: " "))") }
    }

    /// The registry itself, without mirrors: for requests that concern no repository.
    private func endpoint(_ domain: String, auth: AuthConfig?, logsIn: Bool = false, change: (inout RegistryHost) -> Void = { _ in }) throws -> RegistryEndpoint {
        guard var host = try settings.options(for: domain).hosts(for: domain).last else { throw DaemonError.notFound("no host is configured for \(domain)") }
        change(&host)
        let credentials = auth?.registryCredentials ?? .anonymous
        return RegistryEndpoint(host, domain: domain, http: http.client(connectTimeout: host.connectTimeout), logsIn: logsIn) { _ in credentials }
    }

    // MARK: - Login

    /// Shows the credentials to the registry that they name, Docker Hub by default.
    ///
    /// - Throws: `.unauthenticated` in the token server's words, `.internalError` where the registry refuses or does not answer.
    func logIn(_ auth: AuthConfig) async throws -> AuthResponse {
        let domain = try Self.host(of: auth.serveraddress ?? "")
        do {
            let token = try await endpoint(domain, auth: auth, logsIn: true).logIn()
            return AuthResponse(Status: "Login Succeeded", IdentityToken: token ?? auth.identitytoken ?? "")
        } catch { throw Self.failure(error) }
    }

    /// The registry of a server's address as users have written it since the first version: `HOST`, `HOST/v1/`, `https://HOST/v1/`.
    static func host(of address: String) throws -> String {
        var rest = address[...]
        for scheme in ["https://", "http://"] where rest.hasPrefix(scheme) { rest = rest.dropFirst(scheme.count) }
        let host = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        if let bad = host.first(where: { $0 == " " || $0 == "\"" || $0 == "<" || $0 == ">" || $0 == "\\" }) {
            let whole = address.contains("://") ? address : "https://\(address)"
            throw DaemonError.invalid("unable to parse server address: parse \"\(whole)\": invalid character \"\(bad)\" in host name")
        }
        return host.isEmpty || host == "index.docker.io" ? ImageReference.defaultDomain : String(host)
    }

    // MARK: - Search

    static let searchFilters: Set<String> = ["is-automated", "is-official", "stars"]
    private static let searchLimits = 1...100
    private static let defaultSearchLimit = 25

    /// - Parameters:
    ///   - term: what to look for, behind the registry's host where it is not Docker Hub.
    ///   - limit: nil for dockerd's 25.
    func search(_ term: String, limit: Int?, _ filters: ListFilters, auth: AuthConfig?) async throws -> [SearchResult] {
        let isAutomated = try filters.boolean("is-automated") ?? false
        let isOfficial = try filters.boolean("is-official")
        let stars = try filters["stars"].map { text in
            guard let stars = Int(text) else { throw DaemonError.invalid("invalid filter 'stars=\(text)': strconv.Atoi: parsing \"\(text)\": invalid syntax") }
            return stars
        }.max() ?? 0
        // The registries' word on it is not to be trusted; dockerd answers the same.
        if isAutomated { return [] }
        guard !term.contains("://") else { throw DaemonError.invalid("invalid repository name: repository name (\(term)) should not have a scheme") }
        let limit = limit.flatMap { $0 == 0 ? nil : $0 } ?? Self.defaultSearchLimit
        guard Self.searchLimits.contains(limit) else { throw DaemonError.invalid("limit \(limit) is outside the range of [1, 100]") }
        let (domain, name) = Self.splitTerm(term)
        let isHub = domain == ImageReference.defaultDomain
        do {
            let endpoint = try endpoint(domain, auth: auth) { host in
                host.path = "/v1"
                if isHub { host.authority = "index.docker.io" }
            }
            return try await endpoint.search(isHub && name.hasPrefix("library/") ? String(name.dropFirst(8)) : name, limit: limit).compactMap { found in
                if let isOfficial, isOfficial != (found.is_official ?? false) { return nil }
                if (found.star_count ?? 0) < stars { return nil }
                return SearchResult(name: found.name, description: found.description ?? "", stars: found.star_count ?? 0, isOfficial: found.is_official ?? false)
            }
        } catch let error as CodedError where error.code == .unavailable && !isHub {
            throw DaemonError.invalid("invalid registry endpoint \"\(domain)/v1/\": \(error.message)")
        } catch { throw Self.failure(error) }
    }

    /// The registry and what to look for there.
    private static func splitTerm(_ term: String) -> (domain: String, name: String) {
        let parts = term.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, parts[0].contains(".") || parts[0].contains(":") || parts[0] == "localhost" else { return (ImageReference.defaultDomain, term) }
        return (parts[0] == "index.docker.io" ? ImageReference.defaultDomain : parts[0], parts[1])
    }

    // MARK: - Manifests and tags

    private static let configLimit = 8 << 20

    /// What a registry has under a name: the descriptor, and the platforms that it is for.
    func inspect(_ reference: ImageReference, auth: AuthConfig?) async throws -> DistributionInspect {
        do {
            let client = try client(reference.withDefaultTag, auth: auth)
            let descriptor = try await client.resolve()
            let bytes = Data(try await client.manifest(descriptor))
            var answer = DistributionInspect()
            answer.Descriptor = DockerAPI.Descriptor(descriptor)
            if OCISpec.MediaType.isIndex(descriptor.mediaType) {
                let index = try JSONDecoder().decode(ImageIndex.self, from: bytes)
                answer.Platforms = index.manifests.map { $0.platform.map { DockerAPI.Descriptor.Platform($0) } ?? DockerAPI.Descriptor.Platform() }
            } else if OCISpec.MediaType.isManifest(descriptor.mediaType) {
                let manifest = try JSONDecoder().decode(ImageManifest.self, from: bytes)
                if OCISpec.MediaType.isConfig(manifest.config.mediaType) {
                    let config = try JSONDecoder().decode(ImageConfig.self, from: Data(try await client.document(manifest.config, limit: Self.configLimit)))
                    if !config.os.isEmpty || !config.architecture.isEmpty { answer.Platforms = [DockerAPI.Descriptor.Platform(config.platform)] }
                }
            } else if descriptor.mediaType.contains("manifest.v1") {
                throw Self.schema1(reference.withDefaultTag.description)
            }
            return answer
        } catch let error as CodedError where error.code == .notFound {
            // Here the registry's words alone are the answer.
            let prefixes = ["manifest for \(reference.withDefaultTag.familiar) not found: ", "repository \(reference.familiarName) not found: "]
            let prefix = prefixes.first { error.message.hasPrefix($0) } ?? ""
            throw DaemonError.notFound(String(error.message.dropFirst(prefix.count)))
        } catch let error as DecodingError {
            throw DaemonError.internalError("the registry sent a malformed document for \(reference.familiar): \(error)")
        } catch { throw Self.failure(error) }
    }

    func tags(_ reference: ImageReference, auth: AuthConfig?) async throws -> [String] {
        do { return try await client(reference, auth: auth).tags() } catch { throw Self.failure(error) }
    }

    // MARK: - Errors

    static func schema1(_ reference: String) -> DaemonError {
        .invalid(
            "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed. Suggest the author of \(reference) to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2. More information at https://docs.docker.com/go/deprecated-image-specs/"
        )
    }

    /// A registry that does not answer is no state of this engine's: 500 as dockerd has it, not 503.
    static func failure(_ error: any Error) -> any Error {
        let failure = HTTPErrorMapping.daemonError(error)
        return failure.code == .unavailable ? DaemonError.internalError(failure.message) : failure
    }
}

extension AuthConfig {
    var registryCredentials: RegistryCredentials {
        if let token = registrytoken, !token.isEmpty { return .header("Bearer \(token)") }
        if let token = identitytoken, !token.isEmpty { return .refresh(token) }
        if let name = username, !name.isEmpty { return .password(username: name, secret: password ?? "") }
        return .anonymous
    }
}
