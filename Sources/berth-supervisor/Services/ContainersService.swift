import BerthDefaults
import ContainerdAPI
import GRPCSocket
import SwiftProtobuf

/// containerd.services.containers.v1: what a container is, whether or not it runs.
struct ContainersService: GRPCService {
    let database: MetadataDatabase
    let events: EventExchange

    func register(in handlers: inout GRPCHandlers) {
        handlers.unary(ContainersAPI.get) { request, context in
            let namespace = try context.requireNamespace()
            let container = try database.read { try ContainerRecords.get(request.id, in: namespace, $0) }
            return .with { $0.container = container }
        }
        handlers.unary(ContainersAPI.list) { request, context in
            let namespace = try context.requireNamespace()
            let found = try list(request.filters, in: namespace)
            return .with { $0.containers = found }
        }
        handlers.serverStream(ContainersAPI.listStream) { request, writer, context in
            let namespace = try context.requireNamespace()
            for container in try list(request.filters, in: namespace) { try await writer.write(.with { $0.container = container }) }
        }
        handlers.unary(ContainersAPI.create) { request, context in
            let namespace = try context.requireNamespace()
            let container = try await create(request.container, in: namespace)
            return .with { $0.container = container }
        }
        handlers.unary(ContainersAPI.update) { request, context in
            let namespace = try context.requireNamespace()
            let container = try await update(request.container, paths: request.updateMask.paths, in: namespace)
            return .with { $0.container = container }
        }
        handlers.unary(ContainersAPI.delete) { request, context in
            let namespace = try context.requireNamespace()
            try await database.writeRemoval { try ContainerRecords.delete(request.id, in: namespace, $0) }
            events.publish(Events_ContainerDelete.with { $0.id = request.id }, topic: "/containers/delete", namespace: namespace)
            return Google_Protobuf_Empty()
        }
    }

    private func list(_ filters: [String], in namespace: String) throws -> [Containers_Container] {
        let filters = try FilterSet(filters)
        let all = try database.read { try ContainerRecords.list(in: namespace, $0) }
        return filters.isEmpty ? all : all.filter { filters.matches(Self.fields(of: $0)) }
    }

    private func create(_ container: Containers_Container, in namespace: String) async throws -> Containers_Container {
        try Identifiers.validate(namespace, "namespace")
        do { try Self.validate(container) } catch {
            throw SupervisorError(error.code, "create container failed validation: \(error.message)")
        }
        let created = try await database.write { try ContainerRecords.create(container, in: namespace, $0) }
        events.publish(
            Events_ContainerCreate.with {
                $0.id = created.id
                $0.image = created.image
                $0.runtime.name = created.runtime.name
                if created.runtime.hasOptions { $0.runtime.options = created.runtime.options }
            }, topic: "/containers/create", namespace: namespace)
        return created
    }

    private func update(_ change: Containers_Container, paths: [String], in namespace: String) async throws -> Containers_Container {
        guard !change.id.isEmpty else { throw SupervisorError(.invalidArgument, "must specify a container id: invalid argument") }
        let updated = try await database.write { db in
            let old = try ContainerRecords.get(change.id, in: namespace, db)
            return try ContainerRecords.update(try Self.applied(change, to: old, paths: paths), in: namespace, db)
        }
        events.publish(
            Events_ContainerUpdate.with {
                $0.id = updated.id
                $0.image = updated.image
                $0.labels = updated.labels
                $0.snapshotKey = updated.snapshotKey
            }, topic: "/containers/update", namespace: namespace)
        return updated
    }

    /// The container after an update. Without a field mask everything that may change is replaced, and what may not must be the same.
    static func applied(_ change: Containers_Container, to old: Containers_Container, paths: [String]) throws(SupervisorError) -> Containers_Container {
        var updated = old
        var paths = paths
        if paths.isEmpty {
            guard old.snapshotter == change.snapshotter else {
                throw SupervisorError(.invalidArgument, "container.Snapshotter field is immutable: invalid argument")
            }
            guard old.runtime.name == change.runtime.name else {
                throw SupervisorError(.invalidArgument, "container.Runtime.Name field is immutable: invalid argument")
            }
            paths = ["labels", "spec", "extensions", "image", "snapshotkey"]
        }
        for path in paths {
            if MapPath.apply(path, of: change, to: &updated, labels: \.labels, extensions: \.extensions) { continue }
            switch path {
            case "labels": updated.labels = change.labels.filter { !$0.value.isEmpty }
            case "spec": updated.spec = change.spec
            case "extensions": updated.extensions = change.extensions
            case "image": updated.image = change.image
            case "snapshotkey", "snapshot_key": updated.snapshotKey = change.snapshotKey
            default:
                throw SupervisorError(.invalidArgument, "cannot update \"\(path)\" field on \"\(change.id)\": invalid argument")
            }
        }
        do { try validate(updated) } catch { throw SupervisorError(error.code, "update failed validation: \(error.message)") }
        return updated
    }

    static func validate(_ container: Containers_Container) throws(SupervisorError) {
        try Identifiers.validate(container.id, "container.ID")
        guard !container.extensions.keys.contains("") else {
            throw SupervisorError(.invalidArgument, "container.Extension keys must not be zero-length: invalid argument")
        }
        try Labels.validate(container.labels)
        guard !container.runtime.name.isEmpty else { throw SupervisorError(.invalidArgument, "container.Runtime.Name must be set: invalid argument") }
        guard container.hasSpec else { throw SupervisorError(.invalidArgument, "container.Spec must be set: invalid argument") }
        guard container.snapshotKey.isEmpty || !container.snapshotter.isEmpty else {
            throw SupervisorError(.invalidArgument, "container.Snapshotter must be set if container.SnapshotKey is set: invalid argument")
        }
    }

    private static func fields(of container: Containers_Container) -> ([String]) -> String? {
        { path in
            switch path.first {
            case "id": container.id
            case "runtime" where path.count == 2 && path[1] == "name": container.runtime.name
            case "image": container.image.isEmpty ? nil : container.image
            case "labels" where path.count > 1: container.labels[path.dropFirst().joined(separator: ".")]
            default: nil
            }
        }
    }
}
