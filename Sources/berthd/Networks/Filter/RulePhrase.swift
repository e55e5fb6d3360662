import Netlink

/// A part of a rule that says one thing, as a word of nft's language does: `iifname @bridges`, `ct status dnat`, `drop`.
struct RulePhrase {
    let steps: [NFTablesExpression]

    init(_ steps: [NFTablesExpression]) { self.steps = steps }

    /// Which of a packet's addresses.
    enum End { case source, destination }

    /// A field of the key that a set or a map is asked for.
    enum Field {
        case incoming, outgoing
        case address(End, IPAddress.Family)
        case transportProtocol, destinationPort

        /// In words of four bytes.
        var words: Int {
            switch self {
            case .incoming, .outgoing, .address(_, .v6): 4
            case .address(_, .v4), .transportProtocol, .destinationPort: 1
            }
        }

        func load(_ register: NFTablesRegister) -> NFTablesExpression {
            switch self {
            case .incoming: .meta(.incomingInterfaceName, to: register)
            case .outgoing: .meta(.outgoingInterfaceName, to: register)
            case .address(let end, let family):
                .payload(.network, offset: RulePhrase.offset(of: end, family), length: UInt32(family.bitWidth / 8), to: register)
            case .transportProtocol: .meta(.transportProtocol, to: register)
            // In the header of tcp, udp and sctp alike: `th dport`.
            case .destinationPort: .payload(.transport, offset: 2, length: 2, to: register)
            }
        }
    }

    /// Where an address lies in an IP header.
    private static func offset(of end: End, _ family: IPAddress.Family) -> UInt32 {
        switch (family, end) {
        case (.v4, .source): 12
        case (.v4, .destination): 16
        case (.v6, .source): 8
        case (.v6, .destination): 24
        }
    }

    private static func load(_ fields: [Field]) -> [NFTablesExpression] {
        var word = 0
        return fields.map { field in
            defer { word += field.words }
            return field.load(NFTablesRegister(word: word))
        }
    }

    // MARK: - Conditions

    /// `meta nfproto ipv4`. Needed before anything that looks at an address, in a table of both families.
    static func family(_ family: IPAddress.Family) -> RulePhrase {
        RulePhrase([.meta(.networkProtocol, to: .first), .compare(.first, .equal, [family.rawValue])])
    }

    /// `iifname . oifname @within`: the fields together are an element of the set.
    static func inSet(_ set: String, _ fields: Field...) -> RulePhrase { RulePhrase(load(fields) + [.lookup(.first, in: set)]) }

    /// `ip daddr 127.0.0.0/8`: the address's first bytes.
    static func address(_ end: End, _ family: IPAddress.Family, begins bytes: [UInt8]) -> RulePhrase {
        RulePhrase(
            self.family(family).steps + [
                .payload(.network, offset: offset(of: end, family), length: UInt32(bytes.count), to: .first), .compare(.first, .equal, bytes),
            ])
    }

    static let fromLoopback4 = address(.source, .v4, begins: [127])
    static let toLoopback4 = address(.destination, .v4, begins: [127])
    static let toLoopback6 = address(.destination, .v6, begins: IPAddress.loopback6.bytes)

    /// `iifname "eth0"`.
    static func incoming(_ name: String) -> RulePhrase {
        RulePhrase([.meta(.incomingInterfaceName, to: .first), .compare(.first, .equal, NFTablesElement.name(name))])
    }

    /// `oifname "eth0"`.
    static func outgoing(_ name: String) -> RulePhrase {
        RulePhrase([.meta(.outgoingInterfaceName, to: .first), .compare(.first, .equal, NFTablesElement.name(name))])
    }

    /// `oifname "br-*"`.
    static func outgoing(beginsWith prefix: String) -> RulePhrase {
        RulePhrase([.meta(.outgoingInterfaceName, to: .first), .compare(.first, .equal, Array(prefix.utf8))])
    }

    /// `fib daddr type local`: the destination is an address of the host.
    static let toHost = RulePhrase([.destinationType(to: .first), .compare(.first, .equal, number(2))])  // RTN_LOCAL

    /// `ct state established,related`.
    static let answers = connection(.state, 0x2 | 0x4)
    /// `ct status dnat`: the connection was sent here by a published port.
    static let published = connection(.status, 0x20)

    private static func connection(_ key: NFTablesExpression.ConnectionKey, _ bits: UInt32) -> RulePhrase {
        RulePhrase([.connection(key, to: .first), .mask(.first, number(bits)), .compare(.first, .notEqual, number(0))])
    }

    /// In host order.
    private static func number(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }

    // MARK: - Verdicts

    static let accept = RulePhrase([.verdict(.accept)])
    static let drop = RulePhrase([.verdict(.drop)])
    static let `return` = RulePhrase([.verdict(.return)])
    static let masquerade = RulePhrase([.masquerade])
    static let count = RulePhrase([.counter])

    static func jump(_ chain: String) -> RulePhrase { RulePhrase([.verdict(.jump(chain))]) }

    /// `dnat ip to ip daddr . meta l4proto . th dport map @publish4`: to the address and the port that the map has for the fields, if it has any.
    static func translate(_ family: IPAddress.Family, _ map: String, _ fields: Field...) -> RulePhrase {
        let port = NFTablesRegister(word: Field.address(.destination, family).words)
        return RulePhrase(
            self.family(family).steps + load(fields) + [.lookup(.first, in: map, value: .first), .destinationNAT(family, address: .first, port: port)])
    }
}
