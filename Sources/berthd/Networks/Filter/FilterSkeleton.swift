import Netlink

/// The engine's table without bridges and ports: what every packet meets.
///
///     prerouting (raw)     nobody speaks of 127.0.0.0/8 on a bridge, although route_localnet is set there
///     prerouting (dstnat)  to an address of the host ─▶ publish ─▶ one lookup per packet in a map, however many ports there are
///     output     (dstnat)  the host's own connections, to 127.0.0.1 as well
///     forward    (filter)  between bridges (Docker's too) only what is published; internal networks not at all
///     postrouting (srcnat) out of the host: masquerade. Into a bridge after publish: masquerade where the answer would not come back through here
///
/// Docker keeps rules in tables of its own; an accept here does not overrule a drop there, see `PacketFilter`.
enum FilterSkeleton {
    static func write(_ table: NFTablesTable, into transaction: inout NFTablesTransaction) {
        transaction.add(table)
        for chain in chains { transaction.add(chain.chain, in: table) }
        for set in sets { transaction.add(set, in: table) }
        for chain in chains {
            for rule in chain.rules { transaction.append(rule: rule.flatMap(\.steps), to: chain.chain.name, in: table) }
        }
    }

    static let sets: [NFTablesSet] = [
        // Published ports, on one address of the host and on all.
        NFTablesSet("publish4", key: [.ipv4Address, .inetProtocol, .inetService], value: [.ipv4Address, .inetService]),
        NFTablesSet("publish4any", key: [.inetProtocol, .inetService], value: [.ipv4Address, .inetService]),
        NFTablesSet("publish6", key: [.ipv6Address, .inetProtocol, .inetService], value: [.ipv6Address, .inetService]),
        NFTablesSet("publish6any", key: [.inetProtocol, .inetService], value: [.ipv6Address, .inetService]),
        // Our bridges; those of internal networks; each with itself.
        NFTablesSet("bridges", key: [.interfaceName]),
        NFTablesSet("internal", key: [.interfaceName]),
        NFTablesSet("within", key: [.interfaceName, .interfaceName]),
        // Subnets, and the bridges that they are behind.
        NFTablesSet("masquerade4", key: [.ipv4Address], isInterval: true),
        NFTablesSet("masquerade6", key: [.ipv6Address], isInterval: true),
        NFTablesSet("own4", key: [.interfaceName, .ipv4Address], isInterval: true),
        NFTablesSet("own6", key: [.interfaceName, .ipv6Address], isInterval: true),
    ]

    private struct Chain {
        let chain: NFTablesChain
        let rules: [[RulePhrase]]

        init(_ name: String, at base: NFTablesChain.Base? = nil, _ rules: [[RulePhrase]]) {
            chain = NFTablesChain(name, base: base)
            self.rules = rules
        }
    }

    // NF_IP_PRI_…: what nft calls raw, dstnat, filter and srcnat.
    private static let raw: Int32 = -300, dstnat: Int32 = -100, filter: Int32 = 0, srcnat: Int32 = 100

    private static var chains: [Chain] {
        [
            Chain("raw", at: .init(.filter, .prerouting, priority: raw), [
                [.inSet("bridges", .incoming), .toLoopback4, .drop],
                [.inSet("bridges", .incoming), .fromLoopback4, .drop],
            ]),
            Chain("publish", [
                [.translate(.v4, "publish4", .address(.destination, .v4), .transportProtocol, .destinationPort)],
                [.translate(.v4, "publish4any", .transportProtocol, .destinationPort)],
                [.translate(.v6, "publish6", .address(.destination, .v6), .transportProtocol, .destinationPort)],
                [.translate(.v6, "publish6any", .transportProtocol, .destinationPort)],
            ]),
            Chain("prerouting", at: .init(.nat, .prerouting, priority: dstnat), [
                [.toLoopback4, .return],
                [.toHost, .jump("publish")],
            ]),
            Chain("output", at: .init(.nat, .output, priority: dstnat), [
                [.toLoopback6, .return],
                [.toHost, .jump("publish")],
            ]),
            Chain("intoBridge", [
                [.inSet("within", .incoming, .outgoing), .accept],
                [.inSet("internal", .outgoing), .drop],
                [.inSet("internal", .incoming), .drop],
                [.answers, .accept],
                [.published, .accept],
                [.drop],
            ]),
            Chain("outOfBridge", [
                [.inSet("internal", .incoming), .drop],
                [.answers, .accept],
                [.published, .accept],
                [.outgoing("docker0"), .drop],
                [.outgoing(beginsWith: "br-"), .drop],
            ]),
            Chain("forward", at: .init(.filter, .forward, priority: filter), [
                [.inSet("bridges", .outgoing), .jump("intoBridge")],
                [.inSet("bridges", .incoming), .jump("outOfBridge")],
            ]),
            Chain("postrouting", at: .init(.nat, .postrouting, priority: srcnat), [
                [.inSet("bridges", .outgoing), .fromLoopback4, .masquerade],
                [.published, .family(.v4), .inSet("own4", .outgoing, .address(.source, .v4)), .masquerade],
                [.published, .family(.v6), .inSet("own6", .outgoing, .address(.source, .v6)), .masquerade],
                [.inSet("bridges", .outgoing), .return],
                [.family(.v4), .inSet("masquerade4", .address(.source, .v4)), .masquerade],
                [.family(.v6), .inSet("masquerade6", .address(.source, .v6)), .masquerade],
            ]),
        ]
    }
}
