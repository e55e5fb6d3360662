import DockerAPI
import NIOHTTP1

/// `/networks`: decode, call the service, encode.
enum NetworkRoutes {
    static func register(in router: inout Router, service: NetworkService) {
        router.add(.GET, "/networks") { request in
            var list = try await service.list(try ListFilters(request.query["filters"], accepted: NetworkService.listFilters))
            if request.version < .v(48) { for index in list.indices { list[index].EnableIPv4 = nil } }
            // Before 1.28 a list said who was connected; nobody else needs it there.
            if request.version >= .v(28) { for index in list.indices { list[index].Containers = [:] } }
            return try .json(list)
        }
        router.add(.GET, "/networks/{id}") { request in
            var network = try await service.inspect(request.parameter("id"), scope: request.query["scope"])
            if request.version < .v(48) { network.EnableIPv4 = nil }
            return try .json(network)
        }
        router.add(.POST, "/networks/create") { request in
            let wanted = try await JSONBody.decode(NetworkCreateRequest.self, from: request)
            return try .json(NetworkCreateResponse(Id: try await service.create(wanted)), status: .created)
        }
        router.add(.POST, "/networks/prune") { request in
            let filters = try ListFilters(request.query["filters"], accepted: ["label", "label!", "until"])
            let removed = try await service.prune(filters)
            return try .json(NetworksPruneReport(NetworksDeleted: removed.isEmpty ? nil : removed))
        }
        router.add(.POST, "/networks/{id}/connect") { request in
            let wanted = try await JSONBody.decode(NetworkConnectRequest.self, from: request)
            try await service.connect(network: request.parameter("id"), container: wanted.Container ?? "", settings: wanted.EndpointConfig)
            return HTTPResponse(status: .ok)
        }
        router.add(.POST, "/networks/{id}/disconnect") { request in
            let wanted = try await JSONBody.decode(NetworkDisconnectRequest.self, from: request)
            try await service.disconnect(network: request.parameter("id"), container: wanted.Container ?? "", force: wanted.Force ?? false)
            return HTTPResponse(status: .ok)
        }
        router.add(.DELETE, "/networks/{id}") { request in
            try await service.remove(request.parameter("id"))
            return .noContent
        }
    }
}
