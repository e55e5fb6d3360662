/// `80`, `8000-8010`: ports as users write them.
struct PortRange: Sendable, Equatable {
    let first: UInt16
    let last: UInt16

    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard let low = Self.number(parts[0]) else { return nil }
        guard parts.count == 2 else {
            first = low
            last = low
            return
        }
        guard let high = Self.number(parts[1]), low <= high else { return nil }
        first = low
        last = high
    }

    private static func number(_ text: some StringProtocol) -> UInt16? { text.utf8.allSatisfy { (48...57).contains($0) } ? UInt16(text) : nil }

    var count: Int { Int(last) - Int(first) + 1 }
}

/// A port of a container: `80/tcp`.
struct ContainerPort: Hashable, Sendable, Comparable, CustomStringConvertible {
    var number: UInt16
    var proto: PortProtocol

    init(number: UInt16, proto: PortProtocol) {
        self.number = number
        self.proto = proto
    }

    /// Reads `80`, `80/tcp`, `53/udp`; a missing protocol is tcp.
    init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let range = PortRange(parts[0]), range.count == 1, range.first > 0, let proto = PortProtocol(rawValue: parts.count == 2 ? parts[1].lowercased() : "tcp") else {
            return nil
        }
        self.init(number: range.first, proto: proto)
    }

    var description: String { "\(number)/\(proto.rawValue)" }

    static func < (left: ContainerPort, right: ContainerPort) -> Bool { (left.number, left.proto.rawValue) < (right.number, right.proto.rawValue) }
}
