import BerthDefaults
import ContainerdAPI
import DockerAPI
import FoundationEssentials
import GRPCSocket
import OCISpec
import SwiftProtobuf
import Synchronization

/// Pull and push, load and save: what moves whole images. The work is the supervisor's; this names things and words the progress.
extension ImageService {
    typealias Emit = @Sendable (ProgressMessage) async throws -> Void

    // MARK: - Pull

    /// What `POST /images/create` asks for.
    ///
    /// - Returns: without tag and digest for all tags of a repository.
    /// - Throws: `.invalidArgument` for a malformed reference, `.permissionDenied` for the name that stands for no image.
    static func pullReference(_ name: String, tag: String) throws -> ImageReference {
        // `pull -a` of old clients says "NAME:".
        var reference = try parse(name.hasSuffix(":") ? String(name.dropLast()) : name)
        if reference.familiarName == "scratch" { throw DaemonError(.permissionDenied, "'scratch' is a reserved name") }
        if tag.contains(":") {
            do { reference.digest = try OCISpec.Digest(parsing: tag) } catch { throw DaemonError.invalid("invalid reference format: \(error)") }
        } else if !tag.isEmpty {
            guard ImageReference.isTag(tag) else { throw DaemonError.invalid("invalid tag format") }
            reference.tag = tag
        }
        if reference.digest != nil { reference.tag = nil }
        return reference
    }

    /// One image, or of a bare name every tag that the registry has.
    func pullAny(_ reference: ImageReference, platform: String?, auth: AuthConfig?, emit: @escaping Emit) async throws {
        guard reference.tag == nil, reference.digest == nil else { return try await pull(reference, platform: platform, auth: auth, emit: emit) }
        for tag in try await queries.tags(reference, auth: auth) {
            guard ImageReference.isTag(tag) else {
                Log.warning("invalid tag \(tag) of \(reference.name), won't pull")
                continue
            }
            var tagged = reference
            tagged.tag = tag
            do { try await pull(tagged, platform: platform, auth: auth, emit: emit) } catch let error as DaemonError {
                throw DaemonError(error.code, "error pulling \(tagged): \(error.message)")
            }
        }
    }

    func pull(_ reference: ImageReference, platform: String?, auth: AuthConfig?, emit: @escaping Emit) async throws {
        let wanted = try platform.flatMap { $0.isEmpty ? nil : $0 }.map { try ImagePlatform.parse($0) } ?? ImagePlatform.host
        let name = reference.description
        let old = try await client.get(name)
        // The old image must not vanish between the moment its name moves on and the moment it is noted as one without a name.
        if let old { try await keepDangling(old.target, labels: old.labels) }
        let text = Exclusive(PullProgressText(reference))
        do {
            try await withCredentials(auth, for: reference) { stream in
                let source = TransferTypes_OCIRegistry.with {
                    $0.reference = name
                    $0.resolver = registries.resolver(for: reference, authStream: stream)
                }
                let destination = TransferTypes_ImageStore.with {
                    $0.name = name
                    $0.platforms = [Types_Platform(wanted)]
                    $0.unpacks = [TransferTypes_UnpackConfiguration.with {
                        $0.platform = Types_Platform(wanted)
                        $0.snapshotter = client.snapshotter
                    }]
                }
                try await TransferClient(client).run(source: TransferClient.wrap("OCIRegistry", source), destination: TransferClient.wrap("ImageStore", destination)) { event in
                    for message in text.with({ $0.take(event) }) { try await emit(message) }
                }
            }
        } catch {
            if let old { try? await removeDangling(old.target) }
            throw Self.pullFailure(error, reference, wanted)
        }
        await catalog.contentArrived()
        guard let new = try await client.get(name) else { throw DaemonError.internalError("the supervisor pulled \(reference.familiar) but has no record of it") }
        if let old {
            let names = try await client.list(target: old.target.digest)
            if names.contains(where: { !Self.isDangling($0.name) }) { try await removeDangling(old.target) }
        }
        try await removeDangling(new.target)
        for message in text.with({ $0.summary(before: old?.target.digest.description, after: new.target.digest.description) }) { try await emit(message) }
        publish("pull", id: reference.familiar, name: reference.familiarName)
    }

    /// dockerd answers 404 for what a registry hides, so that nothing is learnt of private repositories.
    private static func pullFailure(_ error: any Error, _ reference: ImageReference, _ platform: Platform) -> any Error {
        guard let failure = RegistryQueries.failure(error) as? DaemonError else { return error }
        if failure.message.contains("schema 1 image manifests are no longer supported") { return RegistryQueries.schema1(reference.description) }
        if failure.code == .permissionDenied { return DaemonError.notFound(failure.message) }
        if failure.code == .notFound && failure.message.contains("no match for platform") {
            return DaemonError.notFound("no matching manifest for \(ImagePlatform.text(platform)) in the manifest list entries: \(failure.message)")
        }
        return failure
    }

    /// Runs `body` with the id of a stream that answers the registry's questions; nil when there is nothing to answer.
    private func withCredentials(_ auth: AuthConfig?, for reference: ImageReference, _ body: (String?) async throws -> Void) async throws {
        guard let auth, !auth.isEmpty else { return try await body(nil) }
        let transfers = TransferClient(client)
        let (id, stream) = try await transfers.openStream("auth")
        // Cancelled, and awaited, when this scope ends.
        async let _ = transfers.answerCredentials(stream, auth, domain: reference.domain)
        defer { stream.finish() }
        try await body(id)
    }

    // MARK: - Push

    func push(_ name: String, tag: String, platform: Platform?, auth: AuthConfig?, emit: @escaping Emit) async throws {
        var reference = try Self.parse(name)
        if !tag.isEmpty {
            guard ImageReference.isTag(tag) else { throw DaemonError.invalid("invalid tag format") }
            reference.tag = tag
        }
        let names = try await namesToPush(reference)
        try await emit(.status("The push refers to repository [\(reference.name)]"))
        for named in names { try await push(named, platform: platform, auth: auth, emit: emit) }
    }

    private func namesToPush(_ reference: ImageReference) async throws -> [ImageStoreClient.Named] {
        if reference.tag != nil {
            guard let named = try await client.get(reference.description) else {
                throw DaemonError.notFound("An image does not exist locally with the tag: \(reference.familiarName)")
            }
            return [named]
        }
        let all = try await client.list().filter { named in
            guard let other = named.reference else { return false }
            return other.name == reference.name && other.tag != nil
        }
        guard !all.isEmpty else { throw DaemonError.notFound("An image does not exist locally with the tag: \(reference.familiarName)") }
        return all
    }

    private func push(_ named: ImageStoreClient.Named, platform: Platform?, auth: AuthConfig?, emit: @escaping Emit) async throws {
        let reference = try Self.parse(named.name)
        let text = Exclusive(PushProgressText())
        try await withCredentials(auth, for: reference) { stream in
            let source = TransferTypes_ImageStore.with {
                $0.name = named.name
                if let platform { $0.platforms = [Types_Platform(platform)] }
            }
            let destination = TransferTypes_OCIRegistry.with {
                $0.reference = named.name
                $0.resolver = registries.resolver(for: reference, authStream: stream)
            }
            try await TransferClient(client).run(source: TransferClient.wrap("ImageStore", source), destination: TransferClient.wrap("OCIRegistry", destination)) { event in
                for message in text.with({ $0.take(event) }) { try await emit(message) }
            }
        }
        let tag = reference.tag ?? ""
        try await emit(.status("\(tag): digest: \(named.target.digest) size: \(named.target.size)"))
        var last = ProgressMessage()
        last.progressDetail = ProgressMessage.Detail()
        var auxiliary = ProgressMessage.Auxiliary()
        auxiliary.Tag = tag
        auxiliary.Digest = named.target.digest.description
        auxiliary.Size = named.target.size
        last.aux = auxiliary
        try await emit(last)
        publish("push", id: reference.familiar, name: reference.familiarName)
    }

    // MARK: - Load

    /// Reads an archive of images; `next` gives its bytes, nil at the end.
    func load(platforms: [Platform], emit: @escaping Emit, next: @escaping @Sendable () async throws -> Data?) async throws {
        let before = Dictionary(try await client.list().map { ($0.name, $0.target) }) { first, _ in first }
        let transfers = TransferClient(client)
        let (id, stream) = try await transfers.openStream("import")
        let wanted = platforms.map { Types_Platform($0) }
        let source = TransferTypes_ImageImportStream.with { $0.stream = id }
        let destination = TransferTypes_ImageStore.with {
            $0.platforms = wanted
            $0.unpacks = [TransferTypes_UnpackConfiguration.with {
                $0.platform = wanted.first ?? Types_Platform(ImagePlatform.host)
                $0.snapshotter = client.snapshotter
            }]
            $0.extraReferences = [TransferTypes_ImageReference.with {
                $0.name = "moby-dangling"
                $0.isPrefix = true
                $0.allowOverwrite = true
                $0.addDigest = true
                $0.skipNamedDigest = true
            }]
        }
        let saved = Exclusive<[(String, OCISpec.Descriptor?)]>([])
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try? await transfers.send(stream, from: next) }
            try await transfers.run(source: TransferClient.wrap("ImageImportStream", source), destination: TransferClient.wrap("ImageStore", destination)) { event in
                if event.event == "saved" { saved.with { $0.append((event.name, OCISpec.Descriptor(event.desc))) } }
            }
            group.cancelAll()
        }
        await catalog.contentArrived()
        let names = saved.with { $0 }
        guard !names.isEmpty else { throw DaemonError.invalid("the archive holds no image") }
        for (name, target) in names {
            if let old = before[name], let target, old.digest != target.digest, try await client.document(old.digest) != nil { try await keepDangling(old) }
            let shown = Self.isDangling(name) ? name.split(separator: "@").last.map(String.init) ?? name : (try? ImageReference(parsing: name))?.familiar ?? name
            try await emit(.stream(Self.isDangling(name) ? "Loaded image ID: \(shown)\n" : "Loaded image: \(shown)\n"))
            publish("load", id: target?.digest.description ?? shown, name: shown)
        }
    }

    // MARK: - Save

    /// What of the store goes into an archive of `docker save`.
    struct SavedImage: Sendable, Equatable {
        /// Of the record; nil for what was asked for by ID or digest, which goes in without a name.
        var name: String?
        var target: OCISpec.Descriptor
    }

    /// What `docker save` means: NAME:TAG one record, NAME all tags of the repository, an ID or a digest the image without its names.
    func imagesToSave(_ references: [String]) async throws -> [SavedImage] {
        guard !references.isEmpty else { throw DaemonError.invalid("no image names given") }
        var result: [SavedImage] = []
        for text in references {
            let reference = try? ImageReference(parsing: text)
            var isRepository = reference.map { $0.tag == nil && $0.digest == nil } ?? false
            if isRepository, Self.idDigits(text) != nil { isRepository = (try? await find(text))?.spelled != nil }
            if isRepository, let reference {
                let all = try await client.list().filter { (try? ImageReference(parsing: $0.name))?.name == reference.name }
                guard !all.isEmpty else { throw DaemonError.notFound("No such image: \(text)") }
                result += all.map { SavedImage(name: $0.name, target: $0.target) }
            } else {
                let found = try await find(text)
                let isNamed = found.spelled != nil && found.spelled?.digest == nil
                result.append(SavedImage(name: isNamed ? found.spelled?.description : nil, target: found.target))
            }
        }
        return result.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    func save(_ images: [SavedImage], platforms: [Platform], into consume: @escaping @Sendable (Data) async throws -> Void) async throws {
        // What goes in without a name has one for as long as that takes: images travel by name.
        let temporary = "@\(Identifier.random(digits: 16))"
        let names = images.map { $0.name ?? Self.danglingName($0.target.digest) + temporary }
        for (image, name) in zip(images, names) where image.name == nil { try await client.put(name, target: image.target) }
        let result: Result<Void, any Error>
        do { result = .success(try await export(names, platforms: platforms, into: consume)) } catch { result = .failure(error) }
        for (image, name) in zip(images, names) where image.name == nil { try? await client.delete(name, sync: false) }
        try result.get()
        for image in images { publish("save", id: image.target.digest.description, name: image.target.digest.description) }
    }

    private func export(_ names: [String], platforms: [Platform], into consume: @escaping @Sendable (Data) async throws -> Void) async throws {
        let transfers = TransferClient(client)
        let (id, stream) = try await transfers.openStream("export")
        let source = TransferTypes_ImageStore.with {
            $0.name = names.first ?? ""
            $0.extraReferences = names.dropFirst().map { name in TransferTypes_ImageReference.with { $0.name = name } }
        }
        let destination = TransferTypes_ImageExportStream.with {
            $0.stream = id
            $0.platforms = platforms.map { Types_Platform($0) }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await transfers.receive(stream, into: consume) }
            group.addTask {
                try await transfers.run(source: TransferClient.wrap("ImageStore", source), destination: TransferClient.wrap("ImageExportStream", destination)) { _ in }
            }
            try await group.waitForAll()
        }
    }
}

/// A value that several tasks change, one after the other.
final class Exclusive<Value: Sendable>: Sendable {
    private let state: Mutex<Value>
    init(_ value: Value) { state = Mutex(value) }
    func with<Result: Sendable>(_ body: (inout Value) -> Result) -> Result { state.withLock { body(&$0) } }
}
