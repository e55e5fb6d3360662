import DockerAPI
import NIOHTTP1

/// `/volumes`: decode, call the service, encode.
enum VolumeRoutes {
    static func register(in router: inout Router, service: VolumeService) {
        router.add(.GET, "/volumes") { request in
            try .json(VolumeListResponse(Volumes: try await service.list(try ListFilters(request.query["filters"], accepted: VolumeService.listFilters))))
        }
        router.add(.POST, "/volumes/create") { request in
            let wanted = try await JSONBody.decode(VolumeCreateRequest.self, from: request)
            if wanted.ClusterVolumeSpec != nil { throw DaemonError.unimplemented("a cluster volume") }
            let volume = try await service.create(name: wanted.Name, driver: wanted.Driver, options: wanted.DriverOpts ?? [:], labels: wanted.Labels)
            return try .json(volume, status: .created)
        }
        router.add(.POST, "/volumes/prune") { request in
            let filters = try ListFilters(request.query["filters"], accepted: ["all", "label", "label!"])
            return try .json(try await service.prune(filters, includesNamed: request.version < .v(42)))
        }
        router.add(.GET, "/volumes/{name...}") { request in try .json(try await service.inspect(request.parameter("name"))) }
        router.add(.DELETE, "/volumes/{name...}") { request in
            try await service.remove(request.parameter("name"), force: request.query.flag("force"))
            return .noContent
        }
    }
}
