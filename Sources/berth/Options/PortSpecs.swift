import DockerAPI

/// Published ports as `-p` takes them: `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, each side a number or a range.
struct PortSpecs {
    /// `80/tcp` and where the host listens for it, in the order of the command line.
    private(set) var bindings: [(port: String, addresses: [(ip: String, hostPort: String)])] = []
    private(set) var exposed: [String] = []

    /// Also takes the long form `published=8080,target=80,protocol=tcp`.
    mutating func publish(_ text: String) throws {
        var spec = text
        if text.contains("=") {
            var values = ["protocol": "tcp"]
            for field in text.split(separator: ",", omittingEmptySubsequences: false) {
                let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                guard parts.count == 2, !parts[0].isEmpty else {
                    throw CommandFailure("invalid publish opts format (should be name=value but got '\(field)')")
                }
                values[parts[0]] = parts[1]
            }
            spec = "\(values["published"] ?? ""):\(values["target"] ?? "")/\(values["protocol"] ?? "")"
        }
        try publishShort(spec)
    }

    private mutating func publishShort(_ spec: String) throws {
        let parts = spec.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let (proto, container) = PortSpecs.splitProtocol(parts[parts.count - 1])
        let host = parts.count > 1 ? parts[parts.count - 2] : ""
        var ip = parts.dropLast(2).joined(separator: ":")
        if ip.hasPrefix("[") {
            guard ip.hasSuffix("]") else { throw CommandFailure("invalid IP address \(ip): address \(ip):: missing ']' in address") }
            ip = String(ip.dropFirst().dropLast())
        }
        if !ip.isEmpty, !ValueChecks.isAddress(ip) { throw CommandFailure("invalid IP address: \(ip)") }
        guard !container.isEmpty else { throw CommandFailure("no port specified: \(spec)<empty>") }
        guard let range = PortSpecs.range(container) else { throw CommandFailure("invalid containerPort: \(container)") }
        var hostRange: ClosedRange<Int>?
        if !host.isEmpty {
            guard let parsed = PortSpecs.range(host) else { throw CommandFailure("invalid hostPort: \(host)") }
            hostRange = parsed
            // A range of host ports for one container port means: any free one of them
            if parsed.count != range.count, range.count != 1 {
                throw CommandFailure("invalid ranges specified for container and host Ports: \(container) and \(host)")
            }
        }
        guard ["tcp", "udp", "sctp"].contains(proto.lowercased()) else { throw CommandFailure("invalid proto: \(proto)") }
        for (offset, number) in range.enumerated() {
            let port = "\(number)/\(proto.lowercased())"
            var hostPort = ""
            if let hostRange {
                hostPort = range.count == 1 && hostRange.count > 1 ? "\(hostRange.lowerBound)-\(hostRange.upperBound)" : String(hostRange.lowerBound + offset)
            }
            expose(port: port)
            if let index = bindings.firstIndex(where: { $0.port == port }) {
                bindings[index].addresses.append((ip, hostPort))
            } else {
                bindings.append((port, [(ip, hostPort)]))
            }
        }
    }

    /// `--expose`.
    mutating func expose(_ text: String) throws {
        guard !text.contains(":") else { throw CommandFailure("invalid port format for --expose: \(text)") }
        let (proto, ports) = PortSpecs.splitProtocol(text)
        guard let range = PortSpecs.range(ports) else {
            let reason =
                ports.isEmpty ? "empty string specified for ports"
                : ports.contains("-") && !ports.hasPrefix("-") ? "invalid range specified for port: \(ports)"
                : "strconv.ParseUint: parsing \(GoText.quoted(ports)): invalid syntax"
            throw CommandFailure("invalid range format for --expose: \(text), error: \(reason)")
        }
        for number in range { expose(port: "\(number)/\(proto)") }
    }

    private mutating func expose(port: String) {
        if !exposed.contains(port) { exposed.append(port) }
    }

    private static func splitProtocol(_ text: String) -> (proto: String, port: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if parts[0].isEmpty { return ("", "") }
        return (parts.count > 1 && !parts[1].isEmpty ? parts[1] : "tcp", parts[0])
    }

    private static func range(_ text: String) -> ClosedRange<Int>? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
        guard let start = parts.first ?? nil else { return nil }
        if parts.count == 1 { return Int(start)...Int(start) }
        guard let end = parts[1], end >= start else { return nil }
        return Int(start)...Int(end)
    }

    /// HostConfig.PortBindings.
    var bindingsJSON: JSONValue {
        .object(JSONObject(bindings.map { entry in
            (entry.port, .array(entry.addresses.map { ["HostIp": .string($0.ip), "HostPort": .string($0.hostPort)] }))
        }))
    }

    /// Config.ExposedPorts.
    var exposedJSON: JSONValue { .object(JSONObject(exposed.map { ($0, [:]) })) }
}
