import BerthDefaults
import DockerAPI
import NIOHTTP1

/// Pages of the Engine API that have nothing behind them yet: each says so. Swarm's answer is the one of an engine outside of a swarm, which clients expect.
enum UnbuiltRoutes {
    static func register(in router: inout Router) {
        swarm(&router)
        plugins(&router)
        router.add(.GET, "/containers/{name}/checkpoints") { _ in throw DaemonError.unimplemented("checkpoints") }
        router.add(.POST, "/containers/{name}/checkpoints") { _ in throw DaemonError.unimplemented("checkpoints") }
    }

    private static func swarm(_ router: inout Router) {
        let notManager = DaemonError(
            .unavailable, "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.")
        let pages: [(HTTPMethod, String)] = [
            (.GET, "/swarm"), (.POST, "/swarm/update"), (.GET, "/swarm/unlockkey"), (.POST, "/swarm/unlock"), (.GET, "/nodes"), (.GET, "/nodes/{id}"), (.DELETE, "/nodes/{id}"),
            (.POST, "/nodes/{id}/update"), (.GET, "/services"), (.POST, "/services/create"), (.GET, "/services/{id}"), (.DELETE, "/services/{id}"), (.POST, "/services/{id}/update"),
            (.GET, "/services/{id}/logs"), (.GET, "/tasks"), (.GET, "/tasks/{id}"), (.GET, "/tasks/{id}/logs"), (.GET, "/secrets"), (.POST, "/secrets/create"),
            (.GET, "/secrets/{id}"), (.DELETE, "/secrets/{id}"), (.POST, "/secrets/{id}/update"), (.GET, "/configs"), (.POST, "/configs/create"), (.GET, "/configs/{id}"),
            (.DELETE, "/configs/{id}"), (.POST, "/configs/{id}/update"),
        ]
        for (method, path) in pages {
            router.add(method, path) { request in
                // A body that does not parse is told first, as dockerd does.
                if method == .POST, ["/swarm/update", "/swarm/unlock", "/services/create", "/secrets/create", "/configs/create"].contains(path) {
                    _ = try await JSONBody.decode(EmptyObject.self, from: request)
                }
                throw notManager
            }
        }
        router.add(.PUT, "/volumes/{name}", since: .v(42)) { _ in throw notManager }
        router.add(.POST, "/swarm/leave") { _ in throw DaemonError(.unavailable, "This node is not part of a swarm") }
        router.add(.POST, "/swarm/init") { _ in throw DaemonError.unimplemented("swarm mode") }
        router.add(.POST, "/swarm/join") { _ in throw DaemonError.unimplemented("swarm mode") }
    }

    private static func plugins(_ router: inout Router) {
        router.add(.GET, "/plugins") { _ in try .json([EmptyObject]()) }
        router.add(.GET, "/plugins/{name...}/json") { request in throw DaemonError.notFound("plugin \"\(request.parameter("name"))\" not found") }
        router.add(.DELETE, "/plugins/{name...}") { request in throw DaemonError.notFound("plugin \"\(request.parameter("name"))\" not found") }
        for verb in ["enable", "disable", "push", "set", "upgrade"] {
            router.add(.POST, "/plugins/{name...}/\(verb)") { request in throw DaemonError.notFound("plugin \"\(request.parameter("name"))\" not found") }
        }
        router.add(.GET, "/plugins/privileges") { _ in throw DaemonError.unimplemented("plugins") }
        router.add(.POST, "/plugins/pull") { _ in throw DaemonError.unimplemented("plugins") }
        router.add(.POST, "/plugins/create") { _ in throw DaemonError.unimplemented("plugins") }
    }
}
