import BerthDefaults
import DockerAPI
import OCISpec

/// Images by their names: finding, listing, tagging, removing. The supervisor keeps them; this only reads and words things as Docker does.
///
/// An image's ID is the digest of its target, index or manifest, as in Docker 29's containerd image store.
struct ImageService: ImageProviding {
    let client: ImageStoreClient
    let catalog: ImageCatalog
    let users: any ImageUserLookup
    let events: EventHub
    let registries: RegistrySettings
    let queries: RegistryQueries

    init(supervisor: SupervisorClient, users: any ImageUserLookup, events: EventHub, registries: RegistrySettings) {
        client = ImageStoreClient(supervisor)
        catalog = ImageCatalog(client: client)
        self.users = users
        self.events = events
        self.registries = registries
        queries = RegistryQueries(settings: registries)
    }

    // MARK: - Finding

    /// What a reference stands for: the target, and all names that stand for the same.
    struct Found: Sendable {
        var target: OCISpec.Descriptor
        var names: [ImageStoreClient.Named]
        /// The name that the reference spelled; nil when it was found by its ID.
        var spelled: ImageReference?

        var id: String { target.digest.description }

        /// Whether a name of the earlier look has stayed: one that was removed and made again has another moment of creation.
        func wasHere(at earlier: Found) -> Bool {
            target.digest == earlier.target.digest
                && names.contains { name in earlier.names.contains { $0.name == name.name && $0.created == name.created } }
        }
    }

    /// Finds by name, name@digest, ID or unique prefix of an ID, in this order.
    ///
    /// - Throws: `.notFound("No such image: …")`, `.invalidArgument` for what is neither a reference nor an ID.
    func find(_ text: String) async throws -> Found {
        let parsed = Result { () throws(ImageReferenceError) in try ImageReference(parsing: text) }
        if case .success(let reference) = parsed, let found = try await find(reference) { return found }
        if let digits = Self.idDigits(text) {
            let matches = try await client.list().filter { $0.target.digest.encoded.hasPrefix(digits) }
            let targets = Set(matches.map(\.target.digest))
            if targets.count > 1 { throw DaemonError.invalid("ambiguous reference: \(text)") }
            if let first = matches.first { return Found(target: first.target, names: matches, spelled: nil) }
        }
        switch parsed {
        case .success(let reference): throw DaemonError.notFound("No such image: \(reference.withDefaultTag.familiar)")
        case .failure(let error):
            if Self.idDigits(text) != nil { throw DaemonError.notFound("No such image: \(text.hasPrefix("sha256:") ? text : "sha256:" + text)") }
            throw DaemonError.invalid(error.description)
        }
    }

    private func find(_ reference: ImageReference) async throws -> Found? {
        if let digest = reference.digest {
            let names = try await client.list(target: digest)
            let sameRepository = names.contains { (try? ImageReference(parsing: $0.name))?.name == reference.name }
            guard let first = names.first, sameRepository else { return nil }
            return Found(target: first.target, names: names, spelled: reference)
        }
        let complete = reference.withDefaultTag
        guard let named = try await client.get(complete.description) else { return nil }
        return Found(target: named.target, names: try await client.list(target: named.target.digest), spelled: complete)
    }

    /// Finds an image and reads of it what `read` wants, as it was at one moment.
    ///
    /// Nobody holds an image's blobs while they are read: removed meanwhile, and perhaps pulled anew, it looks as if it lacked some of them. So what is
    /// not whole is believed only when one of the image's names has been there all the time, for a name keeps the blobs; otherwise it is read again.
    ///
    /// - Throws: what `find` throws, also for an image that went meanwhile.
    func reading<Value: Sendable>(_ reference: String, isWhole: (Value) -> Bool, read: (Found) async throws -> Value) async throws -> (found: Found, value: Value) {
        var found = try await find(reference)
        while true {
            let value = try await read(found)
            if isWhole(value) { return (found, value) }
            let now = try await find(reference)
            if now.wasHere(at: found) { return (found, value) }
            found = now
        }
    }

    /// The platform of an image that fits best; nil when the image has none that does.
    func best(of reference: String, for wanted: Platform, strictly: Bool) async throws -> (found: Found, value: ImageVariant?) {
        try await reading(reference, isWhole: { $0?.isAvailable == true }) { try await catalog.best(of: $0.target, for: wanted, strictly: strictly) }
    }

    /// `sha256:` and 4 to 64 hexadecimal digits, or the digits alone.
    static func idDigits(_ text: String) -> String? {
        let digits = text.hasPrefix("sha256:") ? text.dropFirst(7) : text[...]
        guard (4...64).contains(digits.utf8.count), digits.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) else { return nil }
        return String(digits)
    }

    // MARK: - For containers

    func resolve(_ reference: String, platform: String?) async throws -> ResolvedImage {
        let wanted = try platform.flatMap { $0.isEmpty ? nil : $0 }.map { try ImagePlatform.parse($0) }
        let (found, best) = try await self.best(of: reference, for: wanted ?? ImagePlatform.host, strictly: false)
        guard let variant = best, let config = variant.config else {
            let name = found.spelled?.familiar ?? reference
            throw ImagePlatform.isMissing(wanted ?? ImagePlatform.host, of: name)
        }
        let chainID = variant.chainIDs.last
        if let chainID, try await !client.isUnpacked(chainID) { try await Unpacker(client: client).unpack(variant) }
        return ResolvedImage(
            id: found.id, reference: found.spelled.map(\.familiar) ?? reference, config: ContainerConfig(config.config), chainID: chainID?.description ?? "",
            platform: ImagePlatform.text(config.platform), manifest: DockerAPI.Descriptor(variant.descriptor, platform: config.platform))
    }

    func identify(_ reference: String) async throws -> String { try await find(reference).id }

    func unpackedSize(_ manifest: DockerAPI.Descriptor) async throws -> Int64 {
        guard let digest = manifest.digest.flatMap({ try? OCISpec.Digest(parsing: $0) }) else { return 0 }
        let target = OCISpec.Descriptor(mediaType: manifest.mediaType ?? OCISpec.MediaType.ociManifest, digest: digest, size: manifest.size ?? 0)
        var size: Int64 = 0
        for chainID in try await catalog.variants(of: target).first?.chainIDs ?? [] { size += try await catalog.layerSize(chainID) }
        return size
    }

    func count() async throws -> Int { Set(try await client.list().map(\.target.digest)).count }

    func diskUsage() async throws -> (images: [ImageSummary], layersSize: Int64) {
        let entries = try await entries()
        return (summaries(entries.map { ($0, Self.tags($0.names)) }, options: ListOptions(sharedSize: true)), Self.layersSize(entries))
    }

    /// Bytes of every blob and every unpacked layer, each once.
    func layersSize() async throws -> Int64 { Self.layersSize(try await entries()) }

    private static func layersSize(_ entries: [Entry]) -> Int64 {
        var seen: Set<ImageFacts.Part> = []
        var total: Int64 = 0
        for entry in entries {
            for (part, size) in entry.facts.parts where seen.insert(part).inserted { total += size }
        }
        return total
    }

    // MARK: - Tagging

    /// - Throws: `.notFound` for the source, `.invalidArgument` for a repository or tag that is none.
    func tag(_ source: String, repository: String, tag: String) async throws {
        let found = try await find(source)
        let reference = try Self.tagged(repository, tag: tag)
        guard reference.familiarName != "sha256" else { throw DaemonError.invalid("refusing to create an ambiguous tag using digest algorithm as name") }
        try await name(found.target, reference, labels: found.names.first?.labels ?? [:])
        try await removeDangling(found.target)
        publish("tag", id: found.id, name: reference.familiar)
    }

    /// Repository and tag of a request as one reference.
    static func tagged(_ repository: String, tag: String) throws -> ImageReference {
        var reference = try parse(repository)
        guard reference.digest == nil else { throw DaemonError.invalid("cannot import digest reference") }
        if !tag.isEmpty {
            guard ImageReference.isTag(tag) else { throw DaemonError.invalid("invalid tag format") }
            reference.tag = tag
        }
        return reference.withDefaultTag
    }

    static func parse(_ text: String) throws -> ImageReference {
        do throws(ImageReferenceError) { return try ImageReference(parsing: text) } catch { throw DaemonError.invalid(error.description) }
    }

    // MARK: - Images without a name

    /// Gives a target a name; the image that had it before stays, as one without a name where it has no other.
    func name(_ target: OCISpec.Descriptor, _ reference: ImageReference, labels: [String: String] = [:], lease: String? = nil) async throws {
        if let old = try await client.get(reference.description), old.target.digest != target.digest {
            let others = try await client.list(target: old.target.digest).filter { $0.name != reference.description }
            if others.isEmpty { try await keepDangling(old.target, labels: old.labels) }
        }
        try await client.put(reference.description, target: target, labels: labels, lease: lease)
    }

    /// Keeps an image whose name now stands for another one: `<none>` in lists.
    func keepDangling(_ target: OCISpec.Descriptor, labels: [String: String] = [:]) async throws {
        try await client.put(Self.danglingName(target.digest), target: target, labels: labels)
    }

    func removeDangling(_ target: OCISpec.Descriptor) async throws { try await client.delete(Self.danglingName(target.digest), sync: false) }

    /// As dockerd names them; the supervisor's import does the same.
    static func danglingName(_ digest: OCISpec.Digest) -> String { Defaults.namelessImagePrefix + "\(digest)" }
    static func isDangling(_ name: String) -> Bool { name.hasPrefix(Defaults.namelessImagePrefix) }

    // MARK: - Events

    func publish(_ action: String, id: String, name: String, labels: [String: String] = [:]) {
        var attributes = labels
        attributes["name"] = name
        events.publish(type: "image", action: action, id: id, attributes: attributes)
    }
}

/// Unpacks an image whose layers are here but not in the snapshotter: after a load into another engine's store, or with another snapshotter than it was pulled for.
struct Unpacker: Sendable {
    let client: ImageStoreClient

    func unpack(_ variant: ImageVariant) async throws {
        guard let manifest = variant.manifest, let config = variant.config, manifest.layers.count == config.rootfs.diffIDs.count else {
            throw DaemonError.internalError("manifest \(variant.descriptor.digest) and its configuration disagree about the number of layers")
        }
        try await client.withLease { lease in
            var parent = ""
            for (index, chainID) in variant.chainIDs.enumerated() {
                if try await !client.isUnpacked(chainID) {
                    let key = ImageStoreClient.temporaryKey("\(Identifier.random(digits: 16)) \(chainID)")
                    let mounts = try await client.prepare(key: key, parent: parent, lease: lease)
                    do {
                        let applied = try await client.apply(manifest.layers[index], onto: mounts, lease: lease)
                        guard applied.digest == config.rootfs.diffIDs[index] else {
                            throw DaemonError.internalError("layer \(manifest.layers[index].digest) unpacks to \(applied.digest), but the configuration says \(config.rootfs.diffIDs[index])")
                        }
                        try await client.commitSnapshot(key: key, name: chainID.description, lease: lease)
                    } catch {
                        try? await client.removeSnapshot(key)
                        throw error
                    }
                }
                parent = chainID.description
            }
            // Kept as long as the image is.
            if !parent.isEmpty { try await client.label(manifest.config.digest, "containerd.io/gc.ref.snapshot.\(client.snapshotter)", parent, lease: lease) }
        }
    }
}
