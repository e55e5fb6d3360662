import DockerAPI
import OCISpec

/// `docker rmi` and `docker image prune`, by the rules of dockerd's containerd image store.
extension ImageService {
    /// Untags, and with its last name deletes.
    ///
    /// - Parameters:
    ///   - keepsParents: the steps of its build stay, of which nothing else was made.
    ///   - platforms: only the content of these goes, and the name stays.
    /// - Throws: `.conflict` when a container uses it: a running one cannot be overruled, a stopped one and several repositories can with `force`.
    func delete(_ reference: String, force: Bool, keepsParents: Bool = false, platforms: [Platform] = []) async throws -> [ImageDeleteItem] {
        if !platforms.isEmpty && !force {
            // dockerd's sentence, letter by letter.
            throw DaemonError.invalid("Content will be removed from all images referencing this variant. Use —-force to force delete.")
        }
        let found = try await find(reference)
        if !platforms.isEmpty { return try await deletePlatforms(platforms, of: found) }
        let users = users.imageUsers().filter { $0.imageID == found.id }
        let isByID = found.spelled == nil || (found.spelled?.digest == nil && Self.idDigits(reference).map { found.target.digest.encoded.hasPrefix($0) } == true)
        if !isByID, let spelled = found.spelled {
            let same = Self.sameReferences(spelled, found.names)
            if same.count < found.names.filter({ !Self.isDangling($0.name) }).count { return try await untag(same, of: found) }
            if let user = users.first(where: { _ in !force }) {
                throw Self.conflict(spelled.familiar, hard: false, "container \(user.containerID.prefix(12)) is using its referenced image \(found.target.digest.encoded.prefix(12))")
            }
            if !users.isEmpty {
                // Forced: the containers keep their image, without a name.
                try await keepDangling(found.target, labels: found.names.first?.labels ?? [:])
                return try await untag(same, of: found)
            }
        } else {
            try Self.checkConflicts(found, users: users, force: force)
        }
        let items = try await deleteAll(found)
        return try await items + (keepsParents ? [] : deleteParents(of: found))
    }

    /// The images without a name that a build made on the way to one that is gone, as far as nobody else needs them.
    private func deleteParents(of found: Found) async throws -> [ImageDeleteItem] {
        var parent = found.names.lazy.compactMap { $0.labels[BuildCache.parentLabel] }.first
        guard parent != nil else { return [] }
        var items: [ImageDeleteItem] = []
        let all = try await client.list()
        let byID = Dictionary(grouping: all) { $0.target.digest.description }
        var children = Dictionary(grouping: all.filter { $0.target.digest != found.target.digest }) { $0.labels[BuildCache.parentLabel] ?? "" }.mapValues { Set($0.map(\.target.digest.description)) }
        let used = Set(users.imageUsers().map(\.imageID))
        while let id = parent, let names = byID[id], let first = names.first, names.allSatisfy({ Self.isDangling($0.name) }), children[id]?.isEmpty ?? true, !used.contains(id) {
            items += try await deleteAll(Found(target: first.target, names: names, spelled: nil))
            parent = first.labels[BuildCache.parentLabel]
            if let parent { children[parent]?.remove(id) }
        }
        return items
    }

    private static func checkConflicts(_ found: Found, users: [ImageUser], force: Bool) throws {
        let short = String(found.target.digest.encoded.prefix(12))
        if let user = users.first(where: \.isRunning) { throw conflict(short, hard: true, "image is being used by running container \(user.containerID.prefix(12))") }
        if force { return }
        if let user = users.first { throw conflict(short, hard: false, "image is being used by stopped container \(user.containerID.prefix(12))") }
        // A name with a digest comes with the pull of it, and is no second one.
        let names = found.names.filter { !isDangling($0.name) }
        let tags = names.filter { (try? ImageReference(parsing: $0.name))?.digest == nil }
        let repositories = Set(names.map { (try? ImageReference(parsing: $0.name))?.name ?? $0.name })
        if tags.count > 1 || repositories.count > 1 { throw conflict(short, hard: false, "image is referenced in multiple repositories") }
    }

    private static func conflict(_ what: String, hard: Bool, _ why: String) -> DaemonError {
        DaemonError.conflict("conflict: unable to delete \(what) (\(hard ? "cannot" : "must") be forced) - \(why)")
    }

    /// The names that a reference means: NAME:TAG itself, and NAME@DIGEST of the repository when it has no other tag. A digest means all of the repository.
    static func sameReferences(_ spelled: ImageReference, _ names: [ImageStoreClient.Named]) -> [ImageStoreClient.Named] {
        let repository = names.filter { (try? ImageReference(parsing: $0.name))?.name == spelled.name }
        if spelled.digest != nil { return repository }
        let exact = repository.filter { $0.name == spelled.withDefaultTag.description }
        let hasOtherTags = repository.contains { named in named.reference?.digest == nil && !exact.contains(named) }
        return hasOtherTags ? exact : repository
    }

    private func untag(_ names: [ImageStoreClient.Named], of found: Found, attributes: [String: String] = [:]) async throws -> [ImageDeleteItem] {
        var items: [ImageDeleteItem] = []
        for named in names {
            try await client.delete(named.name, sync: false)
            let familiar = named.reference?.familiar ?? named.name
            publish("untag", id: found.id, name: familiar, labels: attributes)
            items.append(ImageDeleteItem(Untagged: familiar))
        }
        return items
    }

    /// - Parameter attributes: of the events, beside the name.
    func deleteAll(_ found: Found, attributes: [String: String] = [:]) async throws -> [ImageDeleteItem] {
        var items = try await untag(found.names.filter { !Self.isDangling($0.name) }, of: found, attributes: attributes)
        for named in found.names where Self.isDangling(named.name) { try await client.delete(named.name, sync: false) }
        await catalog.forget(found.target)
        publish("delete", id: found.id, name: found.id, labels: attributes)
        items.append(ImageDeleteItem(Deleted: found.id))
        return items
    }

    /// The names of an image that a prune takes: all of one that no container uses; of another those that no container was made by, and never the last.
    static func namesToPrune(_ names: [ImageStoreClient.Named], usedBy references: [String]) -> [ImageStoreClient.Named] {
        guard !references.isEmpty else { return names }
        var kept: Set<String> = []
        for text in references {
            guard var reference = try? ImageReference(parsing: text) else { continue }
            kept.insert(reference.withDefaultTag.description)
            // NAME:TAG@DIGEST keeps NAME:TAG.
            guard reference.tag != nil else { continue }
            reference.digest = nil
            kept.insert(reference.description)
        }
        let unused = names.filter { !isDangling($0.name) && !kept.contains($0.name) }
        return unused.count == names.count ? unused.dropLast() : unused
    }

    /// Removes what has no name, with `dangling=false` every name that no container needs.
    func prune(_ filters: ListFilters) async throws -> ImagesPruneReport {
        let danglingOnly = try filters.boolean("dangling") ?? true
        let until = try filters.until(severally: true)
        let used = Dictionary(grouping: users.imageReferences(), by: \.imageID).mapValues { $0.map(\.reference) }
        let before = try await layersSize()
        var items: [ImageDeleteItem] = []
        for entry in try await entries() {
            let names = Self.namesToPrune(entry.names, usedBy: used[entry.id] ?? [])
            if names.isEmpty || danglingOnly && (entry.hasName || used[entry.id] != nil) { continue }
            if let until, entry.arrived >= until { continue }
            guard filters.matchesLabels(entry.facts.labels) else { continue }
            do {
                let found = Found(target: entry.target, names: entry.names, spelled: nil)
                items += names.count == entry.names.count ? try await deleteAll(found) : try await untag(names, of: found)
            } catch {
                Log.warning("cannot prune image \(entry.id): \(error)")
            }
        }
        // One collection for all of them.
        if !items.isEmpty { try await client.collect() }
        let reclaimed = max(0, before - (try await layersSize()))
        events.publish(type: "image", action: "prune", id: "", attributes: ["reclaimed": "\(reclaimed)"])
        return ImagesPruneReport(ImagesDeleted: items.isEmpty ? nil : items, SpaceReclaimed: UInt64(reclaimed))
    }
}
