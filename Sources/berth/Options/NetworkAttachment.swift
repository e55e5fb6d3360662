import DockerAPI

/// One `--network`: a name alone, or `name=NET,alias=A,ip=…,driver-opt=K=V`.
struct NetworkAttachment {
    var target: String
    var aliases: [String] = []
    var driverOptions = JSONObject()
    var links: [String] = []
    var ipv4 = ""
    var ipv6 = ""
    var linkLocal: [String] = []
    var mac = ""
    var gatewayPriority: Int64 = 0

    static func check(_ text: String) throws -> String {
        _ = try NetworkAttachment(text)
        return text
    }

    /// - Throws: `InvalidValue`.
    init(_ text: String) throws {
        // "container:a=b" and the like are names: the long form has a word on both sides of its first equals sign
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        func isWord(_ character: Character?) -> Bool { character.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") } ?? false }
        guard parts.count == 2, isWord(parts[0].last), isWord(parts[1].first) else {
            target = text
            return
        }
        target = ""
        for field in try CSV.fields(text) {
            let pair = field.lowercased().split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map { String($0).trimmingBlanks() }
            guard pair.count == 2, !pair[0].isEmpty else { throw InvalidValue("invalid field \(field)") }
            switch pair[0] {
            case "name": target = pair[1]
            case "alias": aliases.append(pair[1])
            case "ip": ipv4 = pair[1]
            case "ip6": ipv6 = pair[1]
            case "mac-address": mac = pair[1]
            case "link-local-ip": linkLocal.append(pair[1])
            case "driver-opt":
                let option = pair[1].split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                guard option.count == 2, !option[0].isEmpty else { throw InvalidValue("invalid key value pair format in driver options") }
                driverOptions[option[0]] = .string(option[1])
            case "gw-priority":
                guard let number = Int64(pair[1]) else { throw InvalidValue("invalid gw-priority (\(pair[1])): invalid syntax") }
                gatewayPriority = number
            default: throw InvalidValue("invalid field key \(pair[0])")
            }
        }
        guard !target.isEmpty else { throw InvalidValue("network name/id is not specified") }
    }

    init(target: String) { self.target = target }

    /// Networks that a user made, as opposed to the modes every engine has.
    static func isUserDefined(_ name: String) -> Bool {
        !["default", "bridge", "host", "none"].contains(name) && !name.hasPrefix("container:")
    }

    /// Merges the single-network flags into the first network.
    mutating func apply(_ flags: ParsedFlags) throws {
        let flagAliases = flags.list("network-alias") + flags.list("net-alias")
        func clash(_ flag: String, _ what: String) -> CommandFailure {
            CommandFailure("conflicting options: cannot specify both --\(flag) and per-network \(what)")
        }
        if !aliases.isEmpty, !flagAliases.isEmpty { throw clash("network-alias", "alias") }
        if !ipv4.isEmpty, !flags.string("ip").isEmpty { throw clash("ip", "IPv4 address") }
        if !ipv6.isEmpty, !flags.string("ip6").isEmpty { throw clash("ip6", "IPv6 address") }
        if !mac.isEmpty, !flags.string("mac-address").isEmpty { throw clash("mac-address", "MAC address") }
        if !linkLocal.isEmpty, !flags.list("link-local-ip").isEmpty { throw clash("link-local-ip", "link-local IP addresses") }
        if !flagAliases.isEmpty { aliases = flagAliases }
        // On a user's network a link is a name of the endpoint; on the default bridge it belongs to HostConfig
        if NetworkAttachment.isUserDefined(target), !flags.list("link").isEmpty { links = flags.list("link") }
        if !flags.string("ip").isEmpty { ipv4 = flags.string("ip") }
        if !flags.string("ip6").isEmpty { ipv6 = flags.string("ip6") }
        if !flags.string("mac-address").isEmpty { mac = flags.string("mac-address") }
        if !flags.list("link-local-ip").isEmpty { linkLocal = flags.list("link-local-ip") }
    }

    var isPlain: Bool {
        aliases.isEmpty && driverOptions.isEmpty && links.isEmpty && ipv4.isEmpty && ipv6.isEmpty && linkLocal.isEmpty && mac.isEmpty && gatewayPriority == 0
    }

    /// EndpointSettings of the API.
    func endpoint() throws -> JSONValue {
        guard !target.trimmingBlanks().isEmpty else { throw CommandFailure("no name set for network") }
        if !NetworkAttachment.isUserDefined(target) {
            if !aliases.isEmpty { throw CommandFailure("network-scoped aliases are only supported for user-defined networks") }
            if !links.isEmpty { throw CommandFailure("links are only supported for user-defined networks") }
        }
        if !mac.isEmpty, !ValueChecks.isMAC(mac) { throw CommandFailure("\(mac) is not a valid mac address") }
        var ipam = JSONValue.null
        if !ipv4.isEmpty || !ipv6.isEmpty || !linkLocal.isEmpty {
            var object = JSONObject()
            if !ipv4.isEmpty { object["IPv4Address"] = .string(ipv4) }
            if !ipv6.isEmpty { object["IPv6Address"] = .string(ipv6) }
            if !linkLocal.isEmpty { object["LinkLocalIPs"] = .strings(linkLocal) }
            ipam = .object(object)
        }
        return [
            "IPAMConfig": ipam, "Links": links.isEmpty ? .null : .strings(links), "Aliases": aliases.isEmpty ? .null : .strings(aliases),
            "MacAddress": .string(mac), "DriverOpts": driverOptions.isEmpty ? .null : .object(driverOptions), "GwPriority": .int(gatewayPriority),
            "NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0, "DNSNames": .null,
        ]
    }

    /// The mode for HostConfig and the endpoints, from all `--network` flags together.
    static func resolve(_ flags: ParsedFlags) throws -> (mode: String, endpoints: JSONObject) {
        let given = flags.list("network") + flags.list("net")
        var endpoints = JSONObject()
        if given.isEmpty {
            var attachment = NetworkAttachment(target: "default")
            try attachment.apply(flags)
            endpoints["default"] = try attachment.endpoint()
            return ("default", endpoints)
        }
        var attachments = try given.map { try NetworkAttachment($0) }
        var userDefined = false
        var builtIn = false
        for index in attachments.indices {
            if isUserDefined(attachments[index].target) { userDefined = true } else { builtIn = true }
            if index == 0 { try attachments[0].apply(flags) }
            let attachment = attachments[index]
            let endpoint = try attachment.endpoint()
            if endpoints[attachment.target] != nil { throw CommandFailure("network \(GoText.quoted(attachment.target)) is specified multiple times") }
            if attachments.count == 1, attachment.isPlain { continue }
            endpoints[attachment.target] = endpoint
        }
        if userDefined, builtIn { throw CommandFailure("conflicting options: cannot attach both user-defined and non-user-defined network-modes") }
        return (attachments[0].target, endpoints)
    }
}
