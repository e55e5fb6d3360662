import BerthDefaults
import ContainerdAPI
import GRPCSocket
import NIOPosix
import SwiftProtobuf

/// containerd.services.snapshots.v1: directory trees that build on one another.
struct SnapshotsService: GRPCService {
    let snapshotters: SnapshotterRegistry
    let events: EventExchange
    let threads: NIOThreadPool

    func register(in handlers: inout GRPCHandlers) {
        handlers.unary(SnapshotsAPI.prepare) { request, context in
            let namespace = try context.requireNamespace()
            let snapshotter = try snapshotters.get(request.snapshotter)
            let mounts = try await snapshotter.prepare(request.key, parent: request.parent, labels: request.labels, in: namespace, lease: context.lease)
            published(prepare: request.key, parent: request.parent, snapshotter, namespace)
            return .with { $0.mounts = mounts.map(Self.proto) }
        }
        handlers.unary(SnapshotsAPI.view) { request, context in
            let namespace = try context.requireNamespace()
            let snapshotter = try snapshotters.get(request.snapshotter)
            let mounts = try await snapshotter.view(request.key, parent: request.parent, labels: request.labels, in: namespace, lease: context.lease)
            published(prepare: request.key, parent: request.parent, snapshotter, namespace)
            return .with { $0.mounts = mounts.map(Self.proto) }
        }
        handlers.unary(SnapshotsAPI.mounts) { request, context in
            let mounts = try snapshotters.get(request.snapshotter).mounts(request.key, in: try context.requireNamespace())
            return .with { $0.mounts = mounts.map(Self.proto) }
        }
        handlers.unary(SnapshotsAPI.commit) { request, context in
            let namespace = try context.requireNamespace()
            let snapshotter = try snapshotters.get(request.snapshotter)
            try await snapshotter.commit(request.key, as: request.name, labels: request.labels, in: namespace, lease: context.lease)
            events.publish(
                Events_SnapshotCommit.with {
                    $0.key = request.key
                    $0.name = request.name
                    $0.snapshotter = snapshotter.name
                }, topic: "/snapshot/commit", namespace: namespace)
            return Google_Protobuf_Empty()
        }
        handlers.unary(SnapshotsAPI.remove) { request, context in
            let namespace = try context.requireNamespace()
            let snapshotter = try snapshotters.get(request.snapshotter)
            try await snapshotter.remove(request.key, in: namespace)
            events.publish(
                Events_SnapshotRemove.with {
                    $0.key = request.key
                    $0.snapshotter = snapshotter.name
                }, topic: "/snapshot/remove", namespace: namespace)
            return Google_Protobuf_Empty()
        }
        handlers.unary(SnapshotsAPI.stat) { request, context in
            let info = try snapshotters.get(request.snapshotter).stat(request.key, in: try context.requireNamespace())
            return .with { $0.info = Self.proto(info) }
        }
        handlers.unary(SnapshotsAPI.update) { request, context in
            let info = try await snapshotters.get(request.snapshotter).update(
                request.info.name, labels: request.info.labels, paths: request.updateMask.paths, in: try context.requireNamespace())
            return .with { $0.info = Self.proto(info) }
        }
        handlers.serverStream(SnapshotsAPI.list) { request, writer, context in
            let namespace = try context.requireNamespace()
            let snapshotter = try snapshotters.get(request.snapshotter)
            let filters = try FilterSet(request.filters)
            let found = try await threads.runIfActive { try snapshotter.list(in: namespace) }.filter { filters.matches(Self.fields(of: $0)) }
            for start in stride(from: 0, to: found.count, by: 100) {
                let part = found[start..<min(start + 100, found.count)].map(Self.proto)
                try await writer.write(.with { $0.info = part })
            }
        }
        handlers.unary(SnapshotsAPI.usage) { request, context in
            let namespace = try context.requireNamespace()
            let snapshotter = try snapshotters.get(request.snapshotter)
            let key = request.key
            let usage = try await threads.runIfActive { try snapshotter.usage(key, in: namespace) }
            return .with {
                $0.size = usage.size
                $0.inodes = usage.inodes
            }
        }
        handlers.unary(SnapshotsAPI.cleanup) { request, _ in
            let snapshotter = try snapshotters.get(request.snapshotter)
            try await threads.runIfActive { try snapshotter.cleanup() }
            return Google_Protobuf_Empty()
        }
    }

    private func published(prepare key: String, parent: String, _ snapshotter: Snapshotter, _ namespace: String) {
        events.publish(
            Events_SnapshotPrepare.with {
                $0.key = key
                $0.parent = parent
                $0.snapshotter = snapshotter.name
            }, topic: "/snapshot/prepare", namespace: namespace)
    }

    // MARK: Wire

    static func proto(_ mount: MountPoint) -> Types_Mount {
        .with {
            $0.type = mount.type
            $0.source = mount.source
            $0.options = mount.options
        }
    }

    private static func proto(_ info: SnapshotInfo) -> Snapshots_Info {
        .with {
            $0.name = info.name
            $0.parent = info.parent
            $0.kind =
                switch info.kind {
                case .view: .view
                case .active: .active
                case .committed: .committed
                }
            $0.createdAt = Timestamps.proto(info.created)
            $0.updatedAt = Timestamps.proto(info.updated)
            $0.labels = info.labels
        }
    }

    private static func fields(of info: SnapshotInfo) -> ([String]) -> String? {
        { path in
            switch path.first {
            case "kind": info.kind.name
            case "name": info.name
            case "parent": info.parent
            case "labels" where path.count > 1: info.labels[path.dropFirst().joined(separator: ".")]
            default: nil
            }
        }
    }
}
