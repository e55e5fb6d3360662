import CLinux
import LinuxSystem

/// The name and number of an attribute. The name is what an error shows, so it is the kernel's own.
package struct NetlinkAttribute: Sendable {
    package let name: StaticString
    package let type: UInt16

    package init(_ name: StaticString, _ type: Int) {
        self.name = name
        self.type = UInt16(type)
    }
}

/// One request to the kernel: header fields, fixed part and attributes, and what it is about for the error text.
///
/// Layout of netlink(7): a 16-byte header, a family specific structure, then attributes of type-length-value, each padded to 4 bytes.
package struct NetlinkRequest: Sendable {
    package static let headerSize = 16

    package let type: UInt16
    package let flags: UInt16
    /// As `man 7 rtnetlink` names it: "RTM_NEWLINK".
    package let name: StaticString
    /// What a user recognises: "link veth1a2b3c (veth on berth0)".
    package let subject: String
    private(set) var body: [UInt8]
    /// Where each attribute begins in the whole message, to translate NLMSGERR_ATTR_OFFS back into a name.
    private(set) var marks: [(offset: Int, name: StaticString)] = []

    /// - Parameter flags: NLM_F_REQUEST and NLM_F_ACK are added by the connection.
    package init<Header: BitwiseCopyable>(_ name: StaticString, _ type: Int, flags: Int = 0, on subject: String, header: Header) {
        self.name = name
        self.type = UInt16(type)
        self.flags = UInt16(flags)
        self.subject = subject
        body = withUnsafeBytes(of: header) { Array($0) }
        pad()
    }

    private mutating func pad() { while body.count % 4 != 0 { body.append(0) } }

    private mutating func begin(_ attribute: NetlinkAttribute, flags: UInt16 = 0) -> Int {
        let start = body.count
        marks.append((start + Self.headerSize, attribute.name))
        body += [0, 0, 0, 0]
        store(attribute.type | flags, at: start + 2)
        return start
    }

    private mutating func end(_ start: Int) {
        store(UInt16(body.count - start), at: start)
        pad()
    }

    private mutating func store(_ value: UInt16, at offset: Int) {
        withUnsafeBytes(of: value) { bytes in body.replaceSubrange(offset..<offset + 2, with: bytes) }
    }

    package mutating func append(_ attribute: NetlinkAttribute, bytes: some Sequence<UInt8>) {
        let start = begin(attribute)
        body.append(contentsOf: bytes)
        end(start)
    }

    /// A number in host order, as rtnetlink has them.
    package mutating func append<Value: FixedWidthInteger>(_ attribute: NetlinkAttribute, _ value: Value) {
        append(attribute, bytes: withUnsafeBytes(of: value) { Array($0) })
    }

    /// A text with its NUL.
    package mutating func append(_ attribute: NetlinkAttribute, text: String) { append(attribute, bytes: Array(text.utf8) + [0]) }

    package mutating func nest(_ attribute: NetlinkAttribute, flagged: Bool = false, _ fill: (inout NetlinkRequest) -> Void) {
        let start = begin(attribute, flags: flagged ? UInt16(NLA_F_NESTED) : 0)
        fill(&self)
        end(start)
    }

    /// A structure without attribute header in the middle of attributes: the peer's `ifinfomsg` inside VETH_INFO_PEER.
    package mutating func append<Structure: BitwiseCopyable>(structure: Structure) {
        withUnsafeBytes(of: structure) { body.append(contentsOf: $0) }
        pad()
    }

    /// The bytes that go to the kernel.
    package func encoded(sequence: UInt32, extraFlags: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.headerSize + body.count)
        func put<Value: FixedWidthInteger>(_ value: Value) { withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) } }
        put(UInt32(Self.headerSize + body.count))
        put(type)
        put(flags | UInt16(extraFlags))
        put(sequence)
        put(UInt32(0))
        return bytes + body
    }

    /// The innermost attribute that the kernel's offset points at.
    func attributeName(at offset: Int) -> StaticString? { marks.last { $0.offset <= offset }?.name }
}

/// One message that came from the kernel.
package struct NetlinkMessage: Sendable {
    package let type: UInt16
    package let flags: UInt16
    package let sequence: UInt32
    package let port: UInt32
    package let body: ArraySlice<UInt8>

    /// Cuts a datagram into messages. A message that claims more than is there ends the list.
    package static func split(_ datagram: [UInt8]) -> [NetlinkMessage] {
        var messages: [NetlinkMessage] = []
        var offset = 0
        while offset + NetlinkRequest.headerSize <= datagram.count {
            let header = datagram[offset...]
            let length = Int(header.load(UInt32.self, at: 0))
            guard length >= NetlinkRequest.headerSize, offset + length <= datagram.count else { break }
            messages.append(
                NetlinkMessage(
                    type: header.load(UInt16.self, at: 4), flags: header.load(UInt16.self, at: 6), sequence: header.load(UInt32.self, at: 8),
                    port: header.load(UInt32.self, at: 12), body: datagram[offset + NetlinkRequest.headerSize..<offset + length]))
            offset += (length + 3) & ~3
        }
        return messages
    }

    /// The attributes behind a fixed part of `headerSize` bytes.
    package func attributes(after headerSize: Int) -> NetlinkAttributes {
        NetlinkAttributes(bytes: body.dropFirst((headerSize + 3) & ~3))
    }
}

/// The attributes of a message or of a nested attribute, by number. A later one with the same number wins.
package struct NetlinkAttributes: Sendable {
    private var values: [UInt16: ArraySlice<UInt8>] = [:]

    package init(bytes: ArraySlice<UInt8>) {
        var rest = bytes
        while rest.count >= 4 {
            let length = Int(rest.load(UInt16.self, at: 0))
            guard length >= 4, length <= rest.count else { break }
            let type = rest.load(UInt16.self, at: 2) & 0x3FFF  // NLA_TYPE_MASK
            values[type] = rest[rest.startIndex + 4..<rest.startIndex + length]
            rest = rest.dropFirst((length + 3) & ~3)
        }
    }

    package subscript(bytes attribute: NetlinkAttribute) -> ArraySlice<UInt8>? { values[attribute.type] }

    package subscript<Value: FixedWidthInteger>(_ attribute: NetlinkAttribute, as type: Value.Type) -> Value? {
        guard let bytes = values[attribute.type], bytes.count >= MemoryLayout<Value>.size else { return nil }
        return bytes.load(type, at: 0)
    }

    package subscript(text attribute: NetlinkAttribute) -> String? {
        values[attribute.type].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    package subscript(address attribute: NetlinkAttribute) -> IPAddress? { values[attribute.type].flatMap { IPAddress(bytes: $0) } }

    package subscript(nested attribute: NetlinkAttribute) -> NetlinkAttributes? { values[attribute.type].map { NetlinkAttributes(bytes: $0) } }
}

extension ArraySlice where Element == UInt8 {
    /// A number in host order, `offset` bytes behind the slice's begin. The caller has checked that it is there.
    package func load<Value: FixedWidthInteger>(_ type: Value.Type, at offset: Int) -> Value {
        withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: type) }
    }
}
