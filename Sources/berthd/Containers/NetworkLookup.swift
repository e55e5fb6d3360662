import DockerAPI

/// What the network service asks of containers.
struct NetworkLookup: NetworkContainerLookup {
    let service: ContainerService

    func networkContainer(_ nameOrID: String) throws -> (container: NetworkContainer, attachment: NetworkAttachment, pid: Int32) {
        let record = try service.store.find(nameOrID).record
        return (record.networkContainer, record.attachment, record.lifecycle.pid)
    }

    func containers(usingNetwork name: String) -> [(container: NetworkContainer, attachment: NetworkAttachment, pid: Int32)] {
        service.store.all.map(\.record).filter { $0.endpoints[name] != nil || $0.lifecycle.isRunning && $0.attachment.endpoints[name] != nil }
            .map { ($0.networkContainer, $0.attachment, $0.lifecycle.pid) }
    }

    func settle(_ containerIDs: [String]) async {
        for id in containerIDs {
            guard let container = service.store.get(id: id), !container.lifecycle.isRunning else { continue }
            try? await container.serially {}
        }
    }

    func update(_ containerID: String, endpoints: [String: EndpointSettings], attachment: NetworkAttachment) async throws {
        let container = try service.store.find(containerID)
        try await container.serially {
            try await service.commit(container) {
                $0.endpoints = endpoints
                $0.attachment = attachment
            }
            let directory = service.environment.directory(of: containerID)
            if let hosts = attachment.hostsFile { try service.write(hosts, to: directory + "/hosts") }
            if let resolvConf = attachment.resolvConf { try service.write(resolvConf, to: directory + "/resolv.conf") }
        }
    }
}
