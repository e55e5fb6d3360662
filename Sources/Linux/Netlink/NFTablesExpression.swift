/// A register of the kernel's rule machine: sixteen words of four bytes, a key of several fields lies in successive ones.
package struct NFTablesRegister: Sendable, Hashable {
    /// As messages have it: NFT_REG_1 to NFT_REG_4 where a group of four words begins, NFT_REG32_… for the words between.
    let rawValue: UInt32

    init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The register that begins at a word, 0…15.
    package init(word: Int) { rawValue = UInt32(word % 4 == 0 ? 1 + word / 4 : 8 + word) }

    package static let first = NFTablesRegister(word: 0)
}

/// One step of a rule. Steps run in order; a comparison or a lookup that fails ends the rule without its verdict.
package enum NFTablesExpression: Sendable, Hashable {
    /// NFT_META_…: what the kernel knows of the packet.
    package enum MetaKey: UInt32, Sendable { case incomingInterfaceName = 6, outgoingInterfaceName = 7, networkProtocol = 15, transportProtocol = 16 }
    /// NFT_CT_…: what connection tracking knows, four bytes in host order.
    package enum ConnectionKey: UInt32, Sendable { case state = 0, status = 2 }
    /// NFT_PAYLOAD_…_HEADER: where an offset counts from.
    package enum Header: UInt32, Sendable { case network = 1, transport = 2 }
    /// NFT_CMP_….
    package enum Comparison: UInt32, Sendable { case equal = 0, notEqual = 1 }

    package enum Verdict: Sendable, Hashable {
        case accept, drop, `return`
        case jump(String)
    }

    case meta(MetaKey, to: NFTablesRegister)
    case connection(ConnectionKey, to: NFTablesRegister)
    /// Offset and length in bytes.
    case payload(Header, offset: UInt32, length: UInt32, to: NFTablesRegister)
    /// RTN_… of the packet's destination in the host's routing tables: four bytes in host order.
    case destinationType(to: NFTablesRegister)
    /// Keeps the bits of a mask, in place.
    case mask(NFTablesRegister, [UInt8])
    case compare(NFTablesRegister, Comparison, [UInt8])
    /// Looks for a key in a set; in a map it also loads what belongs to the key.
    case lookup(NFTablesRegister, in: String, value: NFTablesRegister? = nil)
    /// The packet goes to the address and port in the registers.
    case destinationNAT(IPAddress.Family, address: NFTablesRegister, port: NFTablesRegister)
    case masquerade
    case counter
    case verdict(Verdict)

    /// The kernel's name of the expression's kind.
    private var kind: String {
        switch self {
        case .meta: "meta"
        case .connection: "ct"
        case .payload: "payload"
        case .destinationType: "fib"
        case .mask: "bitwise"
        case .compare: "cmp"
        case .lookup: "lookup"
        case .destinationNAT: "nat"
        case .masquerade: "masq"
        case .counter: "counter"
        case .verdict: "immediate"
        }
    }

    /// Appends the expression to the list of a rule's. The attributes' order is the one of the nft program, so that both can be compared byte by byte.
    func encode(into request: inout NetlinkRequest) {
        request.group(.listElement) { element in
            element.append(.expressionKind, text: kind)
            element.group(.expressionData) { encodeData(into: &$0) }
        }
    }

    private func encodeData(into request: inout NetlinkRequest) {
        switch self {
        case .meta(let key, let register):
            request.append(.metaKey, network: key.rawValue)
            request.append(.metaRegister, network: register.rawValue)
        case .connection(let key, let register):
            request.append(.connectionKey, network: key.rawValue)
            request.append(.connectionRegister, network: register.rawValue)
        case .payload(let header, let offset, let length, let register):
            request.append(.payloadRegister, network: register.rawValue)
            request.append(.payloadBase, network: header.rawValue)
            request.append(.payloadOffset, network: offset)
            request.append(.payloadLength, network: length)
        case .destinationType(let register):
            request.append(.fibFlags, network: UInt32(2))  // NFTA_FIB_F_DADDR
            request.append(.fibResult, network: UInt32(3))  // NFT_FIB_RESULT_ADDRTYPE
            request.append(.fibRegister, network: register.rawValue)
        case .mask(let register, let mask):
            request.append(.bitwiseSource, network: register.rawValue)
            request.append(.bitwiseDestination, network: register.rawValue)
            request.append(.bitwiseLength, network: UInt32(mask.count))
            request.append(.bitwiseMask, data: mask)
            request.append(.bitwiseXor, data: [UInt8](repeating: 0, count: mask.count))
        case .compare(let register, let comparison, let bytes):
            request.append(.compareRegister, network: register.rawValue)
            request.append(.compareOperation, network: comparison.rawValue)
            request.append(.compareData, data: bytes)
        case .lookup(let register, let set, let value):
            request.append(.lookupSource, network: register.rawValue)
            if let value { request.append(.lookupDestination, network: value.rawValue) }
            request.append(.lookupSet, text: set)
        case .destinationNAT(let family, let address, let port):
            request.append(.natType, network: UInt32(1))  // NFT_NAT_DNAT
            request.append(.natFamily, network: UInt32(family.rawValue))
            request.append(.natAddress, network: address.rawValue)
            request.append(.natPort, network: port.rawValue)
        case .masquerade, .counter:
            break
        case .verdict(let verdict):
            request.append(.immediateRegister, network: UInt32(0))  // NFT_REG_VERDICT
            request.group(.immediateData) { data in
                data.group(.dataVerdict) { encoded in
                    encoded.append(.verdictCode, network: verdict.code)
                    if case .jump(let chain) = verdict { encoded.append(.verdictChain, text: chain) }
                }
            }
        }
    }

    /// Reads an expression that the kernel shows; nil for the kinds that nobody here has to recognise.
    init?(_ element: NetlinkAttributes) {
        guard let kind = element[text: .expressionKind] else { return nil }
        let data = element[nested: .expressionData] ?? NetlinkAttributes(bytes: [])
        switch kind {
        case "meta":
            guard let key = data.network(.metaKey, as: UInt32.self).flatMap(MetaKey.init), let register = data.network(.metaRegister, as: UInt32.self) else { return nil }
            self = .meta(key, to: NFTablesRegister(rawValue: register))
        case "cmp":
            guard let register = data.network(.compareRegister, as: UInt32.self), let bytes = data[nested: .compareData]?[bytes: .dataValue],
                let comparison = data.network(.compareOperation, as: UInt32.self).flatMap(Comparison.init)
            else { return nil }
            self = .compare(NFTablesRegister(rawValue: register), comparison, Array(bytes))
        case "counter":
            self = .counter
        case "immediate":
            guard let verdict = data[nested: .immediateData]?[nested: .dataVerdict].flatMap(Verdict.init) else { return nil }
            self = .verdict(verdict)
        default:
            return nil
        }
    }
}

extension NFTablesExpression.Verdict {
    /// NF_ACCEPT and NF_DROP, and NFT_JUMP and NFT_RETURN, which are negative.
    var code: Int32 {
        switch self {
        case .drop: 0
        case .accept: 1
        case .jump: -3
        case .return: -5
        }
    }

    init?(_ attributes: NetlinkAttributes) {
        switch attributes.network(.verdictCode, as: Int32.self) {
        case 0: self = .drop
        case 1: self = .accept
        case -3: self = .jump(attributes[text: .verdictChain] ?? "")
        case -5: self = .return
        default: return nil
        }
    }
}

extension NetlinkAttribute {
    fileprivate static let expressionKind = NetlinkAttribute("NFTA_EXPR_NAME", 1)
    fileprivate static let expressionData = NetlinkAttribute("NFTA_EXPR_DATA", 2)
    fileprivate static let metaRegister = NetlinkAttribute("NFTA_META_DREG", 1)
    fileprivate static let metaKey = NetlinkAttribute("NFTA_META_KEY", 2)
    fileprivate static let connectionRegister = NetlinkAttribute("NFTA_CT_DREG", 1)
    fileprivate static let connectionKey = NetlinkAttribute("NFTA_CT_KEY", 2)
    fileprivate static let payloadRegister = NetlinkAttribute("NFTA_PAYLOAD_DREG", 1)
    fileprivate static let payloadBase = NetlinkAttribute("NFTA_PAYLOAD_BASE", 2)
    fileprivate static let payloadOffset = NetlinkAttribute("NFTA_PAYLOAD_OFFSET", 3)
    fileprivate static let payloadLength = NetlinkAttribute("NFTA_PAYLOAD_LEN", 4)
    fileprivate static let fibRegister = NetlinkAttribute("NFTA_FIB_DREG", 1)
    fileprivate static let fibResult = NetlinkAttribute("NFTA_FIB_RESULT", 2)
    fileprivate static let fibFlags = NetlinkAttribute("NFTA_FIB_FLAGS", 3)
    fileprivate static let bitwiseSource = NetlinkAttribute("NFTA_BITWISE_SREG", 1)
    fileprivate static let bitwiseDestination = NetlinkAttribute("NFTA_BITWISE_DREG", 2)
    fileprivate static let bitwiseLength = NetlinkAttribute("NFTA_BITWISE_LEN", 3)
    fileprivate static let bitwiseMask = NetlinkAttribute("NFTA_BITWISE_MASK", 4)
    fileprivate static let bitwiseXor = NetlinkAttribute("NFTA_BITWISE_XOR", 5)
    fileprivate static let compareRegister = NetlinkAttribute("NFTA_CMP_SREG", 1)
    fileprivate static let compareOperation = NetlinkAttribute("NFTA_CMP_OP", 2)
    fileprivate static let compareData = NetlinkAttribute("NFTA_CMP_DATA", 3)
    fileprivate static let lookupSet = NetlinkAttribute("NFTA_LOOKUP_SET", 1)
    fileprivate static let lookupSource = NetlinkAttribute("NFTA_LOOKUP_SREG", 2)
    fileprivate static let lookupDestination = NetlinkAttribute("NFTA_LOOKUP_DREG", 3)
    fileprivate static let natType = NetlinkAttribute("NFTA_NAT_TYPE", 1)
    fileprivate static let natFamily = NetlinkAttribute("NFTA_NAT_FAMILY", 2)
    fileprivate static let natAddress = NetlinkAttribute("NFTA_NAT_REG_ADDR_MIN", 3)
    fileprivate static let natPort = NetlinkAttribute("NFTA_NAT_REG_PROTO_MIN", 5)
    fileprivate static let immediateRegister = NetlinkAttribute("NFTA_IMMEDIATE_DREG", 1)
    fileprivate static let immediateData = NetlinkAttribute("NFTA_IMMEDIATE_DATA", 2)
    fileprivate static let verdictCode = NetlinkAttribute("NFTA_VERDICT_CODE", 1)
    fileprivate static let verdictChain = NetlinkAttribute("NFTA_VERDICT_CHAIN", 2)
}
