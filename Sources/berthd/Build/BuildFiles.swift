import ContainerdAPI
import FoundationEssentials
import Glibc
import LinuxSystem
import NIOCore
import OCILayer
import OCISpec

/// Trees of files that a build reads from: its context, images, archives. Each is seen through a root that no path leads out of.
struct BuildFiles: Sendable {
    let images: ImageService
    /// On which roots are mounted for a moment, in namespaces of their own.
    let mountPlace: String
    /// Keeps what is made for the build, and no longer.
    let lease: String

    private var client: ImageStoreClient { images.client }

    /// A directory of ours.
    func directory(_ path: String) async throws -> ContainerFilesystem { try await open(.directory(path), writable: true) }

    /// A committed layer with those below it, to look at; "" is an empty one.
    func layer(_ chainID: String) async throws -> ContainerFilesystem {
        let mounts = try await client.view(key: ImageStoreClient.temporaryKey("build-\(Identifier.random(digits: 16))"), parent: chainID, lease: lease)
        return try await open(try RootfsLayers(mounts), writable: false)
    }

    func open(_ layers: RootfsLayers, writable: Bool) async throws -> ContainerFilesystem {
        let place = mountPlace
        return try await BlockingThread.run { try ContainerFilesystem(.layers(layers, writable: writable), placing: [], at: place) }
    }

    /// Unpacks a compressed archive into a layer.
    ///
    /// - Throws: `NoArchive` when nothing of it is one.
    func unpacked(_ next: @escaping @Sendable () async throws -> Data?) async throws -> ContainerFilesystem {
        let archive: OCISpec.Descriptor
        do { archive = try await images.storeLayer(next, lease: lease) } catch let failure as UnpackedSource.Failure where failure.isFromStart { throw NoArchive(reason: failure) }
        let mounts = try await client.prepare(key: ImageStoreClient.temporaryKey("build-\(Identifier.random(digits: 16))"), parent: "", lease: lease)
        let layers = try RootfsLayers(mounts)
        do { _ = try await client.apply(archive, onto: mounts, lease: lease) } catch {
            let files = try await open(layers, writable: true)
            guard try await BlockingThread.run({ try files.directory("/").names().isEmpty }) else { throw error }
            throw NoArchive(reason: error)
        }
        return try await open(layers, writable: true)
    }

    /// Not one member could be read: a compressed file of another kind, or one that is damaged at its very start.
    struct NoArchive: Error, CustomStringConvertible {
        let reason: any Error
        var description: String { "\(reason)" }
    }

    /// A file of a tree as a stream.
    static func reader(_ file: consuming OwnedFD) -> @Sendable () async throws -> Data? {
        let reader = FileReader(file)
        return { try await BlockingThread.run { try reader.next() } }
    }

    private final class FileReader: @unchecked Sendable {
        // Safety: one call after the other.
        private let file: OwnedFD
        private var offset: Int64 = 0

        init(_ file: consuming OwnedFD) { self.file = file }

        func next() throws -> Data? {
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            let count = try bytes.withUnsafeMutableBytes { try file.readSome(into: $0, at: offset, on: "an archive") }
            offset += Int64(count)
            return count == 0 ? nil : Data(bytes[..<count])
        }
    }
}
