import DockerAPI
import Netlink

/// Refuses endpoints that cannot be, in dockerd's words.
enum EndpointValidator {
    static func check(_ settings: EndpointSettings, in record: NetworkRecord) throws {
        var problems: [String] = []
        let wanted4 = settings.IPAMConfig?.IPv4Address ?? ""
        let wanted6 = settings.IPAMConfig?.IPv6Address ?? ""
        if !record.isUserDefined {
            if !wanted4.isEmpty || !wanted6.isEmpty { problems.append("user-specified IP address is supported on user-defined networks only") }
            if !(settings.Aliases ?? []).isEmpty { problems.append("network-scoped aliases are only supported for user-defined networks") }
        }
        problems += checkAddress(wanted4, .v4, record) + checkAddress(wanted6, .v6, record)
        for text in settings.IPAMConfig?.LinkLocalIPs ?? [] where IPAddress(text).map(\.isUnspecified) ?? true { problems.append("invalid link-local IP address: \(text)") }
        if let mac = settings.MacAddress, !mac.isEmpty, MACAddress(mac) == nil { problems.append("invalid MAC address: \(mac)") }
        for (name, value) in settings.DriverOpts ?? [:] {
            switch name {
            case NetworkOption.interfaceName:
                if !NetworkRequestReader.isLinkName(value) || value == "lo" { problems.append("invalid interface name: \(value)") }
            case NetworkOption.sysctls:
                if readSysctls(value, interface: "x") == nil {
                    problems.append("unrecognised network interface sysctl '\(value)'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'")
                }
            // Labels of the user's own, kept and shown. Docker's names mean something.
            case _ where name.hasPrefix("com.docker.network."): throw DaemonError.unimplemented("the endpoint option \(name)")
            default: break
            }
        }
        guard problems.isEmpty else { throw DaemonError.invalid("invalid endpoint settings:\n" + problems.joined(separator: "\n")) }
    }

    private static func checkAddress(_ text: String, _ family: IPAddress.Family, _ record: NetworkRecord) -> [String] {
        if text.isEmpty { return [] }
        guard let address = IPAddress(text), address.family == family, !address.isUnspecified else { return ["invalid IPv\(family == .v4 ? 4 : 6) address: \(text)"] }
        guard record.subnets.contains(where: { $0.contains(address) }) else { return ["no configured subnet contains IP address \(address)"] }
        // Otherwise the address could belong to another network after a restart of the machine.
        if !record.hasChosenSubnet { return ["user specified IP address is supported only when connecting to networks with user configured subnets"] }
        return []
    }

    /// Containers of host, none and others cannot be in a second network.
    static func check(combination records: [NetworkRecord]) throws {
        guard records.count > 1 else { return }
        if records.contains(where: { $0.driver == .host }) {
            throw DaemonError.invalid("container sharing network namespace with another container or host cannot be connected to any other network")
        }
        if records.contains(where: { $0.driver == .null }) {
            throw DaemonError.invalid("container cannot be connected to multiple networks with one of the networks in private (none) mode")
        }
    }

    /// `net.ipv4.conf.IFNAME.forwarding=1,…` as paths under /proc/sys; nil when malformed.
    static func readSysctls(_ text: String, interface: String) -> [EndpointPlan.Setting]? {
        var settings: [EndpointPlan.Setting] = []
        for part in text.split(separator: ",") {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let words = sides[0].split(separator: ".", omittingEmptySubsequences: false)
            guard sides.count == 2, words.count == 5, words[0] == "net", ["ipv4", "ipv6", "mpls"].contains(words[1]), words[3].lowercased() == "ifname" else { return nil }
            // The rest becomes part of a path.
            let isWord = { (word: Substring) in !word.isEmpty && word.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 95 } }
            guard isWord(words[2]), isWord(words[4]), sides[1].utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
            settings.append(.init(path: "net/\(words[1])/\(words[2])/\(interface)/\(words[4])", value: String(sides[1])))
        }
        return settings
    }
}

extension EndpointSettings {
    /// Only what a user may ask for.
    var asRequested: EndpointSettings {
        var copy = EndpointSettings()
        copy.IPAMConfig = IPAMConfig
        copy.Links = Links
        copy.Aliases = Aliases
        copy.MacAddress = MacAddress
        copy.DriverOpts = DriverOpts
        copy.GwPriority = GwPriority
        return copy
    }

    /// With every field there, as answers have them.
    var filled: EndpointSettings {
        var copy = self
        copy.MacAddress = MacAddress ?? ""
        copy.GwPriority = GwPriority ?? 0
        copy.NetworkID = NetworkID ?? ""
        copy.EndpointID = EndpointID ?? ""
        copy.Gateway = Gateway ?? ""
        copy.IPAddress = IPAddress ?? ""
        copy.IPPrefixLen = IPPrefixLen ?? 0
        copy.IPv6Gateway = IPv6Gateway ?? ""
        copy.GlobalIPv6Address = GlobalIPv6Address ?? ""
        copy.GlobalIPv6PrefixLen = GlobalIPv6PrefixLen ?? 0
        return copy
    }
}
