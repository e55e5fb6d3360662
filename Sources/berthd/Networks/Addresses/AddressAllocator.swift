import Netlink

/// Hands out the addresses of one subnet. Its state lives in memory: it is made again from the running containers when the daemon starts.
struct AddressAllocator: Sendable {
    enum Failure: Error, Equatable {
        case outOfRange
        case alreadyInUse
        case exhausted
    }

    let subnet: IPNetwork
    /// Where unasked-for addresses come from: the subnet or its `--ip-range`.
    let range: IPNetwork
    private var taken: Set<IPAddress>
    /// No address of the range below this one is free.
    private var lowest: IPAddress

    /// - Parameter reserved: gateway and auxiliary addresses.
    init(subnet: IPNetwork, range: IPNetwork? = nil, reserved: [IPAddress] = []) {
        self.subnet = subnet.masked
        self.range = range?.masked ?? subnet.masked
        taken = Set(reserved)
        lowest = self.range.base
    }

    /// Network and broadcast address of an IPv4 subnet and the anycast address of an IPv6 one are nobody's; a /31 and a /32 (RFC 3021) have no such.
    private func isAssignable(_ address: IPAddress) -> Bool {
        guard subnet.lastOffset > 1 else { return true }
        return address != subnet.base && !(subnet.family == .v4 && address == subnet.last)
    }

    /// The lowest free address.
    mutating func allocate() throws(Failure) -> IPAddress {
        var candidate = lowest
        while true {
            if isAssignable(candidate) && !taken.contains(candidate) {
                taken.insert(candidate)
                lowest = candidate
                return candidate
            }
            guard let next = candidate.advanced(by: 1), range.contains(next) else { throw .exhausted }
            candidate = next
        }
    }

    /// Exactly this address.
    mutating func take(_ address: IPAddress) throws(Failure) {
        guard subnet.contains(address), isAssignable(address) else { throw .outOfRange }
        guard taken.insert(address).inserted else { throw .alreadyInUse }
    }

    mutating func release(_ address: IPAddress) {
        guard taken.remove(address) != nil else { return }
        if range.contains(address) && address < lowest { lowest = address }
    }

    /// The address that a network's gateway gets when the user names none: the first of the range.
    var firstOfRange: IPAddress { isAssignable(range.base) ? range.base : range.base.advanced(by: 1) ?? range.base }
}
