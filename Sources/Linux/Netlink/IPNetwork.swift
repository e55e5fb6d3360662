import LinuxSystem

/// A block of addresses in CIDR notation: `172.18.0.0/16`. The address may carry host bits, as an interface address does.
package struct IPNetwork: Hashable, Sendable, LosslessStringConvertible {
    package let address: IPAddress
    /// 0…32 or 0…128.
    package let prefixLength: Int

    package init(_ address: IPAddress, prefixLength: Int) {
        precondition((0...address.family.bitWidth).contains(prefixLength))
        self.address = address
        self.prefixLength = prefixLength
    }

    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(String(parts[0])), let length = Int(parts[1]), parts[1].first?.isDigit == true,
            (0...address.family.bitWidth).contains(length)
        else { return nil }
        self.init(address, prefixLength: length)
    }

    package var family: IPAddress.Family { address.family }

    private var hostBits: Int { family.bitWidth - prefixLength }

    /// The highest offset inside the block: 65535 for a /16.
    package var lastOffset: UInt128 { hostBits == 128 ? UInt128.max : (UInt128(1) << UInt128(hostBits)) - 1 }

    /// The address with all host bits cleared.
    package var base: IPAddress { IPAddress(address.number & ~lastOffset, family: family) }

    /// The address with all host bits set: IPv4's broadcast address.
    package var last: IPAddress { IPAddress(address.number | lastOffset, family: family) }

    /// The block without host bits.
    package var masked: IPNetwork { IPNetwork(base, prefixLength: prefixLength) }

    package func contains(_ other: IPAddress) -> Bool { other.family == family && base <= other && other <= last }

    package func contains(_ other: IPNetwork) -> Bool { other.prefixLength >= prefixLength && contains(other.address) }

    package func overlaps(_ other: IPNetwork) -> Bool { contains(other.base) || other.contains(base) }

    package var description: String { "\(address)/\(prefixLength)" }
}
