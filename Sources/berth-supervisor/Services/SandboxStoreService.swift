import BerthDefaults
import ContainerdAPI
import GRPCSocket
import SwiftProtobuf

/// containerd.services.sandbox.v1, the store: what sandboxes there are, with what they were made of. The controller, which runs them, is not built: its calls
/// are answered as those of an unknown service.
struct SandboxStoreService: GRPCService {
    let database: MetadataDatabase

    func register(in handlers: inout GRPCHandlers) {
        handlers.unary(SandboxStoreAPI.create) { request, context in
            let namespace = try context.requireNamespace()
            try Identifiers.validate(namespace, "namespace")
            try Self.validate(request.sandbox)
            let created = try await database.write { try SandboxRecords.create(request.sandbox, in: namespace, $0) }
            return .with { $0.sandbox = created }
        }
        handlers.unary(SandboxStoreAPI.update) { request, context in
            let namespace = try context.requireNamespace()
            let updated = try await database.write { db in
                let old = try SandboxRecords.get(request.sandbox.sandboxID, in: namespace, db)
                return try SandboxRecords.update(try Self.applied(request.sandbox, to: old, paths: request.fields), in: namespace, db)
            }
            return .with { $0.sandbox = updated }
        }
        handlers.unary(SandboxStoreAPI.get) { request, context in
            let namespace = try context.requireNamespace()
            let found = try database.read { try SandboxRecords.get(request.sandboxID, in: namespace, $0) }
            return .with { $0.sandbox = found }
        }
        handlers.unary(SandboxStoreAPI.list) { request, context in
            let namespace = try context.requireNamespace()
            let filters = try FilterSet(request.filters)
            let all = try database.read { try SandboxRecords.list(in: namespace, $0) }
            return .with { $0.list = all.filter { filters.matches(Self.fields(of: $0)) } }
        }
        handlers.unary(SandboxStoreAPI.delete) { request, context in
            let namespace = try context.requireNamespace()
            try await database.writeRemoval { try SandboxRecords.delete(request.sandboxID, in: namespace, $0) }
            return Sandbox_StoreDeleteResponse()
        }
    }

    /// The sandbox after an update. Without fields everything but the runtime's name is replaced, and that must be the same.
    static func applied(_ change: Types_Sandbox, to old: Types_Sandbox, paths: [String]) throws(SupervisorError) -> Types_Sandbox {
        var updated = old
        if paths.isEmpty, old.runtime.name != change.runtime.name {
            throw SupervisorError(.invalidArgument, "sandbox.Runtime.Name field is immutable: invalid argument")
        }
        for path in paths.isEmpty ? ["labels", "extensions", "spec", "runtime"] : paths {
            if MapPath.apply(path, of: change, to: &updated, labels: \.labels, extensions: \.extensions) { continue }
            switch path {
            case "labels": updated.labels = change.labels
            case "extensions": updated.extensions = change.extensions
            case "runtime": updated.runtime = change.runtime
            case "spec": updated.spec = change.spec
            default: throw SupervisorError(.invalidArgument, "cannot update \"\(path)\" field on sandbox \"\(change.sandboxID)\": invalid argument")
            }
        }
        try validate(updated)
        return updated
    }

    private static func validate(_ sandbox: Types_Sandbox) throws(SupervisorError) {
        do { try Identifiers.validate(sandbox.sandboxID, "sandbox ID") } catch { throw SupervisorError(error.code, "invalid sandbox ID: \(error.message)") }
        try Labels.validate(sandbox.labels)
    }

    private static func fields(of sandbox: Types_Sandbox) -> ([String]) -> String? {
        { path in
            switch path.first {
            case "id": sandbox.sandboxID
            case "runtime" where path.count == 2 && path[1] == "name": sandbox.runtime.name
            case "labels" where path.count > 1: sandbox.labels[path.dropFirst().joined(separator: ".")]
            default: nil
            }
        }
    }
}
