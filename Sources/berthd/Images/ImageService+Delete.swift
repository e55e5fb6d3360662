import DockerAPI
import OCISpec

/// `docker rmi` and `docker image prune`, by the rules of dockerd's containerd image store.
extension ImageService {
    /// Untags, and with its last name deletes.
    ///
    /// - Throws: `.conflict` when a container uses it: a running one cannot be overruled, a stopped one and several repositories can with `force`.
    func delete(_ reference: String, force: Bool) async throws -> [ImageDeleteItem] {
        let found = try await find(reference)
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
                try await keepDangling(found.target)
                return try await untag(same, of: found)
            }
        } else {
            try Self.checkConflicts(found, users: users, force: force)
        }
        return try await deleteAll(found)
    }

    private static func checkConflicts(_ found: Found, users: [ImageUser], force: Bool) throws {
        let short = String(found.target.digest.encoded.prefix(12))
        if let user = users.first(where: \.isRunning) { throw conflict(short, hard: true, "image is being used by running container \(user.containerID.prefix(12))") }
        if force { return }
        if let user = users.first { throw conflict(short, hard: false, "image is being used by stopped container \(user.containerID.prefix(12))") }
        let repositories = Set(found.names.filter { !isDangling($0.name) }.map { (try? ImageReference(parsing: $0.name))?.name ?? $0.name })
        if found.names.filter({ !isDangling($0.name) }).count > 1, !repositories.isEmpty { throw conflict(short, hard: false, "image is referenced in multiple repositories") }
    }

    private static func conflict(_ what: String, hard: Bool, _ why: String) -> DaemonError {
        DaemonError.conflict("conflict: unable to delete \(what) (\(hard ? "cannot" : "must") be forced) - \(why)")
    }

    /// The names that a reference means: NAME:TAG itself, and NAME@DIGEST of the repository when it has no other tag. A digest means all of the repository.
    static func sameReferences(_ spelled: ImageReference, _ names: [ImageStoreClient.Named]) -> [ImageStoreClient.Named] {
        let repository = names.filter { (try? ImageReference(parsing: $0.name))?.name == spelled.name }
        if spelled.digest != nil { return repository }
        let exact = repository.filter { $0.name == spelled.withDefaultTag.description }
        let hasOtherTags = repository.contains { named in (try? ImageReference(parsing: named.name))?.digest == nil && !exact.contains(named) }
        return hasOtherTags ? exact : repository
    }

    private func untag(_ names: [ImageStoreClient.Named], of found: Found) async throws -> [ImageDeleteItem] {
        var items: [ImageDeleteItem] = []
        for named in names {
            try await client.delete(named.name, sync: false)
            let familiar = (try? ImageReference(parsing: named.name))?.familiar ?? named.name
            publish("untag", id: found.id, name: familiar)
            items.append(ImageDeleteItem(Untagged: familiar))
        }
        return items
    }

    private func deleteAll(_ found: Found) async throws -> [ImageDeleteItem] {
        var items = try await untag(found.names.filter { !Self.isDangling($0.name) }, of: found)
        for named in found.names where Self.isDangling(named.name) { try await client.delete(named.name, sync: false) }
        await catalog.forget()
        publish("delete", id: found.id, name: found.id)
        items.append(ImageDeleteItem(Deleted: found.id))
        return items
    }

    /// Removes what has no name, with `dangling=false` everything that no container uses.
    func prune(_ filters: ListFilters) async throws -> ImagesPruneReport {
        let danglingOnly = try filters.boolean("dangling") ?? true
        let until = try filters.until()
        let used = Set(users.imageUsers().map(\.imageID))
        let before = try await layersSizeForPrune()
        var items: [ImageDeleteItem] = []
        for summary in try await list(ListFilters(), options: ListOptions()) where !used.contains(summary.Id) {
            if danglingOnly && summary.RepoTags?.isEmpty == false { continue }
            if let until, (summary.Created ?? 0) >= until.seconds { continue }
            guard filters.matchesLabels(summary.Labels ?? [:]) else { continue }
            do {
                items += try await deleteAll(try await find(summary.Id))
            } catch {
                Log.warning("cannot prune image \(summary.Id): \(error)")
            }
        }
        // One collection for all of them: deleting a name that is not there makes it run.
        if !items.isEmpty { try await client.delete("berth-prune", sync: true) }
        let reclaimed = max(0, before - (try await layersSizeForPrune()))
        events.publish(type: "image", action: "prune", id: "", attributes: ["reclaimed": "\(reclaimed)"])
        return ImagesPruneReport(ImagesDeleted: items.isEmpty ? nil : items, SpaceReclaimed: UInt64(reclaimed))
    }

    private func layersSizeForPrune() async throws -> Int64 { try await diskUsage().layersSize }
}
