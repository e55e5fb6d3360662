import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import JSONCodec
import OCILayer
import OCISpec
import Registry

/// Images → archive on a client's stream: an OCI layout that is also a Docker archive. The same images give the same bytes.
struct ExportTransfer: Sendable {
    let content: ContentStore
    let namespace: String
    /// Members of an index to take; without a wanted platform, those that are complete here.
    let matcher: PlatformMatcher
    let withDockerManifest: Bool
    let skipNonDistributable: Bool

    /// What Docker's `manifest.json` says of an image.
    private struct DockerImage: Encodable {
        var config: String
        var repoTags: [String]?
        var layers: [String]

        enum CodingKeys: String, CodingKey {
            case config = "Config"
            case repoTags = "RepoTags"
            case layers = "Layers"
        }
    }

    private struct Plan {
        var blobs: [Descriptor] = []
        var seen: Set<Digest> = []
        var manifests: [Descriptor] = []
        /// Images for Docker's manifest, in the order they came, with their names.
        var docker: [(manifest: Descriptor, names: [String])] = []

        mutating func add(_ descriptor: Descriptor) {
            if seen.insert(descriptor.digest).inserted { blobs.append(descriptor) }
        }
    }

    /// Writes the whole archive. Blocks.
    func run(_ images: [(name: String, target: Descriptor)], to sink: any ByteSink) throws {
        var plan = Plan()
        for (name, target) in images { try add(target, name: name, to: &plan) }
        let buffered = BufferedSink(sink)
        let writer = TarWriter(buffered)
        try writer.add(directory("blobs"))
        for algorithm in Set(plan.blobs.map(\.digest.algorithm.rawValue)).sorted() { try writer.add(directory("blobs/\(algorithm)")) }
        for blob in plan.blobs.sorted(by: { $0.digest.description < $1.digest.description }) { try write(blob, to: writer) }
        try write("index.json", try JSON.encode(ImageIndex(manifests: plan.manifests)), to: writer)
        if withDockerManifest, !plan.docker.isEmpty { try write("manifest.json", try JSON.encode(try plan.docker.map(dockerImage)), to: writer) }
        try write("oci-layout", try JSON.encode(ImageLayout()), to: writer)
        try writer.finish()
        try buffered.flush()
    }

    // MARK: What goes in

    private func add(_ target: Descriptor, name: String, to plan: inout Plan) throws {
        var named = target
        // Docker's way to keep an image that has no name. It is none to give to others, and neither is the one that it came here with.
        let isNameless = name.hasPrefix(Defaults.namelessImagePrefix)
        if isNameless { for key in ["io.containerd.image.name", "org.opencontainers.image.ref.name"] { named.annotations[key] = nil } }
        let name = isNameless ? "" : name
        if !name.isEmpty {
            named.annotations["io.containerd.image.name"] = name
            if let reference = try? ImageReference(parsing: name) {
                named.annotations["org.opencontainers.image.ref.name"] = reference.tag ?? reference.digest?.description
            }
        }
        plan.manifests.append(named)
        let manifest: Descriptor?
        if MediaType.isIndex(target.mediaType) {
            plan.add(target)
            let index = try ImageDocuments.index(try content.read(target.digest, in: namespace), target)
            var taken: [Descriptor] = []
            for member in matcher.choose(index.manifests) where try addMember(member, isWanted: !matcher.wanted.isEmpty, to: &plan) { taken.append(member) }
            guard !taken.isEmpty else { throw StorageError(.notFound, "no manifest of \(name.isEmpty ? "\(target.digest)" : name) for the platform is complete here: not found") }
            let host = PlatformMatcher.host
            manifest = taken.min { (host.rank($0.platform) ?? .max) < (host.rank($1.platform) ?? .max) }
        } else if MediaType.isManifest(target.mediaType) {
            _ = try addMember(target, isWanted: true, to: &plan)
            manifest = target
        } else {
            throw StorageError(.invalidArgument, "only manifests may be exported, not \(target.mediaType): invalid argument")
        }
        guard let manifest else { return }
        let tags = (try? ImageReference(parsing: name)).flatMap { $0.tag == nil ? nil : $0.familiar }.map { [$0] } ?? []
        if let place = plan.docker.firstIndex(where: { $0.manifest.digest == manifest.digest }) {
            plan.docker[place].names += tags
        } else {
            plan.docker.append((manifest, tags))
        }
    }

    /// Takes a manifest with all that it refers to. False where something is missing and nobody insists.
    private func addMember(_ descriptor: Descriptor, isWanted: Bool, to plan: inout Plan) throws -> Bool {
        guard MediaType.isManifest(descriptor.mediaType) else { return false }
        guard try content.exists(descriptor.digest, in: namespace) else {
            if isWanted { throw ContentStore.missing(descriptor.digest) }
            return false
        }
        let manifest = try ImageDocuments.manifest(try content.read(descriptor.digest, in: namespace), descriptor)
        let children = [manifest.config] + manifest.layers.filter { !skipNonDistributable || !Self.isNonDistributable($0.mediaType) }
        for child in children where try !content.exists(child.digest, in: namespace) {
            if isWanted { throw ContentStore.missing(child.digest) }
            return false
        }
        plan.add(descriptor)
        for child in children { plan.add(child) }
        return true
    }

    private static func isNonDistributable(_ type: String) -> Bool { type.contains(".nondistributable.") || type.contains(".foreign.") }

    private func dockerImage(_ image: (manifest: Descriptor, names: [String])) throws -> DockerImage {
        let manifest = try ImageDocuments.manifest(try content.read(image.manifest.digest, in: namespace), image.manifest)
        return DockerImage(
            config: path(manifest.config), repoTags: image.names.isEmpty ? nil : image.names, layers: manifest.layers.map(path))
    }

    private func path(_ descriptor: Descriptor) -> String { "blobs/\(descriptor.digest.algorithm.rawValue)/\(descriptor.digest.encoded)" }

    // MARK: Writing

    private func directory(_ name: String) -> TarEntry { TarEntry(kind: .directory, path: Array(name.utf8), mode: 0o755) }

    private func write(_ name: String, _ bytes: [UInt8], to writer: TarWriter) throws {
        try writer.add(TarEntry(kind: .file, path: Array(name.utf8), mode: 0o444), content: bytes)
    }

    private func write(_ blob: Descriptor, to writer: TarWriter) throws {
        let (file, size) = try content.open(blob.digest, in: namespace)
        var entry = TarEntry(kind: .file, path: Array(path(blob).utf8), mode: 0o444)
        entry.size = size
        try writer.add(entry)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
        defer { buffer.deallocate() }
        var running = RunningDigest(blob.digest.algorithm)
        var offset: Int64 = 0
        while offset < size {
            let count = try file.readAll(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(Int64(buffer.count), size - offset))]), at: offset)
            guard count > 0 else { throw StorageError(.internalError, "content \(blob.digest) is shorter on disk than its \(size) bytes") }
            let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            running.update(bytes)
            try writer.write(bytes)
            offset += Int64(count)
        }
        guard running.digest == blob.digest else { throw StorageError(.internalError, "content \(blob.digest) is damaged on disk: it has the digest \(running.digest)") }
    }
}
