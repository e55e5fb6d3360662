/// What a field of a set's key or of a map's value is. The kernel sees bytes only; `nft` prints them by this number.
package enum NFTablesType: UInt32, Sendable {
    case ipv4Address = 7
    case ipv6Address = 8
    case inetProtocol = 12
    case inetService = 13
    case interfaceName = 41

    /// In bytes.
    var length: Int {
        switch self {
        case .ipv4Address: 4
        case .ipv6Address, .interfaceName: 16
        case .inetProtocol: 1
        case .inetService: 2
        }
    }
}

/// A set or, with a value, a map. A key (and a value) of several fields is their concatenation, each padded to whole words.
package struct NFTablesSet: Sendable {
    package let name: String
    let key: [NFTablesType]
    /// Empty for a set.
    let value: [NFTablesType]
    /// Elements may be ranges. In a concatenation any field may; a single field becomes a tree of begins and ends.
    let isInterval: Bool
    /// Notes of the program that wrote the set for whoever prints it; the kernel keeps them unread.
    package var userData: [UInt8]

    package init(_ name: String, key: [NFTablesType], value: [NFTablesType] = [], isInterval: Bool = false) {
        self.name = name
        self.key = key
        self.value = value
        self.isInterval = isInterval
        userData = Self.userData(key: key, value: value)
    }

    /// "map publish4" or "set bridges".
    var subject: String { value.isEmpty ? "set \(name)" : "map \(name)" }

    /// The types of a concatenation in one number, six bits each.
    private static func number(_ types: [NFTablesType]) -> UInt32 { types.reduce(0) { $0 << 6 | $1.rawValue } }

    private static func length(_ types: [NFTablesType]) -> Int { types.count == 1 ? types[0].length : types.reduce(0) { $0 + ($1.length + 3) / 4 * 4 } }

    /// - Parameter identifier: unique in its transaction; the kernel insists on one.
    func encode(in table: NFTablesTable, identifier: UInt32) -> NetlinkRequest {
        var flags: UInt32 = 0
        if isInterval { flags |= 0x4 }  // NFT_SET_INTERVAL
        if !value.isEmpty { flags |= 0x8 }  // NFT_SET_MAP
        if isInterval && key.count > 1 { flags |= 0x80 }  // NFT_SET_CONCAT
        var request = table.request(.newSet, flags: NFTablesTransaction.create, on: "\(subject) of table \(table)")
        request.append(.setName, text: name)
        request.append(.setFlags, network: flags)
        request.append(.setKeyType, network: Self.number(key))
        request.append(.setKeyLength, network: UInt32(Self.length(key)))
        if !value.isEmpty {
            request.append(.setDataType, network: Self.number(value))
            request.append(.setDataLength, network: UInt32(Self.length(value)))
        }
        request.append(.setIdentifier, network: identifier)
        if isInterval && key.count > 1 {
            request.group(.setDescription) { description in
                description.group(.descriptionConcat) { fields in
                    for field in key { fields.group(.listElement) { $0.append(.fieldLength, network: UInt32(field.length)) } }
                }
            }
        }
        request.append(.setUserData, bytes: userData)
        return request
    }

    /// The notes as nft 1.0.6 writes them, type-length-value in single bytes (libnftnl's udata.h): byte orders and, for concatenations, that the fields' types
    /// are to be taken from the numbers above. Later versions read these as well; not so the other way round.
    private static func userData(key: [NFTablesType], value: [NFTablesType]) -> [UInt8] {
        // A number in host order, as the program that prints it runs on the same machine.
        func note(_ type: UInt8, _ number: UInt32) -> [UInt8] { [type, 4] + withUnsafeBytes(of: number) { Array($0) } }
        // The expression's kind (13, a concatenation) without further data.
        let concatenation = note(0, 13) + [1, 0]
        var bytes = note(0, byteOrder(key))  // NFTNL_UDATA_SET_KEYBYTEORDER
        if !value.isEmpty { bytes += note(1, byteOrder(value)) }  // NFTNL_UDATA_SET_DATABYTEORDER
        if key.count > 1 { bytes += [3, UInt8(concatenation.count)] + concatenation }  // NFTNL_UDATA_SET_KEY_TYPEOF
        if value.count > 1 { bytes += [4, UInt8(concatenation.count)] + concatenation }  // NFTNL_UDATA_SET_DATA_TYPEOF
        if !value.isEmpty { bytes += note(6, 0) }  // NFTNL_UDATA_SET_DATA_INTERVAL
        return bytes
    }

    /// nft's enum byteorder: none for a concatenation, 1 host, 2 network.
    private static func byteOrder(_ types: [NFTablesType]) -> UInt32 { types.count > 1 ? 0 : types == [.interfaceName] ? 1 : 2 }
}

/// An element of a set or a map, as bytes of its key and its value.
package struct NFTablesElement: Sendable, Hashable {
    let key: [UInt8]
    /// The last key of a range, in a set of concatenations.
    var keyEnd: [UInt8]?
    /// A map's value; an element that is to be deleted needs none.
    var value: [UInt8]?
    /// The first key behind a range, in a set of single fields.
    var isEnd = false
    /// A range without an end: it reaches up to the last key there is.
    var isOpen = false

    /// A single key. Fields in network order; an interface's name is in `name(_:)`.
    package init(_ fields: [[UInt8]], value: [[UInt8]]? = nil) {
        key = Self.joined(fields)
        self.value = value.map(Self.joined)
    }

    /// The elements for the addresses of a network in a set of single addresses: where it begins, and where it has ended.
    package static func range(_ network: IPNetwork) -> [NFTablesElement] {
        var begin = NFTablesElement([network.base.bytes])
        guard let next = network.last.advanced(by: 1) else {
            begin.isOpen = true
            return [begin]
        }
        var end = NFTablesElement([next.bytes])
        end.isEnd = true
        return [begin, end]
    }

    /// The addresses of a network behind other fields.
    package static func range(_ fields: [[UInt8]], _ network: IPNetwork) -> NFTablesElement {
        var element = NFTablesElement(fields + [network.base.bytes])
        element.keyEnd = joined(fields + [network.last.bytes])
        return element
    }

    /// An interface's name as the kernel compares it: IFNAMSIZ bytes, the rest zero.
    package static func name(_ interface: String) -> [UInt8] {
        let bytes = Array(interface.utf8.prefix(LinkRequests.maximumNameLength))
        return bytes + [UInt8](repeating: 0, count: 16 - bytes.count)
    }

    private static func joined(_ fields: [[UInt8]]) -> [UInt8] {
        if fields.count == 1 { return fields[0] }
        return fields.reduce(into: []) { $0 += $1 + [UInt8](repeating: 0, count: (4 - $1.count % 4) % 4) }
    }

    func encode(into request: inout NetlinkRequest) {
        request.group(.listElement) { element in
            if isEnd { element.append(.elementFlags, network: UInt32(1)) }  // NFT_SET_ELEM_INTERVAL_END
            element.append(.elementKey, data: key)
            if let keyEnd { element.append(.elementKeyEnd, data: keyEnd) }
            if let value { element.append(.elementData, data: value) }
            // libnftnl's NFTNL_UDATA_SET_ELEM_FLAGS, SEGTREE_INTERVAL_OPEN: how nft knows the range's end.
            if isOpen { element.append(.elementUserData, bytes: [1, 4] + withUnsafeBytes(of: UInt32(1)) { Array($0) }) }
        }
    }

    /// What the element takes of a message.
    var encodedSize: Int {
        let fields = [key, keyEnd, value].compactMap { $0 }.reduce(0) { $0 + 8 + ($1.count + 3) / 4 * 4 }
        return 4 + fields + (isEnd ? 8 : 0) + (isOpen ? 12 : 0)
    }
}

extension NetlinkAttribute {
    fileprivate static let setName = NetlinkAttribute("NFTA_SET_NAME", 2)
    fileprivate static let setFlags = NetlinkAttribute("NFTA_SET_FLAGS", 3)
    fileprivate static let setKeyType = NetlinkAttribute("NFTA_SET_KEY_TYPE", 4)
    fileprivate static let setKeyLength = NetlinkAttribute("NFTA_SET_KEY_LEN", 5)
    fileprivate static let setDataType = NetlinkAttribute("NFTA_SET_DATA_TYPE", 6)
    fileprivate static let setDataLength = NetlinkAttribute("NFTA_SET_DATA_LEN", 7)
    fileprivate static let setDescription = NetlinkAttribute("NFTA_SET_DESC", 9)
    fileprivate static let setIdentifier = NetlinkAttribute("NFTA_SET_ID", 10)
    fileprivate static let setUserData = NetlinkAttribute("NFTA_SET_USERDATA", 13)
    fileprivate static let descriptionConcat = NetlinkAttribute("NFTA_SET_DESC_CONCAT", 2)
    fileprivate static let fieldLength = NetlinkAttribute("NFTA_SET_FIELD_LEN", 1)
    fileprivate static let elementKey = NetlinkAttribute("NFTA_SET_ELEM_KEY", 1)
    fileprivate static let elementData = NetlinkAttribute("NFTA_SET_ELEM_DATA", 2)
    fileprivate static let elementFlags = NetlinkAttribute("NFTA_SET_ELEM_FLAGS", 3)
    fileprivate static let elementUserData = NetlinkAttribute("NFTA_SET_ELEM_USERDATA", 6)
    fileprivate static let elementKeyEnd = NetlinkAttribute("NFTA_SET_ELEM_KEY_END", 10)
}
