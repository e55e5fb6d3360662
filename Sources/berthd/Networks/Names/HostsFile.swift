import Netlink

/// The text of a container's /etc/hosts.
enum HostsFile {
    struct Entry: Sendable, Equatable {
        var address: IPAddress
        var names: [String]
    }

    private static let local4 = [Entry(address: .loopback4, names: ["localhost"])]
    private static let local6 = [
        Entry(address: .loopback6, names: ["localhost", "ip6-localhost", "ip6-loopback"]), Entry(address: .v6(0xFE00 << 112), names: ["ip6-localnet"]),
        Entry(address: .v6(0xFF00 << 112), names: ["ip6-mcastprefix"]), Entry(address: .v6(0xFF02 << 112 | 1), names: ["ip6-allnodes"]),
        Entry(address: .v6(0xFF02 << 112 | 2), names: ["ip6-allrouters"]),
    ]

    static func text(extra: [Entry], own: [Entry]) -> String { lines(local4 + local6 + extra + own) }

    static func lines(_ entries: [Entry]) -> String { entries.map { "\($0.address)\t\($0.names.joined(separator: " "))\n" }.joined() }

    /// `NAME:ADDRESS` or `NAME=ADDRESS` of `--add-host`, where the address `host-gateway` stands for the host.
    ///
    /// - Throws: `.invalidArgument` in dockerd's words.
    static func extraHosts(_ texts: [String], hostGateway: [IPAddress]) throws -> [Entry] {
        try texts.flatMap { text -> [Entry] in
            guard let separator = text.firstIndex(where: { $0 == ":" || $0 == "=" }), separator > text.startIndex else { throw DaemonError.invalid("bad format for add-host: \"\(text)\"") }
            let name = String(text[..<separator])
            var value = String(text[text.index(after: separator)...])
            if value.hasPrefix("[") && value.hasSuffix("]") { value = String(value.dropFirst().dropLast()) }
            if value == "host-gateway" {
                guard !hostGateway.isEmpty else { throw DaemonError.invalid("unable to derive the IP value for host-gateway") }
                return hostGateway.map { Entry(address: $0, names: [name]) }
            }
            guard let address = IPAddress(value) else { throw DaemonError.invalid("invalid IP address in add-host: \"\(value)\"") }
            // A line feed in a name would be a line of its own in the file.
            guard name.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else { throw DaemonError.invalid("bad format for add-host: \"\(text)\"") }
            return [Entry(address: address, names: [name])]
        }
    }
}
