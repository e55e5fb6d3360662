import BerthDefaults
import ContainerdAPI
import GRDB
import GRPCSocket
import SwiftProtobuf

/// containerd.services.leases.v1: what a lease names, the garbage collector keeps.
struct LeasesService: GRPCService {
    let database: MetadataDatabase
    let collector: GarbageCollector

    func register(in handlers: inout GRPCHandlers) {
        handlers.unary(LeasesAPI.create) { request, context in
            let namespace = try context.requireNamespace()
            try Identifiers.validate(namespace, "namespace")
            let lease = try await database.write { try Self.create(request, in: namespace, $0) }
            return .with { $0.lease = lease }
        }
        handlers.unary(LeasesAPI.delete) { request, context in
            let namespace = try context.requireNamespace()
            try await database.writeRemoval { db in
                try db.execute(sql: "DELETE FROM leases WHERE namespace = ? AND id = ?", arguments: [namespace, request.id])
                guard db.changesCount > 0 else { throw Self.missing(request.id) }
            }
            if request.sync { try await collector.collect() } else { collector.schedule() }
            return Google_Protobuf_Empty()
        }
        handlers.unary(LeasesAPI.list) { request, context in
            let namespace = try context.requireNamespace()
            let filters = try FilterSet(request.filters)
            let all = try database.read { db in
                try Row.fetchAll(db, sql: "SELECT id, labels, created FROM leases WHERE namespace = ? ORDER BY id", arguments: [namespace]).map(Self.lease)
            }
            return .with { response in
                response.leases = all.filter { lease in
                    filters.matches { path in
                        switch path.first {
                        case "id": lease.id
                        case "labels" where path.count > 1: lease.labels[path.dropFirst().joined(separator: ".")]
                        default: nil
                        }
                    }
                }
            }
        }
        handlers.unary(LeasesAPI.addResource) { request, context in
            let namespace = try context.requireNamespace()
            try Self.validate(request.resource)
            try await database.write { db in
                try Self.requireLease(request.id, in: namespace, db)
                try db.execute(
                    sql: "INSERT OR IGNORE INTO lease_resources (namespace, lease, type, resource) VALUES (?, ?, ?, ?)",
                    arguments: [namespace, request.id, request.resource.type, request.resource.id])
            }
            return Google_Protobuf_Empty()
        }
        handlers.unary(LeasesAPI.deleteResource) { request, context in
            let namespace = try context.requireNamespace()
            try Self.validate(request.resource)
            try await database.write { db in
                try Self.requireLease(request.id, in: namespace, db)
                try db.execute(
                    sql: "DELETE FROM lease_resources WHERE namespace = ? AND lease = ? AND type = ? AND resource = ?",
                    arguments: [namespace, request.id, request.resource.type, request.resource.id])
            }
            return Google_Protobuf_Empty()
        }
        handlers.unary(LeasesAPI.listResources) { request, context in
            let namespace = try context.requireNamespace()
            let resources = try database.read { db in
                try Self.requireLease(request.id, in: namespace, db)
                return try Row.fetchAll(
                    db, sql: "SELECT type, resource FROM lease_resources WHERE namespace = ? AND lease = ? ORDER BY type, resource",
                    arguments: [namespace, request.id]
                ).map { row in
                    Leases_Resource.with {
                        $0.type = row[0]
                        $0.id = row[1]
                    }
                }
            }
            return .with { $0.resources = resources }
        }
    }

    private static func missing(_ id: String) -> SupervisorError { SupervisorError(.notFound, "lease \"\(id)\": not found") }

    private static func requireLease(_ id: String, in namespace: String, _ db: Database) throws {
        let sql = "SELECT EXISTS (SELECT 1 FROM leases WHERE namespace = ? AND id = ?)"
        guard try Bool.fetchOne(db, sql: sql, arguments: [namespace, id]) ?? false else { throw missing(id) }
    }

    private static func create(_ request: Leases_CreateRequest, in namespace: String, _ db: Database) throws -> Leases_Lease {
        // As containerd does: dockerd's first builder leaves the name to the server.
        let id = request.id.isEmpty ? "\(Clock.now)-\(UInt32.random(in: 0 ... .max))" : request.id
        try Labels.validate(request.labels)
        try MetadataDatabase.ensureNamespace(namespace, db)
        let now = Clock.now
        try db.execute(
            sql: "INSERT OR IGNORE INTO leases (namespace, id, labels, created) VALUES (?, ?, ?, ?)",
            arguments: [namespace, id, Labels.encode(request.labels), now])
        guard db.changesCount > 0 else { throw SupervisorError(.alreadyExists, "lease \"\(id)\": already exists") }
        return .with {
            $0.id = id
            $0.labels = request.labels
            $0.createdAt = Timestamps.proto(now)
        }
    }

    private static func lease(_ row: Row) -> Leases_Lease {
        .with {
            $0.id = row[0]
            $0.labels = Labels.decode(row[1])
            $0.createdAt = Timestamps.proto(row[2])
        }
    }

    private static func validate(_ resource: Leases_Resource) throws(SupervisorError) {
        guard ["content", "ingests", "images"].contains(resource.type) || resource.type.hasPrefix("snapshots/") else {
            throw SupervisorError(.unimplemented, "lease resource type \"\(resource.type)\" is not supported: not implemented")
        }
        guard !resource.id.isEmpty else { throw SupervisorError(.invalidArgument, "lease resource id must not be empty: invalid argument") }
    }
}
