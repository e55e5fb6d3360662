import Netlink

/// As much of a DNS message as a resolver needs that answers for a few names and passes the rest on (RFC 1035).
///
/// A query comes from a container: nothing in it is trusted, and what cannot be read is dropped.
struct DNSQuery: Sendable, Equatable {
    enum Kind: UInt16, Sendable {
        case a = 1
        case ptr = 12
        case aaaa = 28
    }

    let id: UInt16
    /// The recursion-desired bit, to be repeated in the answer.
    let wantsRecursion: Bool
    /// Without the final dot.
    let name: String
    let type: UInt16
    /// The question as it came, to be repeated in the answer: name, type and class.
    private let question: [UInt8]

    static let headerSize = 12

    /// Reads a standard query with exactly one question of class IN.
    init?(_ message: [UInt8]) {
        guard message.count >= Self.headerSize + 5 else { return nil }
        func word(_ offset: Int) -> UInt16 { UInt16(message[offset]) << 8 | UInt16(message[offset + 1]) }
        let flags = word(2)
        // QR must be 0 and the opcode QUERY.
        guard flags & 0xF800 == 0, word(4) == 1 else { return nil }
        var labels: [String] = []
        var offset = Self.headerSize
        var length = 0
        while true {
            guard offset < message.count else { return nil }
            let size = Int(message[offset])
            offset += 1
            if size == 0 { break }
            // A question has no compression pointers (size > 63) and at most 255 bytes of name.
            length += size + 1
            guard size < 64, length < 255, offset + size <= message.count else { return nil }
            labels.append(String(decoding: message[offset..<offset + size], as: UTF8.self))
            offset += size
        }
        guard offset + 4 <= message.count, word(offset + 2) == 1 else { return nil }
        id = word(0)
        wantsRecursion = flags & 0x0100 != 0
        name = labels.joined(separator: ".")
        type = word(offset)
        question = Array(message[Self.headerSize..<offset + 4])
    }

    var kind: Kind? { Kind(rawValue: type) }

    /// The address that a PTR question asks for: `4.3.2.1.in-addr.arpa` or 32 digits under `ip6.arpa`.
    var reverseAddress: IPAddress? {
        let labels = name.lowercased().split(separator: ".").map(String.init)
        if labels.suffix(2) == ["in-addr", "arpa"], labels.count == 6 { return IPAddress(labels.prefix(4).reversed().joined(separator: ".")) }
        guard labels.suffix(2) == ["ip6", "arpa"], labels.count == 34 else { return nil }
        let digits = labels.prefix(32).reversed().compactMap { $0.utf8.count == 1 ? UInt8($0, radix: 16) : nil }
        guard digits.count == 32 else { return nil }
        return .v6(digits.reduce(UInt128(0)) { $0 << 4 | UInt128($1) })
    }

    /// Seconds that an answer may be kept: short, because containers come and go.
    private static let timeToLive: UInt32 = 600

    /// Answers with these addresses; those of the other family are left out, and none at all means that the name exists without such a record.
    func answer(addresses: [IPAddress]) -> [UInt8] {
        let records = addresses.filter { ($0.family == .v4) == (kind == .a) }.map(\.bytes)
        return response(code: 0, records: records)
    }

    func answer(name: String) -> [UInt8] {
        var data: [UInt8] = []
        for label in name.split(separator: ".") { data += [UInt8(min(label.utf8.count, 63))] + label.utf8.prefix(63) }
        return response(code: 0, records: [data + [0]])
    }

    /// NXDOMAIN.
    var noSuchName: [UInt8] { response(code: 3, records: []) }
    /// SERVFAIL.
    var failure: [UInt8] { response(code: 2, records: []) }

    private func response(code: UInt16, records: [[UInt8]]) -> [UInt8] {
        var bytes: [UInt8] = []
        func put(_ word: UInt16) { bytes += [UInt8(word >> 8), UInt8(word & 255)] }
        put(id)
        // QR and RA, the asker's RD.
        put(0x8080 | (wantsRecursion ? 0x0100 : 0) | code)
        put(1)
        put(UInt16(records.count))
        put(0)
        put(0)
        bytes += question
        for record in records {
            put(0xC000 | UInt16(Self.headerSize))
            put(type)
            put(1)
            put(UInt16(Self.timeToLive >> 16))
            put(UInt16(Self.timeToLive & 0xFFFF))
            put(UInt16(record.count))
            bytes += record
        }
        return bytes
    }
}
