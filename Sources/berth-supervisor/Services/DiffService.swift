import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import GRPCSocket
import LinuxSystem
import NIOPosix
import OCILayer
import OCISpec
import SwiftProtobuf

/// containerd.services.diff.v1: layers into snapshots and back.
///
/// Mounts name what to work on, but nothing is mounted: the upper directory that they speak of is read or written directly. Only directories of this
/// supervisor's own snapshots are accepted.
struct DiffService: GRPCService {
    let content: ContentStore
    let snapshotters: SnapshotterRegistry
    let threads: NIOThreadPool

    func register(in handlers: inout GRPCHandlers) {
        handlers.unary(DiffAPI.apply) { request, context in
            try await apply(request, in: try context.requireNamespace())
        }
        handlers.unary(DiffAPI.diff) { request, context in
            try await diff(request, in: try context.requireNamespace(), lease: context.lease)
        }
    }

    // MARK: Apply

    private func apply(_ request: Diff_ApplyRequest, in namespace: String) async throws -> Diff_ApplyResponse {
        let digest = try ContentService.digest(request.diff.digest)
        guard request.payloads.isEmpty else { throw StorageError(.unimplemented, "stream processors (payloads of an apply) are not supported: not implemented") }
        let target = try LayerMounts(request.mounts.map(MountPoint.init))
        let (snapshotter, id) = try snapshotters.locate(target.upper)
        guard !target.isReadOnly else { throw StorageError(.invalidArgument, "a layer cannot be applied to a view: invalid argument") }
        let upper = try snapshotter.files(id)
        let lowers = target.lowers
        return try await BlockingThread.run { [content, snapshotters] in
            let (blob, _) = try content.open(digest, in: namespace)
            let uncompressed = HashingSource(try decompressed(BlobSource(blob)))
            let base: LayerApplier.Base =
                if !snapshotter.driver.keepsLayersApart { .sameTree } else if lowers.isEmpty { .nothing } else {
                    .apart { try lowers.map { try snapshotters.directory($0) } }
                }
            let applier = LayerApplier(uncompressed, into: upper, on: base)
            _ = try applier.apply()
            if request.syncFs { try upper.syncFileSystem() }
            return .with {
                $0.applied.mediaType = MediaType.ociLayer
                $0.applied.digest = uncompressed.digest.description
                $0.applied.size = uncompressed.count
            }
        }
    }

    // MARK: Diff

    private func diff(_ request: Diff_DiffRequest, in namespace: String, lease: String?) async throws -> Diff_DiffResponse {
        let mediaType = request.mediaType.isEmpty ? MediaType.ociLayerGzip : request.mediaType
        guard let name = MediaType.layerCompression(mediaType), let compression = Compression(rawValue: name) else {
            throw StorageError(.unimplemented, "unsupported diff media type: \(mediaType): not implemented")
        }
        let changes = try changes(request)
        let latest = request.hasSourceDateEpoch ? request.sourceDateEpoch.seconds : nil
        let ref = request.ref.isEmpty ? "berth-diff-\(UInt64.random(in: 0 ... .max))" : request.ref
        return try await BlockingThread.run { [content] in
            let writer = try content.writer(ref, in: namespace, lease: lease)
            do {
                if writer.offset > 0 { try writer.truncate() }
                let (diffID, sink) = try Self.write(changes, compression, latest: latest, to: writer)
                var labels = request.labels
                labels["containerd.io/uncompressed"] = diffID.description
                let digest: Digest
                do { digest = try writer.commit(labels: labels) } catch let error as StorageError where error.code == .alreadyExists {
                    digest = sink.digest
                    try content.setLabels(labels, on: digest, in: namespace)
                }
                return .with {
                    $0.diff.mediaType = mediaType
                    $0.diff.digest = digest.description
                    $0.diff.size = sink.count
                }
            } catch {
                writer.discard()
                throw error
            }
        }
    }

    /// What the layer is made of.
    private struct Changes: Sendable {
        /// `fs` of the snapshot.
        let files: DirectoryFD
        /// What it is held against; nil where `files` says by itself what it changes.
        var comparison: TreeComparison?
        var old: DirectoryFD?
    }

    private func changes(_ request: Diff_DiffRequest) throws -> Changes {
        let right = try LayerMounts(request.right.map(MountPoint.init))
        let left = request.left.isEmpty ? nil : try LayerMounts(request.left.map(MountPoint.init))
        let (snapshotter, id) = try snapshotters.locate(right.upper)
        if !snapshotter.driver.keepsLayersApart {
            let other = try left.map { try snapshotters.locate($0.upper) }
            guard other.map({ $0.snapshotter === snapshotter }) ?? true else {
                throw StorageError(.unimplemented, "the two sides of a diff belong to different snapshotters: not implemented")
            }
            return Changes(
                files: try snapshotter.files(id), comparison: try snapshotter.comparison(of: id, with: other?.id), old: try other.map { try snapshotter.files($0.id) })
        }
        // The upper directory says what changed only against the layers that it lies on.
        if let left {
            let below = left.isReadOnly || left.lowers.isEmpty ? [left.upper] + left.lowers : left.lowers
            guard below == right.lowers || left.lowers == right.lowers && left.isOverlay else {
                throw StorageError(.unimplemented, "the two sides of a diff must be a snapshot and its parent: not implemented")
            }
        }
        return Changes(files: try snapshotter.files(id))
    }

    private static func write(_ changes: Changes, _ compression: Compression, latest: Int64?, to writer: IngestWriter) throws -> (Digest, HashingSink) {
        let packed = HashingSink(IngestSink(writer))
        let packer: any FinishingSink =
            switch compression {
            case .none: PassingSink(packed)
            case .gzip: try GzipSink(packed)
            case .zstd: try ZstdSink(packed)
            }
        let plain = HashingSink(packer)
        let buffered = BufferedSink(plain)
        let differ = LayerDiffer(buffered, latest: latest)
        if let comparison = changes.comparison {
            try differ.write(changes.files, against: changes.old, comparison)
        } else {
            try differ.write(changes.files)
        }
        try buffered.flush()
        try packer.finish()
        return (plain.digest, packed)
    }
}

/// The directories that a snapshot's mounts speak of.
struct LayerMounts {
    /// What can be written to, or the topmost layer of a view.
    let upper: String
    /// Below it, topmost first.
    let lowers: [String]
    let isReadOnly: Bool
    let isOverlay: Bool

    init(_ mounts: [MountPoint]) throws(StorageError) {
        guard mounts.count == 1, let mount = mounts.first else {
            throw StorageError(.unimplemented, "a diff works on one mount, not \(mounts.count): not implemented")
        }
        func option(_ name: String) -> String? { mount.options.first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(name.utf8.count + 1)) } }
        switch mount.type {
        case "bind":
            upper = mount.source
            lowers = []
            isReadOnly = mount.options.contains("ro")
            isOverlay = false
        case "overlay":
            let below = option("lowerdir")?.split(separator: ":").map(String.init) ?? []
            isOverlay = true
            if let directory = option("upperdir") {
                upper = directory
                lowers = below
                isReadOnly = false
            } else {
                guard let first = below.first else { throw StorageError(.invalidArgument, "overlay mount without a directory: invalid argument") }
                upper = first
                lowers = Array(below.dropFirst())
                isReadOnly = true
            }
        default: throw StorageError(.unimplemented, "a diff of a \(mount.type) mount: not implemented")
        }
    }
}

extension MountPoint {
    init(_ mount: Types_Mount) { self.init(type: mount.type, source: mount.source, options: mount.options) }
}
