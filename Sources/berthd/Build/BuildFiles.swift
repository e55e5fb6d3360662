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

    /// Unpacks a compressed archive. The supervisor does: it knows the packings.
    ///
    /// - Throws: `NoArchive` when nothing of it is one.
    func unpacked(_ next: @Sendable () async throws -> Data?) async throws -> ContainerFilesystem {
        let archive = try await images.storeLayer(next, lease: lease)
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

/// How an archive is packed, by its first bytes.
enum ArchivePacking: String {
    case gzip, bzip2, xz, zstd

    private static let magics: [(ArchivePacking, [UInt8])] = [
        (.gzip, [0x1F, 0x8B]), (.bzip2, Array("BZh".utf8)), (.xz, [0xFD, 0x37, 0x7A, 0x58, 0x5A]), (.zstd, [0x28, 0xB5, 0x2F, 0xFD]),
    ]

    init?(_ head: some Sequence<UInt8>) {
        let head = Array(head.prefix(6))
        guard let found = Self.magics.first(where: { head.starts(with: $0.1) }) else { return nil }
        self = found.0
    }

    /// The supervisor unpacks it.
    var isBuilt: Bool { self == .gzip || self == .zstd }
}
