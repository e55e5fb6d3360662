import ContainerdAPI
import SwiftProtobuf

/// What a filter can ask of an event: `namespace`, `topic` and `event.FIELD`, the fields by their names in the protos.
enum EventFields {
    static func lookup(_ envelope: Types_Envelope) -> ([String]) -> String? {
        { path in
            switch path.first {
            case "namespace" where path.count == 1: envelope.namespace
            case "topic" where path.count == 1: envelope.topic
            case "event" where path.count > 1: field(of: envelope.event, Array(path.dropFirst()))
            default: nil
            }
        }
    }

    /// A string field of a packed event, or a label of it.
    private static func field(of any: Google_Protobuf_Any, _ path: [String]) -> String? {
        let name = path[0]
        if path.count > 1 {
            guard name == "labels" else { return nil }
            return labels(of: any)?[path.dropFirst().joined(separator: ".")]
        }
        guard let (id, exec) = identity(of: any) else { return nil }
        switch name {
        case "container_id", "id", "name", "namespace", "digest", "key", "sandbox_id": return id[name]
        case "exec_id": return exec
        default: return id[name]
        }
    }

    private static func identity(of any: Google_Protobuf_Any) -> ([String: String], String?)? {
        switch any.typeURL.split(separator: "/").last.map(String.init) ?? "" {
        case Events_TaskCreate.protoMessageName:
            AnyMessages.unpack(any, as: Events_TaskCreate.self).map { (["container_id": $0.containerID, "bundle": $0.bundle], nil) }
        case Events_TaskStart.protoMessageName: AnyMessages.unpack(any, as: Events_TaskStart.self).map { (["container_id": $0.containerID], nil) }
        case Events_TaskDelete.protoMessageName:
            AnyMessages.unpack(any, as: Events_TaskDelete.self).map { (["container_id": $0.containerID, "id": $0.id], nil) }
        case Events_TaskExit.protoMessageName:
            AnyMessages.unpack(any, as: Events_TaskExit.self).map { (["container_id": $0.containerID, "id": $0.id], nil) }
        case Events_TaskOOM.protoMessageName: AnyMessages.unpack(any, as: Events_TaskOOM.self).map { (["container_id": $0.containerID], nil) }
        case Events_TaskExecAdded.protoMessageName:
            AnyMessages.unpack(any, as: Events_TaskExecAdded.self).map { (["container_id": $0.containerID], $0.execID) }
        case Events_TaskExecStarted.protoMessageName:
            AnyMessages.unpack(any, as: Events_TaskExecStarted.self).map { (["container_id": $0.containerID], $0.execID) }
        case Events_TaskPaused.protoMessageName: AnyMessages.unpack(any, as: Events_TaskPaused.self).map { (["container_id": $0.containerID], nil) }
        case Events_TaskResumed.protoMessageName: AnyMessages.unpack(any, as: Events_TaskResumed.self).map { (["container_id": $0.containerID], nil) }
        case Events_TaskCheckpointed.protoMessageName:
            AnyMessages.unpack(any, as: Events_TaskCheckpointed.self).map { (["container_id": $0.containerID, "checkpoint": $0.checkpoint], nil) }
        case Events_ContainerCreate.protoMessageName:
            AnyMessages.unpack(any, as: Events_ContainerCreate.self).map { (["id": $0.id, "image": $0.image], nil) }
        case Events_ContainerUpdate.protoMessageName:
            AnyMessages.unpack(any, as: Events_ContainerUpdate.self).map { (["id": $0.id, "image": $0.image, "snapshot_key": $0.snapshotKey], nil) }
        case Events_ContainerDelete.protoMessageName: AnyMessages.unpack(any, as: Events_ContainerDelete.self).map { (["id": $0.id], nil) }
        case Images_ImageCreate.protoMessageName: AnyMessages.unpack(any, as: Images_ImageCreate.self).map { (["name": $0.name], nil) }
        case Images_ImageUpdate.protoMessageName: AnyMessages.unpack(any, as: Images_ImageUpdate.self).map { (["name": $0.name], nil) }
        case Images_ImageDelete.protoMessageName: AnyMessages.unpack(any, as: Images_ImageDelete.self).map { (["name": $0.name], nil) }
        case Events_NamespaceCreate.protoMessageName: AnyMessages.unpack(any, as: Events_NamespaceCreate.self).map { (["name": $0.name], nil) }
        case Events_NamespaceUpdate.protoMessageName: AnyMessages.unpack(any, as: Events_NamespaceUpdate.self).map { (["name": $0.name], nil) }
        case Events_NamespaceDelete.protoMessageName: AnyMessages.unpack(any, as: Events_NamespaceDelete.self).map { (["name": $0.name], nil) }
        case Events_SnapshotPrepare.protoMessageName:
            AnyMessages.unpack(any, as: Events_SnapshotPrepare.self).map { (["key": $0.key, "parent": $0.parent, "snapshotter": $0.snapshotter], nil) }
        case Events_SnapshotCommit.protoMessageName:
            AnyMessages.unpack(any, as: Events_SnapshotCommit.self).map { (["key": $0.key, "name": $0.name, "snapshotter": $0.snapshotter], nil) }
        case Events_SnapshotRemove.protoMessageName:
            AnyMessages.unpack(any, as: Events_SnapshotRemove.self).map { (["key": $0.key, "snapshotter": $0.snapshotter], nil) }
        case Events_ContentCreate.protoMessageName: AnyMessages.unpack(any, as: Events_ContentCreate.self).map { (["digest": $0.digest], nil) }
        case Events_ContentDelete.protoMessageName: AnyMessages.unpack(any, as: Events_ContentDelete.self).map { (["digest": $0.digest], nil) }
        default: nil
        }
    }

    private static func labels(of any: Google_Protobuf_Any) -> [String: String]? {
        switch any.typeURL.split(separator: "/").last.map(String.init) ?? "" {
        case Events_ContainerUpdate.protoMessageName: AnyMessages.unpack(any, as: Events_ContainerUpdate.self)?.labels
        case Images_ImageCreate.protoMessageName: AnyMessages.unpack(any, as: Images_ImageCreate.self)?.labels
        case Images_ImageUpdate.protoMessageName: AnyMessages.unpack(any, as: Images_ImageUpdate.self)?.labels
        case Events_NamespaceCreate.protoMessageName: AnyMessages.unpack(any, as: Events_NamespaceCreate.self)?.labels
        case Events_NamespaceUpdate.protoMessageName: AnyMessages.unpack(any, as: Events_NamespaceUpdate.self)?.labels
        default: nil
        }
    }
}
