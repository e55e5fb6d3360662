import DockerAPI
import JSONCodec
import NIOCore

/// A JSON array of containers that is being put together, for `ps` and `system df`.
struct ContainerListText {
    private let views: ContainerViews
    private let version: APIVersion
    /// Names that other containers have for one, by its ID.
    private let linkNames: [String: [String]]
    private var imageNames: ImageNames
    private let now = WallClock.now()
    private var buffer = ByteBuffer()
    private(set) var count = 0
    /// Of a container without labels, ports and mounts, and some more.
    private static let bytesEach = 1200

    /// - Parameters:
    ///   - expected: number of containers: the buffer needs not grow then.
    ///   - before: what stands in front of the array.
    init(_ environment: ContainerEnvironment, version: APIVersion, expected: Int = 0, before: StaticString = "") {
        views = environment.views
        self.version = version
        linkNames = environment.store.linkNames
        imageNames = ImageNames(images: environment.images)
        buffer.reserveCapacity(expected * Self.bytesEach)
        buffer.writeStaticString(before)
        buffer.writeStaticString("[")
    }

    mutating func append(_ container: ManagedContainer, _ snapshot: RecordSnapshot, health: String?, sizes: ListedContainer.Sizes?) async throws {
        let look = ListedContainer.Look(
            version: version, image: await imageNames.name(of: snapshot), status: ContainerViews.statusText(snapshot.record.lifecycle, health: health, now: now),
            linkNames: linkNames[container.id] ?? [], sizes: sizes)
        let text = try container.listed(look, snapshot) { try JSON.encode(views.summary(snapshot.record, look)) }
        if count > 0 { buffer.writeStaticString(",") }
        count += 1
        buffer.writeBytes(text)
    }

    /// The array, without a line feed. Nothing can be appended any more.
    mutating func finish() -> ByteBuffer {
        buffer.writeStaticString("]")
        return buffer
    }
}

/// What `ps` shows for a container's image: the name it was made from for as long as that leads to the same image, then the ID.
private struct ImageNames {
    let images: any ImageProviding
    private var ids: [String: String?] = [:]

    init(images: any ImageProviding) { self.images = images }

    mutating func name(of snapshot: RecordSnapshot) async -> String {
        let name = snapshot.record.config.Image ?? snapshot.record.image.reference
        let id: String?
        if let known = ids[name] { id = known } else {
            id = try? await images.identify(name)
            ids[name] = id
        }
        return id == snapshot.record.image.id ? name : snapshot.record.image.id
    }
}
