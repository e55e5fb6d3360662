import Netlink

/// A range that networks without a subnet of their own are cut from, as `--default-address-pool base=…,size=…`.
struct AddressPool: Sendable, Equatable {
    var base: IPNetwork
    /// Prefix length of each network.
    var size: Int

    /// dockerd's ranges. 172.17.0.0/16, which a dockerd on the same machine takes for its own bridge without asking, comes last of the large ones.
    static let defaults: [AddressPool] = [
        AddressPool(base: IPNetwork(.v4(0xAC12_0000), prefixLength: 16), size: 16),
        AddressPool(base: IPNetwork(.v4(0xAC13_0000), prefixLength: 16), size: 16),
        AddressPool(base: IPNetwork(.v4(0xAC14_0000), prefixLength: 14), size: 16),
        AddressPool(base: IPNetwork(.v4(0xAC18_0000), prefixLength: 14), size: 16),
        AddressPool(base: IPNetwork(.v4(0xAC1C_0000), prefixLength: 14), size: 16),
        AddressPool(base: IPNetwork(.v4(0xAC11_0000), prefixLength: 16), size: 16),
        AddressPool(base: IPNetwork(.v4(0xC0A8_0000), prefixLength: 16), size: 20),
    ]

    /// A unique local /48 of this machine (RFC 4193), cut into /64: the 40 bits behind fd come from a hash of the engine's ID.
    static func uniqueLocal(engineID: String) -> AddressPool {
        // FNV-1a: any well spread function does.
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in engineID.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        let prefix = UInt128(0xFD) << 120 | UInt128(hash >> 24) << 80
        return AddressPool(base: IPNetwork(.v6(prefix), prefixLength: 48), size: 64)
    }

    /// The first network of the pools in `family` that overlaps with nothing in `used`; nil when all are taken.
    static func firstFree(in pools: [AddressPool], family: IPAddress.Family, used: [IPNetwork]) -> IPNetwork? {
        let used = used.filter { $0.family == family }
        for pool in pools where pool.base.family == family && pool.size >= pool.base.prefixLength {
            let step = UInt128(1) << UInt128(family.bitWidth - pool.size)
            // A /48 has 65536 networks of 64 bits; nobody has as many in use, so the loop ends early.
            var offset: UInt128 = 0
            while let address = pool.base.base.advanced(by: offset), pool.base.contains(address) {
                let candidate = IPNetwork(address, prefixLength: pool.size)
                if !used.contains(where: { $0.overlaps(candidate) }) { return candidate }
                let (next, overflow) = offset.addingReportingOverflow(step)
                if overflow { break }
                offset = next
            }
        }
        return nil
    }
}
