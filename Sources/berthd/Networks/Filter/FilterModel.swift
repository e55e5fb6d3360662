import Netlink

/// A transport protocol with ports.
enum PortProtocol: String, Sendable, Hashable, Codable, CaseIterable {
    case tcp, udp, sctp
}

/// One published port as the packet filter sees it. Host and container address are of one family.
struct PublishedPort: Hashable, Sendable {
    var proto: PortProtocol
    /// 0.0.0.0 and :: stand for every address of the host.
    var hostAddress: IPAddress
    var hostPort: UInt16
    var containerAddress: IPAddress
    var containerPort: UInt16
}

/// What the rules need to know of one bridge network.
struct FilteredBridge: Hashable, Sendable {
    /// Of the link: `berth0`, `br-0123456789ab`.
    var name: String
    var subnets: [IPNetwork]
    /// Neither in nor out: `--internal`.
    var isInternal: Bool
    /// Packets that leave the host get the host's address (com.docker.network.bridge.enable_ip_masquerade).
    var masquerades: Bool
}

/// All that the engine's table holds, as data; pure, so that it is tested without a kernel.
struct FilterModel: Sendable, Equatable {
    let rules: FilterRules
    private(set) var bridges: [String: FilteredBridge] = [:]
    private(set) var ports: Set<PublishedPort> = []

    init(rules: FilterRules) { self.rules = rules }

    enum Change: Sendable {
        case addBridge(FilteredBridge)
        case removeBridge(String)
        case publish([PublishedPort])
        case unpublish([PublishedPort])
    }

    /// What writes the whole table.
    var everything: NFTablesTransaction { rules.everything(self) }

    /// Applies the change and gives what brings the kernel from the old to the new state; empty when nothing changes.
    mutating func apply(_ change: Change) -> NFTablesTransaction {
        switch change {
        case .addBridge(let bridge):
            var transaction = NFTablesTransaction()
            if let old = bridges[bridge.name] {
                if old == bridge { return transaction }
                transaction = rules.bridge(.delete, old)
            }
            bridges[bridge.name] = bridge
            transaction.append(rules.bridge(.add, bridge))
            return transaction
        case .removeBridge(let name):
            guard let old = bridges.removeValue(forKey: name) else { return NFTablesTransaction() }
            return rules.bridge(.delete, old)
        case .publish(let added):
            let new = added.filter { ports.insert($0).inserted }
            return rules.ports(.add, new)
        case .unpublish(let removed):
            let old = removed.filter { ports.remove($0) != nil }
            return rules.ports(.delete, old)
        }
    }
}
