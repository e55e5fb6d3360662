/// A 48-bit Ethernet address.
package struct MACAddress: Hashable, Sendable, LosslessStringConvertible {
    package let bytes: [UInt8]

    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 6 else { return nil }
        self.bytes = Array(bytes)
    }

    /// Six hexadecimal pairs between colons or hyphens.
    package init?(_ text: String) {
        let parts = text.split(omittingEmptySubsequences: false) { $0 == ":" || $0 == "-" }
        let bytes = parts.compactMap { $0.utf8.count == 2 && $0.first != "+" ? UInt8($0, radix: 16) : nil }
        guard parts.count == 6, bytes.count == 6 else { return nil }
        self.bytes = bytes
    }

    /// 02:42 and the four bytes of the address: a host that reuses an address also reuses its MAC, so that no neighbour's cache goes stale.
    package init(derivedFrom address: UInt32) {
        bytes = [0x02, 0x42] + IPAddress.v4(address).bytes
    }

    /// A locally administered unicast address from the system's random source.
    package static func random() -> MACAddress {
        var bytes = (0..<6).map { _ in UInt8.random(in: 0...255) }
        bytes[0] = bytes[0] & 0xFC | 0x02
        return MACAddress(unchecked: bytes)
    }

    private init(unchecked bytes: [UInt8]) { self.bytes = bytes }

    package var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }
}
