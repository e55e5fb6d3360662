import DockerAPI

/// `--link` on the default bridge: variables that describe the other container, next to its names in the hosts file. Containers of user-defined networks
/// find each other by name; there a link is an alias of the resolver.
///
/// Docker: "Legacy container links".
struct LegacyLink: Sendable, Equatable {
    let name: String
    let alias: String

    /// `NAME` or `NAME:ALIAS`, and `/NAME:/PARENT/ALIAS` as older clients send back what inspect shows.
    ///
    /// - Throws: `.invalidArgument` in dockerd's words.
    init(_ text: String) throws(DaemonError) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard !text.isEmpty else { throw .invalid("empty string specified for links") }
        guard parts.count <= 2, !parts[0].isEmpty else { throw .invalid("bad format for links: \(text)") }
        let own = parts[0].split(separator: "/").last.map(String.init) ?? parts[0]
        name = parts[0].hasPrefix("/") ? String(parts[0].dropFirst()) : parts[0]
        alias = parts.count > 1 ? parts[1].split(separator: "/").last.map(String.init) ?? parts[1] : own
    }

    /// The variables, as dockerd names them: address of the lowest port, each exposed port, and the other container's own environment.
    func environment(of other: ContainerRecord, address: String, for parent: String) -> [String] {
        let prefix = alias.uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
        let ports = (other.config.ExposedPorts ?? [:]).keys.compactMap { key -> (number: Int, kind: String)? in
            let parts = key.split(separator: "/")
            return parts.first.flatMap { Int($0) }.map { ($0, parts.count > 1 ? String(parts[1]) : "tcp") }
        }.sorted { $0.number != $1.number ? $0.number < $1.number : $0.kind == "tcp" && $1.kind != "tcp" }
        var result: [String] = []
        if let first = ports.first { result.append("\(prefix)_PORT=\(first.kind)://\(address):\(first.number)") }
        for port in ports {
            let name = "\(prefix)_PORT_\(port.number)_\(port.kind.uppercased())"
            result += ["\(name)=\(port.kind)://\(address):\(port.number)", "\(name)_ADDR=\(address)", "\(name)_PORT=\(port.number)", "\(name)_PROTO=\(port.kind)"]
        }
        result.append("\(prefix)_NAME=/\(parent)/\(alias)")
        for entry in other.config.Env ?? [] {
            let name = Environment.name(entry)
            guard name != "HOME", name != "PATH", entry.utf8.count > name.utf8.count else { continue }
            result.append("\(prefix)_ENV_\(entry)")
        }
        return result
    }
}

extension ContainerService {
    /// Checks links, and on the default bridge writes them down by ID: they survive a rename.
    ///
    /// - Throws: for a link to what is not there, as dockerd does at create.
    func settleLinks(_ host: inout HostConfig) throws(DaemonError) {
        let isDefaultBridge = ["", "bridge", "default"].contains(host.NetworkMode ?? "")
        // In a network of the user's a link is an alias for whoever has that name, now or later.
        guard isDefaultBridge || ["none", "host"].contains(host.NetworkMode ?? "") else { return }
        for (index, text) in (host.Links ?? []).enumerated() {
            let link = try LegacyLink(text)
            let other: ManagedContainer
            do { other = try store.find(link.name) } catch { throw .invalid("could not get container for \(link.name): \(error.message)") }
            guard other.record.networkMode != "host" else {
                throw .invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
            }
            if isDefaultBridge { host.Links?[index] = "\(other.id):\(link.alias)" }
        }
    }

    /// Variables of the links of a container on the default bridge.
    func linkEnvironment(of record: ContainerRecord) throws -> [String] {
        guard record.networkMode == "bridge" || record.networkMode == "default" else { return [] }
        return try (record.hostConfig.Links ?? []).flatMap { text in
            let link = try LegacyLink(text)
            let other = try store.find(link.name).record
            guard other.lifecycle.isRunning else { throw DaemonError.internalError("Cannot link to a non running container: /\(other.name) AS /\(record.name)/\(link.alias)") }
            return link.environment(of: other, address: other.attachment.endpoints["bridge"]?.IPAddress ?? "", for: record.name)
        }
    }

    /// For an exec: one of the others may have ended meanwhile, which is no reason not to run it.
    func linkEnvironmentIfRunning(of record: ContainerRecord) -> [String] { (try? linkEnvironment(of: record)) ?? [] }

    /// `docker rm --link PARENT/ALIAS`: the parent forgets the other container; both go on.
    func removeLink(_ path: String) async throws {
        let parts = path.split(separator: "/").map(String.init)
        guard parts.count == 2 else { throw DaemonError.conflict("conflict, cannot remove the default link name of the container") }
        let container: ManagedContainer
        do { container = try store.find(parts[0]) } catch { throw DaemonError.notFound("Cannot get parent /\(parts[0]) for name /\(path)") }
        try await container.serially {
            guard let index = (container.record.hostConfig.Links ?? []).firstIndex(where: { (try? LegacyLink($0))?.alias == parts[1] }) else {
                throw DaemonError.notFound("No such link: /\(path)")
            }
            try await commit(container) { $0.hostConfig.Links?.remove(at: index) }
        }
    }
}

extension ContainerStore {
    /// The container that is known as `PARENT/ALIAS`.
    func linked(as path: Substring) -> ManagedContainer? {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let parent = try? find(String(parts[0])) else { return nil }
        return parent.record.legacyLinks.first { $0.alias == parts[1] }.flatMap { try? find($0.name) }
    }

    /// `/PARENT/ALIAS` of every link, by the ID of the container it leads to.
    var linkNames: [String: [String]] {
        var names: [String: [String]] = [:]
        for snapshot in all.map(\.snapshot) where !(snapshot.record.hostConfig.Links ?? []).isEmpty {
            let record = snapshot.record
            for link in record.legacyLinks { if let other = try? find(link.name) { names[other.id, default: []].append("/\(record.name)/\(link.alias)") } }
        }
        return names.mapValues { $0.sorted() }
    }
}

extension ContainerRecord {
    /// Those of the default bridge.
    var legacyLinks: [LegacyLink] { ["bridge", "default"].contains(networkMode) ? (hostConfig.Links ?? []).compactMap { try? LegacyLink($0) } : [] }
}
