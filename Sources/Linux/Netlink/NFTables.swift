/// A table of the packet filter: its family and its name.
///
/// The files named NFTables… speak nf_tables over NETLINK_NETFILTER (linux/netfilter/nf_tables.h) for tables that this program writes itself. They read nothing that
/// others have written, except rules of one named chain: somebody else's table can be as new or as broken as it likes.
package struct NFTablesTable: Sendable, Hashable, CustomStringConvertible {
    package enum Family: UInt8, Sendable, Hashable {
        /// IPv4 and IPv6.
        case inet = 1
        case ip = 2
        case ip6 = 10
    }

    package let family: Family
    package let name: String

    package init(_ family: Family, _ name: String) {
        self.family = family
        self.name = name
    }

    /// As `nft` names it: `inet berth`.
    package var description: String { "\(family) \(name)" }

    /// A message about something in this table. Every such message begins with the table's name.
    func request(_ message: NFTablesMessage, flags: Int = 0, on subject: String) -> NetlinkRequest {
        var request = NetlinkRequest(message.name, message.type, flags: flags, on: subject, header: NFTablesHeader(family: family.rawValue))
        request.append(.tableName, text: name)
        return request
    }
}

/// `struct nfgenmsg`: the fixed part of every netfilter message.
struct NFTablesHeader: BitwiseCopyable {
    var family: UInt8
    /// NFNETLINK_V0.
    var version: UInt8 = 0
    /// In network order. For a batch the subsystem that it is for.
    var resource: UInt16 = 0
}

/// A kind of message, NFT_MSG_…, with the name that errors show.
struct NFTablesMessage: Sendable {
    /// NFNL_SUBSYS_NFTABLES.
    static let subsystem: UInt16 = 10

    let name: StaticString
    let type: Int

    private init(_ name: StaticString, _ number: Int) {
        self.name = name
        type = Int(Self.subsystem) << 8 | number
    }

    static let newTable = NFTablesMessage("NFT_MSG_NEWTABLE", 0)
    static let deleteTable = NFTablesMessage("NFT_MSG_DELTABLE", 2)
    static let newChain = NFTablesMessage("NFT_MSG_NEWCHAIN", 3)
    static let getChain = NFTablesMessage("NFT_MSG_GETCHAIN", 4)
    static let newRule = NFTablesMessage("NFT_MSG_NEWRULE", 6)
    static let getRules = NFTablesMessage("NFT_MSG_GETRULE", 7)
    static let deleteRule = NFTablesMessage("NFT_MSG_DELRULE", 8)
    static let newSet = NFTablesMessage("NFT_MSG_NEWSET", 9)
    static let newElements = NFTablesMessage("NFT_MSG_NEWSETELEM", 12)
    static let deleteElements = NFTablesMessage("NFT_MSG_DELSETELEM", 14)
}

extension NetlinkRequest {
    /// A number in network order, as netfilter has them.
    mutating func append<Value: FixedWidthInteger>(_ attribute: NetlinkAttribute, network value: Value) { append(attribute, value.bigEndian) }

    /// An attribute that holds attributes; netfilter wants it marked as such.
    mutating func group(_ attribute: NetlinkAttribute, _ fill: (inout NetlinkRequest) -> Void) { nest(attribute, flagged: true, fill) }

    /// Bytes of a register or a key: they are wrapped once more, in NFTA_DATA_VALUE.
    mutating func append(_ attribute: NetlinkAttribute, data: [UInt8]) { group(attribute) { $0.append(.dataValue, bytes: data) } }
}

extension NetlinkAttributes {
    /// A number in network order.
    func network<Value: FixedWidthInteger>(_ attribute: NetlinkAttribute, as type: Value.Type) -> Value? { self[attribute, as: type].map { Value(bigEndian: $0) } }

    /// The attributes inside of one that is a list (NFTA_LIST_ELEM, all of one number), in their order.
    func list(_ attribute: NetlinkAttribute) -> [NetlinkAttributes] {
        var result: [NetlinkAttributes] = []
        var rest = self[bytes: attribute] ?? []
        while rest.count >= 4 {
            let length = Int(rest.load(UInt16.self, at: 0))
            guard length >= 4, length <= rest.count else { break }
            result.append(NetlinkAttributes(bytes: rest[rest.startIndex + 4..<rest.startIndex + length]))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return result
    }
}

extension NetlinkAttribute {
    static let tableFlags = NetlinkAttribute("NFTA_TABLE_FLAGS", 2)
    static let chainHook = NetlinkAttribute("NFTA_CHAIN_HOOK", 4)
    static let chainPolicy = NetlinkAttribute("NFTA_CHAIN_POLICY", 5)
    static let chainType = NetlinkAttribute("NFTA_CHAIN_TYPE", 7)
    static let hookNumber = NetlinkAttribute("NFTA_HOOK_HOOKNUM", 1)
    static let hookPriority = NetlinkAttribute("NFTA_HOOK_PRIORITY", 2)
    static let ruleChain = NetlinkAttribute("NFTA_RULE_CHAIN", 2)
    static let ruleHandle = NetlinkAttribute("NFTA_RULE_HANDLE", 3)
    static let ruleExpressions = NetlinkAttribute("NFTA_RULE_EXPRESSIONS", 4)
    static let listElement = NetlinkAttribute("NFTA_LIST_ELEM", 1)
    static let dataValue = NetlinkAttribute("NFTA_DATA_VALUE", 1)
    static let dataVerdict = NetlinkAttribute("NFTA_DATA_VERDICT", 2)
}
