import Glibc
import SwiftProtobuf
import BerthDefaults
import ContainerdAPI
import GRPCSocket
import LinuxSystem
import OCISpec

/// containerd.services.introspection.v1: what this supervisor has. Clients look here for snapshotters and runtimes.
struct IntrospectionService: GRPCService {
    /// Tells this installation from others; kept in the root directory.
    let uuid: String
    let plugins: [Introspection_Plugin]
    let launcher: ShimLauncher

    func register(in handlers: inout GRPCHandlers) {
        handlers.unary(IntrospectionAPI.plugins) { request, _ in
            let filters = try FilterSet(request.filters)
            return .with { response in
                response.plugins = plugins.filter { plugin in
                    filters.matches { path in
                        switch path.first {
                        case "type": plugin.type
                        case "id": plugin.id
                        case "platforms": plugin.platforms.first.map { "\($0.os)/\($0.architecture)" }
                        case "capabilities": plugin.capabilities.first
                        default: nil
                        }
                    }
                }
            }
        }
        handlers.unary(IntrospectionAPI.pluginInfo) { request, _ in
            guard let plugin = plugins.first(where: { $0.type == request.type && $0.id == request.id }) else {
                throw SupervisorError(.notFound, "plugin \(request.type).\(request.id): not found")
            }
            var response = Introspection_PluginInfoResponse()
            response.plugin = plugin
            if plugin.type == "io.containerd.runtime.v2", let runtime = AnyMessages.unpack(request.options, as: Types_RuntimeRequest.self) {
                response.extra = AnyMessages.pack(try await info(runtime))
            }
            return response
        }
        handlers.unary(IntrospectionAPI.server) { _, _ in
            .with {
                $0.uuid = uuid
                $0.pid = UInt64(getpid())
                $0.pidns = (try? Namespaces.identity("/proc/self/ns/pid")) ?? 0
            }
        }
    }

    /// Asks the runtime's shim.
    private func info(_ request: Types_RuntimeRequest) async throws -> Types_RuntimeInfo {
        let binary = try ShimLauncher.binary(forRuntime: request.runtimePath)
        let options = request.hasOptions ? request.options : nil
        return try await BlockingThread.run { [launcher] in try Types_RuntimeInfo(serializedBytes: try launcher.info(binary: binary, options: options)) }
    }

    /// The parts that are built in, under containerd's names for their kinds.
    static func plugins(root: String, platform: Types_Platform, _ snapshotters: SnapshotterRegistry) -> [Introspection_Plugin] {
        var plugins: [Introspection_Plugin] = []
        func add(_ type: String, _ id: String, exports: [String: String] = [:], capabilities: [String] = [], withPlatform: Bool = false) {
            plugins.append(
                .with {
                    $0.type = type
                    $0.id = id
                    $0.exports = exports
                    $0.capabilities = capabilities
                    if withPlatform { $0.platforms = [platform] }
                })
        }
        add("io.containerd.content.v1", "content", exports: ["root": "\(root)/content"])
        add("io.containerd.metadata.v1", "sqlite", exports: ["path": "\(root)/metadata.db"])
        // The chosen one first: whoever has no name of one takes it. "remap-ids": the labels of id mappings are obeyed.
        for snapshotter in [snapshotters.standard] + snapshotters.all.filter({ $0.name != snapshotters.standard.name }) {
            add("io.containerd.snapshotter.v1", snapshotter.name, exports: ["root": snapshotter.root], capabilities: ["remap-ids"], withPlatform: true)
        }
        add("io.containerd.differ.v1", "walking", withPlatform: true)
        add("io.containerd.event.v1", "exchange")
        add("io.containerd.runtime.v2", "task", withPlatform: true)
        add("io.containerd.streaming.v1", "manager")
        add("io.containerd.transfer.v1", "local")
        for name in [
            "containers", "content", "diff", "events", "healthcheck", "images", "introspection", "leases", "namespaces", "sandboxes", "snapshots", "streaming", "tasks",
            "transfer", "version",
        ] { add("io.containerd.grpc.v1", name) }
        return plugins
    }
}
