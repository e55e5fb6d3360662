import BerthDefaults
import ContainerdAPI
import GRDB
import GRPCSocket
import SwiftProtobuf

/// containerd.services.namespaces.v1. A namespace exists from the first thing in it or from its creation here, and can go when it is empty.
struct NamespacesService: GRPCService {
    let database: MetadataDatabase
    let events: EventExchange

    func register(in handlers: inout GRPCHandlers) {
        handlers.unary(NamespacesAPI.get) { request, _ in
            // containerd answers for any name: clients read the labels of a namespace before the first thing is in it.
            try Identifiers.validate(request.name, "namespace")
            let found = try database.read { try Self.find(request.name, $0) }
            return .with { $0.namespace = found ?? .with { $0.name = request.name } }
        }
        handlers.unary(NamespacesAPI.list) { request, _ in
            let filters = try FilterSet(request.filter.isEmpty ? [] : [request.filter])
            let all = try database.read { db in
                try Row.fetchAll(db, sql: "SELECT name, labels FROM namespaces ORDER BY name").map(Self.namespace)
            }
            return .with { response in
                response.namespaces = all.filter { namespace in
                    filters.matches { path in
                        switch path.first {
                        case "name": namespace.name
                        case "labels" where path.count > 1: namespace.labels[path.dropFirst().joined(separator: ".")]
                        default: nil
                        }
                    }
                }
            }
        }
        handlers.unary(NamespacesAPI.create) { request, _ in
            let namespace = request.namespace
            try Identifiers.validate(namespace.name, "namespace")
            try Labels.validate(namespace.labels)
            try await database.write { db in
                let exists = try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM namespaces WHERE name = ?)", arguments: [namespace.name]) ?? false
                guard !exists else { throw SupervisorError(.alreadyExists, "namespace \"\(namespace.name)\": already exists") }
                try db.execute(
                    sql: "INSERT INTO namespaces (name, labels) VALUES (?, ?)", arguments: [namespace.name, Labels.encode(namespace.labels)])
            }
            events.publish(
                Events_NamespaceCreate.with {
                    $0.name = namespace.name
                    $0.labels = namespace.labels
                }, topic: "/namespaces/create", namespace: namespace.name)
            return .with { $0.namespace = namespace }
        }
        handlers.unary(NamespacesAPI.update) { request, _ in
            let change = request.namespace
            let paths = request.updateMask.paths
            try Identifiers.validate(change.name, "namespace")
            let updated = try await database.write { db in
                try MetadataDatabase.ensureNamespace(change.name, db)
                var found = try Self.find(change.name, db) ?? change
                found.labels = try Labels.updated(found.labels, with: change.labels, paths: paths)
                try db.execute(sql: "UPDATE namespaces SET labels = ? WHERE name = ?", arguments: [Labels.encode(found.labels), found.name])
                return found
            }
            events.publish(
                Events_NamespaceUpdate.with {
                    $0.name = updated.name
                    $0.labels = updated.labels
                }, topic: "/namespaces/update", namespace: updated.name)
            return .with { $0.namespace = updated }
        }
        handlers.unary(NamespacesAPI.delete) { request, _ in
            try await database.write { try Self.delete(request.name, $0) }
            events.publish(Events_NamespaceDelete.with { $0.name = request.name }, topic: "/namespaces/delete", namespace: request.name)
            return Google_Protobuf_Empty()
        }
    }

    private static func find(_ name: String, _ db: Database) throws -> Namespaces_Namespace? {
        try Row.fetchOne(db, sql: "SELECT name, labels FROM namespaces WHERE name = ?", arguments: [name]).map(namespace)
    }

    private static func namespace(_ row: Row) -> Namespaces_Namespace {
        .with {
            $0.name = row[0]
            $0.labels = Labels.decode(row[1])
        }
    }

    private static func delete(_ name: String, _ db: Database) throws {
        guard try find(name, db) != nil else { throw SupervisorError(.notFound, "namespace \"\(name)\": not found") }
        var left: [String] = []
        for (table, what) in [("images", "images"), ("content", "blobs"), ("snapshots", "snapshots"), ("containers", "containers"), ("sandboxes", "sandboxes")] {
            let used = try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM \(table) WHERE namespace = ?)", arguments: [name]) ?? false
            if used { left.append(what) }
        }
        guard left.isEmpty else {
            throw SupervisorError(
                .failedPrecondition, "namespace \"\(name)\" must be empty, but it still has \(left.joined(separator: ", ")): failed precondition")
        }
        try db.execute(sql: "DELETE FROM leases WHERE namespace = ?", arguments: [name])
        try db.execute(sql: "DELETE FROM namespaces WHERE name = ?", arguments: [name])
    }
}
