import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import GRDB
import JSONCodec
import OCILayer
import OCISpec

/// An archive of images into the content store: Docker's (`manifest.json`) and OCI layouts (`index.json`), several images in one.
///
/// One pass over the stream: every file becomes an ingest and then content under its digest, whatever its name; what it means is settled at the end.
struct ArchiveImport: Sendable {
    let content: ContentStore
    let namespace: String
    let lease: String

    /// What an archive amounts to.
    struct Result: Sendable {
        /// The images, with their names as annotations.
        var images: [Descriptor]
        /// The archive's index, itself content.
        var index: Descriptor
    }

    private struct DockerImage: Decodable {
        var config: String
        var repoTags: [String]
        var layers: [String]

        enum CodingKeys: String, CodingKey {
            case config = "Config"
            case repoTags = "RepoTags"
            case layers = "Layers"
        }

        init(from decoder: any Decoder) throws {
            let fields = try decoder.container(keyedBy: CodingKeys.self)
            config = try fields.decode(String.self, forKey: .config)
            repoTags = try fields.decodeIfPresent([String].self, forKey: .repoTags) ?? []
            layers = try fields.decodeIfPresent([String].self, forKey: .layers) ?? []
        }
    }

    private struct Blob {
        var digest: Digest
        var size: Int64
        var compression: Compression
    }

    private static let documentLimit = 20 << 20
    private static let memberLimit = 100_000

    /// Reads the archive. Blocks.
    func run(_ source: any ByteSource) throws -> Result {
        let reader = TarReader(try decompressed(source))
        var layout: [UInt8]?
        var dockerManifest: [UInt8]?
        var blobs: [String: Blob] = [:]
        var links: [String: String] = [:]
        while let entry = try reader.next() {
            let name = String(decoding: LayerPath(entry.path).bytes, as: UTF8.self)
            switch entry.kind {
            case .symbolicLink:
                // Older archives link a layer that two images share; the target is beside the link's folder.
                let folder = name.split(separator: "/").dropLast().joined(separator: "/")
                links[name] = String(decoding: LayerPath(Array("\(folder)/".utf8) + entry.linkTarget).bytes, as: UTF8.self)
            case .file:
                switch name {
                case "oci-layout": layout = try reader.readContent(limit: Self.documentLimit)
                case "manifest.json": dockerManifest = try reader.readContent(limit: Self.documentLimit)
                default: blobs[name] = try ingest(reader, entry, name)
                }
            default: continue
            }
            guard blobs.count + links.count <= Self.memberLimit else { throw StorageError(.invalidArgument, "archive with more than \(Self.memberLimit) files") }
        }
        try reader.drain()
        if let layout { return try ociLayout(layout, blobs) }
        guard let dockerManifest else { throw StorageError(.invalidArgument, "unrecognized image format") }
        for (name, target) in links {
            guard let blob = blobs[target] else { throw StorageError(.invalidArgument, "no target for symlink layer from \"\(name)\" to \"\(target)\"") }
            blobs[name] = blob
        }
        return try dockerArchive(dockerManifest, blobs)
    }

    private func ingest(_ reader: TarReader, _ entry: TarEntry, _ name: String) throws -> Blob {
        // Refs are shared by all clients of the namespace: this archive's are its own.
        let writer = try content.writer("berth-import-\(lease)-\(name)", total: entry.size, in: namespace, lease: lease)
        var start: [UInt8] = []
        do {
            if writer.offset > 0 { try writer.truncate() }
            while let (_, bytes) = try reader.nextChunk() {
                if start.count < 4 { start += bytes.prefix(4 - start.count) }
                try writer.write(bytes)
            }
            let blob = Blob(digest: writer.digest, size: writer.offset, compression: Compression(detecting: start))
            // A layout names its blobs by their digests: one that lies is refused here.
            if name.hasPrefix("blobs/sha256/"), blob.digest.encoded != name.dropFirst("blobs/sha256/".count) {
                throw StorageError(.failedPrecondition, "blob \(name) has the digest \(blob.digest)")
            }
            do { try writer.commit(size: entry.size) } catch let error as StorageError where error.code == .alreadyExists {}
            return blob
        } catch {
            writer.discard()
            throw error
        }
    }

    // MARK: OCI layout

    private func ociLayout(_ bytes: [UInt8], _ blobs: [String: Blob]) throws -> Result {
        let layout: ImageLayout = try ImageDocuments.decode(bytes, "oci-layout")
        guard layout.imageLayoutVersion == ImageLayout.version else {
            throw StorageError(.invalidArgument, "unsupported OCI version \(layout.imageLayoutVersion)")
        }
        guard let blob = blobs["index.json"] else { throw StorageError(.invalidArgument, "missing index.json in OCI layout \(layout.imageLayoutVersion)") }
        let descriptor = Descriptor(mediaType: MediaType.ociIndex, digest: blob.digest, size: blob.size)
        let index = try ImageDocuments.index(try content.read(blob.digest, in: namespace), descriptor)
        try content.setLabels(ImageDocuments.referenceLabels(index), on: blob.digest, in: namespace)
        return Result(images: index.manifests, index: descriptor)
    }

    // MARK: Docker archive

    private func dockerArchive(_ bytes: [UInt8], _ blobs: [String: Blob]) throws -> Result {
        let images: [DockerImage] = try ImageDocuments.decode(bytes, "manifest.json")
        var members: [Descriptor] = []
        for image in images {
            guard let config = blobs[Self.clean(image.config)] else { throw StorageError(.invalidArgument, "image config \"\(image.config)\" not found") }
            let layers = try image.layers.map { name in
                guard let blob = blobs[Self.clean(name)] else { throw StorageError(.invalidArgument, "layer \"\(name)\" not found") }
                return try layer(blob)
            }
            let manifest = ImageManifest(
                mediaType: MediaType.dockerManifest,
                config: Descriptor(mediaType: MediaType.dockerConfig, digest: config.digest, size: config.size), layers: layers)
            var descriptor = try store(manifest, MediaType.dockerManifest, labels: ImageDocuments.referenceLabels(manifest))
            let document = try ImageDocuments.config(try content.read(config.digest, in: namespace), manifest.config)
            guard document.rootfs.diffIDs.count == layers.count else {
                throw StorageError(.invalidArgument, "invalid manifest, layers length mismatch: expected \(document.rootfs.diffIDs.count), got \(layers.count)")
            }
            if !document.os.isEmpty { descriptor.platform = document.platform }
            if image.repoTags.isEmpty { members.append(descriptor) }
            for tag in image.repoTags {
                let reference: ImageReference
                do { reference = try ImageReference(parsing: tag).withDefaultTag } catch {
                    throw StorageError(.invalidArgument, "invalid tag \"\(tag)\" in the archive: \(error)")
                }
                var named = descriptor
                named.annotations["io.containerd.image.name"] = reference.description
                named.annotations["org.opencontainers.image.ref.name"] = reference.tag ?? reference.digest?.description ?? ""
                members.append(named)
            }
        }
        let index = ImageIndex(manifests: members)
        let descriptor = try store(index, MediaType.ociIndex, labels: ImageDocuments.referenceLabels(index))
        return Result(images: members, index: descriptor)
    }

    private static func clean(_ name: String) -> String { String(decoding: LayerPath(Array(name.utf8)).bytes, as: UTF8.self) }

    /// An uncompressed layer that is here already in its compressed form, with the same content, is taken as that.
    private func layer(_ blob: Blob) throws -> Descriptor {
        if blob.compression == .none {
            // Its label says that it is packed, so this does not come here twice.
            let known = try content.database.write { db in
                try ContentStore.compressed(of: blob.digest, in: namespace, db).flatMap { try ContentStore.claim($0.digest, for: lease, in: namespace, db) }
            }
            if let known {
                var start = [UInt8](repeating: 0, count: 4)
                let (file, _) = try content.open(known.digest, in: namespace)
                _ = try start.withUnsafeMutableBytes { try file.readAll(into: $0, at: 0) }
                return try layer(Blob(digest: known.digest, size: known.size, compression: Compression(detecting: start)))
            }
        }
        let type =
            switch blob.compression {
            case .none: MediaType.dockerLayer
            case .gzip: MediaType.dockerLayerGzip
            case .zstd: MediaType.dockerLayerZstd
            }
        return Descriptor(mediaType: type, digest: blob.digest, size: blob.size)
    }

    private func store(_ document: some Encodable, _ mediaType: String, labels: [String: String]) throws -> Descriptor {
        let bytes = try JSON.encode(document)
        let digest = try content.add(bytes, labels: labels, in: namespace, lease: lease)
        return Descriptor(mediaType: mediaType, digest: digest, size: Int64(bytes.count))
    }
}
