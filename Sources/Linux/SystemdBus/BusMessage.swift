/// One message of D-Bus: a header and a body.
///
/// Spec: D-Bus Specification, "Message Format".
package struct BusMessage: Equatable, Sendable {
    /// The numbers of the wire.
    package enum Kind: UInt8, Sendable { case call = 1, reply = 2, error = 3, signal = 4 }

    package var kind: Kind
    package var serial: UInt32 = 0
    package var replySerial: UInt32?
    package var path: String?
    package var interface: String?
    package var member: String?
    package var errorName: String?
    package var destination: String?
    package var sender: String?
    package var body: [BusValue] = []

    package init(_ kind: Kind) { self.kind = kind }

    /// What stands before the header fields, whose length it has.
    static let prefixLength = 16
    /// systemd's answers have some hundred bytes; the specification allows 128 MiB.
    static let longest = 1 << 20

    package var bytes: [UInt8] {
        var content = BusEncoder()
        for value in body { content.append(value) }
        var encoder = BusEncoder()
        for byte in [UInt8(ascii: "l"), kind.rawValue, 0, 1] { encoder.append(byte) }
        encoder.append(UInt32(content.bytes.count))
        encoder.append(serial)
        encoder.append(.array(of: "(yv)", fields))
        encoder.align(8)
        encoder.append(raw: content.bytes)
        return encoder.bytes
    }

    private var fields: [BusValue] {
        var fields: [BusValue] = []
        func add(_ code: UInt8, _ value: BusValue?) { if let value { fields.append(.structure([.byte(code), .variant(value)])) } }
        add(1, path.map { .objectPath($0) })
        add(2, interface.map { .string($0) })
        add(3, member.map { .string($0) })
        add(4, errorName.map { .string($0) })
        add(5, replySerial.map { .uint32($0) })
        add(6, destination.map { .string($0) })
        add(7, sender.map { .string($0) })
        if !body.isEmpty { add(8, .signature(body.map(\.signature).joined())) }
        return fields
    }

    /// How long the message is that begins with these bytes; nil while there are too few to tell.
    package static func length(_ bytes: [UInt8]) throws(BusError) -> Int? {
        guard bytes.count >= prefixLength else { return nil }
        var decoder = BusDecoder(bytes, from: 4, isBigEndian: try isBigEndian(bytes))
        let body = Int(try decoder.number(UInt32.self))
        _ = try decoder.number(UInt32.self)
        let header = Int(try decoder.number(UInt32.self))
        guard body <= longest, header <= longest else { throw .malformed("a message of \(body) bytes with a header of \(header)") }
        return (prefixLength + header + 7) / 8 * 8 + body
    }

    private static func isBigEndian(_ bytes: [UInt8]) throws(BusError) -> Bool {
        guard bytes[3] == 1, bytes[0] == UInt8(ascii: "l") || bytes[0] == UInt8(ascii: "B") else { throw .malformed("not a message of version 1") }
        return bytes[0] == UInt8(ascii: "B")
    }

    /// A whole message. Kinds and header fields that the specification may add are passed over.
    /// - Returns: nil for a kind that is unknown.
    package static func decode(_ bytes: [UInt8]) throws(BusError) -> BusMessage? {
        guard let length = try length(bytes), bytes.count == length else { throw .malformed("the message ends early") }
        guard let kind = Kind(rawValue: bytes[1]) else { return nil }
        var decoder = BusDecoder(bytes, from: 8, isBigEndian: try isBigEndian(bytes))
        var message = BusMessage(kind)
        message.serial = try decoder.number(UInt32.self)
        var signature = ""
        guard case .array(_, let fields)? = try decoder.values("a(yv)").first else { throw .malformed("a message without a header") }
        for case .structure(let field) in fields {
            guard field.count == 2, case .byte(let code) = field[0], case .variant(let value) = field[1] else { throw .malformed("a strange header field") }
            switch code {
            case 1: message.path = value.text
            case 2: message.interface = value.text
            case 3: message.member = value.text
            case 4: message.errorName = value.text
            case 5: if case .uint32(let serial) = value { message.replySerial = serial }
            case 6: message.destination = value.text
            case 7: message.sender = value.text
            case 8: signature = value.text ?? ""
            default: break
            }
        }
        try decoder.align(8)
        message.body = try decoder.values(signature)
        guard decoder.isAtEnd else { throw .malformed("a body that is longer than its signature") }
        return message
    }
}
