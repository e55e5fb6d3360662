import DockerAPI
import FoundationEssentials
import NIOHTTP1
import OCISpec

/// What `POST /build` asks for besides the context.
struct BuildOptions: Sendable {
    var tags: [ImageReference] = []
    var dockerfile = "Dockerfile"
    /// Only the ID is told.
    var isQuiet = false
    var usesCache = true
    var cacheFrom: [String] = []
    var pulls = false
    /// Containers of steps that went well are removed.
    var removes = true
    /// Those of steps that failed as well.
    var forceRemoves = false
    var arguments: [String: String?] = [:]
    var labels: [String: String] = [:]
    var target = ""
    var platform: Platform?
    /// For the containers of RUN.
    var host = HostConfig()
    var credentials: [String: AuthConfig] = [:]
    var version: APIVersion = .newest

    /// - Throws: `.invalidArgument` in dockerd's words, `.unimplemented` for what only BuildKit does and for contexts that lie elsewhere.
    init(_ request: HTTPRequest) throws {
        let query = request.query
        version = request.version
        try Self.refuseUnbuilt(query, version: request.version)
        tags = try Self.tags(query.all("t"))
        if let name = query["dockerfile"], !name.isEmpty { dockerfile = name }
        isQuiet = query.flag("q")
        usesCache = !query.flag("nocache")
        pulls = query.flag("pull")
        forceRemoves = query.flag("forcerm")
        removes = forceRemoves || (query["rm"] ?? "").isEmpty || query.flag("rm")
        arguments = try Self.decode([String: String?].self, query["buildargs"], "error reading build args") ?? [:]
        labels = try Self.decode([String: String].self, query["labels"], "error reading labels") ?? [:]
        cacheFrom = try Self.decode([String].self, query["cachefrom"], "error reading cache-from") ?? []
        target = query["target"] ?? ""
        if request.version >= .v(32), let text = query["platform"], !text.isEmpty { platform = try ImagePlatform.parse(text) }
        host = try Self.hostConfig(query)
        credentials = Self.credentials(request.headers.first(name: "X-Registry-Config"))
    }

    private static func refuseUnbuilt(_ query: Query, version: APIVersion) throws {
        switch query["version"] ?? "" {
        case "", "1": break
        case "2": throw DaemonError.unimplemented("building with BuildKit (version=2; DOCKER_BUILDKIT=0 builds with the classic builder, which is there)")
        case let other: throw DaemonError.invalid("invalid version \(GoText.quoted(other))")
        }
        if query.flag("squash") { throw DaemonError.invalid("squash is only supported with experimental mode") }
        if !query.all("securityopt").isEmpty { throw DaemonError.invalid("security options are not supported on linux") }
        if let isolation = query["isolation"], !isolation.isEmpty, isolation.lowercased() != "default" { throw DaemonError.invalid("unsupported isolation: \(GoText.quoted(isolation))") }
        if version >= .v(40), let outputs = query["outputs"], !outputs.isEmpty, outputs != "null", outputs != "[]" { throw DaemonError.unimplemented("outputs of a build (BuildKit)") }
        switch query["remote"] ?? "" {
        case "": break
        case "client-session": throw DaemonError.invalid("experimental session with v1 builder is no longer supported, use builder version v2 (BuildKit) instead")
        default: throw DaemonError.unimplemented("building from a remote context (remote=)")
        }
    }

    /// Without repetitions, each with its tag.
    private static func tags(_ names: [String]) throws -> [ImageReference] {
        var result: [ImageReference] = []
        for name in names where !name.isEmpty {
            let reference = try ImageService.parse(name)
            guard reference.digest == nil else { throw DaemonError.internalError("build tag cannot contain a digest") }
            if !result.contains(reference.withDefaultTag) { result.append(reference.withDefaultTag) }
        }
        return result
    }

    private static func decode<T: Decodable>(_ type: T.Type, _ text: String?, _ failing: String) throws -> T? {
        guard let text, !text.isEmpty else { return nil }
        do { return try JSONBody.decode(T?.self, from: text) } catch let error as DaemonError {
            let prefix = "invalid JSON: "
            throw DaemonError.invalid("\(failing): \(error.message.hasPrefix(prefix) ? String(error.message.dropFirst(prefix.count)) : error.message)")
        }
    }

    private static func hostConfig(_ query: Query) throws -> HostConfig {
        // As in dockerd, what is no number counts as none.
        func number(_ name: String) -> Int64? { query[name].flatMap { Int64($0) }.flatMap { $0 == 0 ? nil : $0 } }
        func text(_ name: String) -> String? { query[name].flatMap { $0.isEmpty ? nil : $0 } }
        var host = HostConfig()
        (host.Memory, host.MemorySwap) = (number("memory"), number("memswap"))
        (host.CpuShares, host.CpuPeriod, host.CpuQuota) = (number("cpushares"), number("cpuperiod"), number("cpuquota"))
        (host.CpusetCpus, host.CpusetMems, host.CgroupParent) = (text("cpusetcpus"), text("cpusetmems"), text("cgroupparent"))
        host.Ulimits = try decode([Ulimit].self, query["ulimits"], "error reading ulimit settings")
        host.ExtraHosts = query.all("extrahosts")
        if let mode = text("networkmode"), mode != "default" { host.NetworkMode = mode }
        if let size = text("shmsize") {
            guard let bytes = Int64(size) else { throw DaemonError.invalid("strconv.ParseInt: parsing \(GoText.quoted(size)): invalid syntax") }
            host.ShmSize = bytes == 0 ? nil : bytes
        }
        // What a step says goes to the client and nowhere else.
        host.LogConfig = LogConfig(Type: "none")
        return host
    }

    /// A header that cannot be read counts as none, as in dockerd.
    private static func credentials(_ header: String?) -> [String: AuthConfig] {
        guard let header, !header.isEmpty else { return [:] }
        var text = String(header.map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 })
        while text.count % 4 != 0 { text.append("=") }
        guard let data = Data(base64Encoded: text), let all = try? JSONDecoder().decode([String: AuthConfig].self, from: data) else { return [:] }
        return all
    }

    /// What the request brings for the registry of an image: by its name, or by an address with it as its host.
    func credentials(for reference: ImageReference) -> AuthConfig? {
        let server = reference.domain == "docker.io" ? "https://index.docker.io/v1/" : reference.domain
        if let exact = credentials[server] { return exact }
        return credentials.first { Self.host($0.key) == Self.host(server) }?.value
    }

    private static func host(_ address: String) -> Substring {
        var rest = address[...]
        for scheme in ["https://", "http://"] where rest.hasPrefix(scheme) { rest = rest.dropFirst(scheme.count) }
        return rest.prefix { $0 != "/" }
    }
}
