import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import OCISpec
import Registry

/// Reads manifests, indexes and configurations, which are untrusted, and nothing else for what they claim to be.
enum ImageDocuments {
    /// Members of an index or layers of a manifest.
    static let maximumChildren = 10_000

    /// Fields by which the kinds of documents are told apart.
    private struct Shape: Decodable {
        var mediaType: String?
        var schemaVersion: Int?
        var manifests: [JSONValue]?
        var layers: [JSONValue]?
        var config: JSONValue?
        var fsLayers: [JSONValue]?
    }

    /// - Throws: where the bytes can also be read as another kind, or call themselves so: the same bytes must not mean two things.
    private static func check(_ bytes: [UInt8], as descriptor: Descriptor, isIndex: Bool) throws {
        let shape: Shape = try decode(bytes, "document \(descriptor.digest)")
        if shape.schemaVersion == 1 || shape.fsLayers != nil {
            throw StorageError(.invalidArgument, "schema 1 image manifests are no longer supported: invalid argument")
        }
        if let type = shape.mediaType, !type.isEmpty, type != descriptor.mediaType {
            throw StorageError(.invalidArgument, "\(descriptor.digest) calls itself \(type), expected \(descriptor.mediaType): invalid media type")
        }
        if isIndex ? shape.layers != nil || shape.config != nil : shape.manifests != nil {
            throw StorageError(.invalidArgument, "media-type: expected \(isIndex ? "index but found a manifest" : "manifest but found an index") (\(descriptor.digest))")
        }
    }

    static func manifest(_ bytes: [UInt8], _ descriptor: Descriptor) throws -> ImageManifest {
        try check(bytes, as: descriptor, isIndex: false)
        let manifest: ImageManifest = try decode(bytes, "manifest \(descriptor.digest)")
        guard manifest.layers.count <= maximumChildren else { throw StorageError(.invalidArgument, "manifest \(descriptor.digest) has \(manifest.layers.count) layers") }
        for child in [manifest.config] + manifest.layers where child.size < 0 {
            throw StorageError(.invalidArgument, "manifest \(descriptor.digest) has a descriptor of \(child.size) bytes: invalid size")
        }
        return manifest
    }

    static func index(_ bytes: [UInt8], _ descriptor: Descriptor) throws -> ImageIndex {
        try check(bytes, as: descriptor, isIndex: true)
        let index: ImageIndex = try decode(bytes, "index \(descriptor.digest)")
        guard index.manifests.count <= maximumChildren else { throw StorageError(.invalidArgument, "index \(descriptor.digest) has \(index.manifests.count) members") }
        return index
    }

    static func config(_ bytes: [UInt8], _ descriptor: Descriptor) throws -> ImageConfig {
        try decode(bytes, "image configuration \(descriptor.digest)")
    }

    static func decode<T: Decodable>(_ bytes: [UInt8], _ what: String) throws -> T {
        do { return try JSONDecoder().decode(T.self, from: Data(bytes)) } catch {
            throw StorageError(.invalidArgument, "\(what) is malformed: \(reason(error))")
        }
    }

    private static func reason(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        switch error {
        case .keyNotFound(let key, let context): return "missing \((context.codingPath + [key]).map(\.stringValue).joined(separator: "."))"
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            let path = context.codingPath.map(\.stringValue).joined(separator: ".")
            return path.isEmpty ? context.debugDescription : "\(path): \(context.debugDescription)"
        @unknown default: return "\(error)"
        }
    }

    /// The labels by which the collector finds what a document refers to, as containerd sets them.
    static func referenceLabels(_ manifest: ImageManifest) -> [String: String] {
        var labels = ["containerd.io/gc.ref.content.config": manifest.config.digest.description]
        for (index, layer) in manifest.layers.enumerated() { labels["containerd.io/gc.ref.content.l.\(index)"] = layer.digest.description }
        return labels
    }

    static func referenceLabels(_ index: ImageIndex) -> [String: String] {
        var labels: [String: String] = [:]
        for (number, child) in index.manifests.enumerated() { labels["containerd.io/gc.ref.content.m.\(number)"] = child.digest.description }
        return labels
    }

    /// Chain IDs of the layers, lowest first. Spec: image-spec, config.md#layer-chainid.
    static func chainIDs(_ diffIDs: [Digest]) -> [Digest] {
        var chain: [Digest] = []
        for diffID in diffIDs {
            guard let parent = chain.last else {
                chain.append(diffID)
                continue
            }
            chain.append(RunningDigest.of(Array("\(parent) \(diffID)".utf8)))
        }
        return chain
    }
}

/// Which platforms a client wants, and which of an index's members that means.
struct PlatformMatcher: Sendable {
    /// Empty: all.
    let wanted: [Platform]

    init(_ wanted: [Platform]) { self.wanted = wanted }

    init(_ wanted: [Types_Platform]) {
        self.wanted = wanted.map {
            Platform(
                architecture: $0.architecture, os: $0.os, osVersion: $0.osVersion.isEmpty ? nil : $0.osVersion, osFeatures: $0.osFeatures,
                variant: $0.variant.isEmpty ? nil : $0.variant)
        }
    }

    static let host = PlatformMatcher([Platforms.host])

    /// The place of a platform among the wanted, lower is better; nil for none.
    func rank(_ platform: Platform?) -> Int? {
        guard !wanted.isEmpty else { return 0 }
        guard let platform else { return nil }
        for (place, want) in wanted.enumerated() {
            guard want.os == platform.os, Self.normal(want.architecture) == Self.normal(platform.architecture) else { continue }
            let ladder = Self.variants(want)
            let variant = Self.variant(platform)
            if let step = ladder.firstIndex(of: variant) { return place * 16 + step }
        }
        return nil
    }

    /// The members to take: for each wanted platform the best, or all.
    /// - Parameter limit: how many at most; 0 for no limit.
    func choose(_ members: [Descriptor], limit: Int) -> [Descriptor] {
        let chosen = choose(members)
        guard limit > 0, chosen.count > limit else { return chosen }
        // Of all platforms the machine's own come first.
        let ranked = wanted.isEmpty ? chosen.filter { Self.host.rank($0.platform) != nil } + chosen.filter { Self.host.rank($0.platform) == nil } : chosen
        return Array(ranked.prefix(limit))
    }

    /// The members to take, without a limit.
    func choose(_ members: [Descriptor]) -> [Descriptor] {
        guard !wanted.isEmpty else { return members }
        var chosen: [Descriptor] = []
        for want in wanted {
            let matcher = PlatformMatcher([want])
            let best = members.filter { matcher.rank($0.platform) != nil }.min { (matcher.rank($0.platform) ?? 0) < (matcher.rank($1.platform) ?? 0) }
            if let best, !chosen.contains(where: { $0.digest == best.digest }) { chosen.append(best) }
        }
        return chosen
    }

    private static func normal(_ architecture: String) -> String {
        switch architecture.lowercased() {
        case "x86_64", "x86-64": "amd64"
        case "aarch64": "arm64"
        case "armhf", "armel": "arm"
        case let other: other
        }
    }

    private static func variant(_ platform: Platform) -> String {
        switch (normal(platform.architecture), platform.variant ?? "") {
        case ("arm64", ""), ("arm64", "8"), ("arm64", "v8"): "v8"
        case ("arm", ""), ("arm", "7"): "v7"
        case ("arm", let number) where ["5", "6", "8"].contains(number): "v" + number
        case ("amd64", ""), ("amd64", "v1"): ""
        case (_, let variant): variant
        }
    }

    /// What runs where `platform` is wanted, best first: an ARM v7 runs v6 and v5 too, an amd64 v3 the older levels.
    private static func variants(_ platform: Platform) -> [String] {
        let variant = variant(platform)
        switch (normal(platform.architecture), variant) {
        case ("arm", "v8"): return ["v8", "v7", "v6", "v5"]
        case ("arm", "v7"): return ["v7", "v6", "v5"]
        case ("arm", "v6"): return ["v6", "v5"]
        case ("amd64", "v4"): return ["v4", "v3", "v2", ""]
        case ("amd64", "v3"): return ["v3", "v2", ""]
        case ("amd64", "v2"): return ["v2", ""]
        default: return [variant]
        }
    }
}
