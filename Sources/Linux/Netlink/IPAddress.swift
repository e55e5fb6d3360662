/// An IPv4 or IPv6 address, comparable within its family, with the text forms of RFC 4632 and RFC 5952.
package enum IPAddress: Hashable, Sendable, Comparable {
    /// In host order: 10.0.0.1 is 0x0A000001.
    case v4(UInt32)
    /// In host order.
    case v6(UInt128)

    package enum Family: UInt8, Sendable, CaseIterable {
        case v4 = 2
        case v6 = 10

        /// 32 or 128.
        package var bitWidth: Int { self == .v4 ? 32 : 128 }
    }

    package static let loopback4 = IPAddress.v4(0x7F00_0001)
    package static let loopback6 = IPAddress.v6(1)
    package static let any4 = IPAddress.v4(0)
    package static let any6 = IPAddress.v6(0)

    package var family: Family {
        switch self {
        case .v4: .v4
        case .v6: .v6
        }
    }

    /// 0.0.0.0 or ::.
    package var isUnspecified: Bool { self == .any4 || self == .any6 }

    package var isLoopback: Bool {
        switch self {
        case .v4(let value): value >> 24 == 127
        case .v6(let value): value == 1
        }
    }

    /// 169.254.0.0/16 or fe80::/10.
    package var isLinkLocal: Bool {
        switch self {
        case .v4(let value): value >> 16 == 0xA9FE
        case .v6(let value): value >> 118 == 0x3FA
        }
    }

    /// The address as a number, whatever its family.
    package var number: UInt128 {
        switch self {
        case .v4(let value): UInt128(value)
        case .v6(let value): value
        }
    }

    package init(_ number: UInt128, family: Family) {
        self = family == .v4 ? .v4(UInt32(truncatingIfNeeded: number)) : .v6(number)
    }

    /// The address in network order, as the kernel wants it.
    package var bytes: [UInt8] {
        let width = family.bitWidth
        let value = number
        return (0..<width / 8).map { UInt8(truncatingIfNeeded: value >> UInt128(width - 8 - 8 * $0)) }
    }

    /// Takes 4 or 16 bytes in network order; any other count is no address.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        let value = bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
        self.init(value, family: bytes.count == 4 ? .v4 : .v6)
    }

    /// The address `offset` further on, or nil when that leaves the family's range.
    package func advanced(by offset: UInt128) -> IPAddress? {
        let (sum, overflow) = number.addingReportingOverflow(offset)
        if overflow || (family == .v4 && sum > UInt128(UInt32.max)) { return nil }
        return IPAddress(sum, family: family)
    }

    package static func < (left: IPAddress, right: IPAddress) -> Bool {
        left.family == right.family ? left.number < right.number : left.family.rawValue < right.family.rawValue
    }
}

extension IPAddress: CustomStringConvertible {
    package var description: String {
        switch self {
        case .v4(let value): "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
        case .v6(let value): Self.text(of: value)
        }
    }

    /// RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups becomes `::`.
    private static func text(of value: UInt128) -> String {
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: value >> UInt128(112 - 16 * $0)) }
        if value >> 32 == 0xFFFF { return "::ffff:\(IPAddress.v4(UInt32(truncatingIfNeeded: value)))" }
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8 && groups[end] == 0 { end += 1 }
            if end - start > max(best.count, 1) { best = start..<end }
            start = max(end, start + 1)
        }
        func join(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
        return best.isEmpty ? join(groups[...]) : join(groups[..<best.lowerBound]) + "::" + join(groups[best.upperBound...])
    }
}

extension IPAddress: LosslessStringConvertible {
    /// Reads `192.0.2.1` (four decimal numbers, no leading zeros) or an IPv6 address (with an embedded IPv4 tail if wanted, without a zone).
    package init?(_ text: String) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard let value = Self.parse6(text) else { return nil }
            self = .v6(value)
        } else {
            guard let value = Self.parse4(text[...]) else { return nil }
            self = .v4(value)
        }
    }

    private static func parse4(_ text: Substring) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (48...57).contains($0) }), part.utf8.count == 1 || part.utf8.first != 48,
                let byte = UInt8(part)
            else { return nil }
            value = value << 8 | UInt32(byte)
        }
        return value
    }

    private static func parse6(_ text: String) -> UInt128? {
        guard let gap = firstGap(in: text) else { return groups(text[...], count: 8) }
        let head = text[..<gap.lowerBound]
        let tail = text[gap.upperBound...]
        guard firstGap(in: String(tail)) == nil else { return nil }
        guard let front = groupList(head), let back = groupList(tail), front.count + back.count < 8 else { return nil }
        return number(front + [UInt16](repeating: 0, count: 8 - front.count - back.count) + back)
    }

    private static func firstGap(in text: String) -> Range<String.Index>? {
        var index = text.startIndex
        while index < text.endIndex {
            let next = text.index(after: index)
            if text[index] == ":", next < text.endIndex, text[next] == ":" { return index..<text.index(after: next) }
            index = next
        }
        return nil
    }

    private static func groups(_ text: Substring, count: Int) -> UInt128? {
        guard let list = groupList(text), list.count == count else { return nil }
        return number(list)
    }

    private static func number(_ groups: [UInt16]) -> UInt128 { groups.reduce(UInt128(0)) { $0 << 16 | UInt128($1) } }

    private static func groupList(_ text: Substring) -> [UInt16]? {
        if text.isEmpty { return [] }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        var result: [UInt16] = []
        for (position, part) in parts.enumerated() {
            if position == parts.count - 1, part.utf8.contains(UInt8(ascii: ".")) {
                guard let tail = parse4(part) else { return nil }
                result += [UInt16(tail >> 16), UInt16(truncatingIfNeeded: tail)]
                continue
            }
            guard (1...4).contains(part.utf8.count), part.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
                let group = UInt16(part, radix: 16)
            else { return nil }
            result.append(group)
        }
        return result
    }
}
