import BerthDefaults
import ContainerdAPI
import GRPCSocket
import SwiftProtobuf

/// containerd.services.images.v1: names for content.
struct ImagesService: GRPCService {
    let database: MetadataDatabase
    let events: EventExchange
    let collector: GarbageCollector

    func register(in handlers: inout GRPCHandlers) {
        handlers.unary(ImagesAPI.get) { request, context in
            let namespace = try context.requireNamespace()
            let image = try database.read { try ImageRecords.get(request.name, in: namespace, $0) }
            return .with { $0.image = image }
        }
        handlers.unary(ImagesAPI.list) { request, context in
            let namespace = try context.requireNamespace()
            let filters = try FilterSet(request.filters)
            let all = try database.read { try ImageRecords.list(in: namespace, $0) }
            return .with { $0.images = filters.isEmpty ? all : all.filter { filters.matches(Self.fields(of: $0)) } }
        }
        handlers.unary(ImagesAPI.create) { request, context in
            let namespace = try context.requireNamespace()
            try Identifiers.validate(namespace, "namespace")
            let image = try await database.write { try ImageRecords.create(request.image, in: namespace, $0) }
            ImageEvents.created(image, in: namespace, events)
            return .with { $0.image = image }
        }
        handlers.unary(ImagesAPI.update) { request, context in
            let namespace = try context.requireNamespace()
            guard !request.image.name.isEmpty else { throw SupervisorError(.invalidArgument, "image name is required for update: invalid argument") }
            let image = try await database.write { try ImageRecords.update(request.image, paths: request.updateMask.paths, in: namespace, $0) }
            ImageEvents.updated(image, in: namespace, events)
            return .with { $0.image = image }
        }
        handlers.unary(ImagesAPI.delete) { request, context in
            let namespace = try context.requireNamespace()
            let target = request.hasTarget ? request.target.digest : ""
            try await database.writeRemoval { try ImageRecords.delete(request.name, target: target, in: namespace, $0) }
            ImageEvents.deleted(request.name, in: namespace, events)
            if request.sync { try await collector.collect() } else { collector.schedule() }
            return Google_Protobuf_Empty()
        }
    }

    private static func fields(of image: Images_Image) -> ([String]) -> String? {
        { path in
            switch path.first {
            case "name": image.name
            case "target" where path.count == 2 && path[1] == "digest": image.target.digest
            case "target" where path.count == 2 && path[1] == "mediatype": image.target.mediaType
            case "labels" where path.count > 1: image.labels[path.dropFirst().joined(separator: ".")]
            case "annotations" where path.count > 1: image.target.annotations[path.dropFirst().joined(separator: ".")]
            default: nil
            }
        }
    }
}

/// The events of images, for the service and for transfers.
enum ImageEvents {
    static func created(_ image: Images_Image, in namespace: String, _ events: EventExchange) {
        events.publish(
            Images_ImageCreate.with {
                $0.name = image.name
                $0.labels = image.labels
            }, topic: "/images/create", namespace: namespace)
    }

    static func updated(_ image: Images_Image, in namespace: String, _ events: EventExchange) {
        events.publish(
            Images_ImageUpdate.with {
                $0.name = image.name
                $0.labels = image.labels
            }, topic: "/images/update", namespace: namespace)
    }

    static func deleted(_ name: String, in namespace: String, _ events: EventExchange) {
        events.publish(Images_ImageDelete.with { $0.name = name }, topic: "/images/delete", namespace: namespace)
    }
}
