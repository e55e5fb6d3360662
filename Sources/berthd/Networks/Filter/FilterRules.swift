import Netlink

/// What is written into the engine's table: `inet berth`, and for a second engine on the machine one with the name of its bridge.
///
/// The sets, chains and rules of the empty table are in `FilterSkeleton`; this is the table as a whole and what changes in its sets.
struct FilterRules: Sendable, Equatable {
    /// Without its family.
    let name: String

    /// - Parameter bridge: name of the default bridge's link. Engines that share a machine differ in it.
    init(bridge: String) { name = bridge == "berth0" || bridge == "none" ? "berth" : "berth-\(bridge)" }

    var table: NFTablesTable { NFTablesTable(.inet, name) }

    enum Verb: Sendable { case add, delete }

    /// Replaces the table, whatever it held.
    func everything(_ model: FilterModel) -> NFTablesTransaction {
        var transaction = absence
        FilterSkeleton.write(table, into: &transaction)
        for bridge in model.bridges.values.sorted(by: { $0.name < $1.name }) { transaction.append(self.bridge(.add, bridge)) }
        transaction.append(ports(.add, Array(model.ports)))
        return transaction
    }

    /// Takes the table away, whether it is there or not.
    var absence: NFTablesTransaction {
        var transaction = NFTablesTransaction()
        transaction.add(table)
        transaction.delete(table)
        return transaction
    }

    func bridge(_ verb: Verb, _ bridge: FilteredBridge) -> NFTablesTransaction {
        let name = NFTablesElement.name(bridge.name)
        var transaction = NFTablesTransaction()
        change(verb, "bridges", [NFTablesElement([name])], &transaction)
        change(verb, "within", [NFTablesElement([name, name])], &transaction)
        if bridge.isInternal { change(verb, "internal", [NFTablesElement([name])], &transaction) }
        for subnet in bridge.subnets {
            let family = subnet.family == .v4 ? "4" : "6"
            change(verb, "own\(family)", [.range([name], subnet)], &transaction)
            if bridge.masquerades && !bridge.isInternal { change(verb, "masquerade\(family)", NFTablesElement.range(subnet), &transaction) }
        }
        return transaction
    }

    func ports(_ verb: Verb, _ ports: [PublishedPort]) -> NFTablesTransaction {
        var elements: [String: [NFTablesElement]] = [:]
        for port in ports {
            let family = port.hostAddress.family == .v4 ? "4" : "6"
            let key = [[port.proto.number], Self.bytes(port.hostPort)]
            // A key alone identifies what to delete; the value belongs to an add.
            let value = verb == .add ? [port.containerAddress.bytes, Self.bytes(port.containerPort)] : nil
            if port.hostAddress.isUnspecified {
                elements["publish\(family)any", default: []].append(NFTablesElement(key, value: value))
            } else {
                elements["publish\(family)", default: []].append(NFTablesElement([port.hostAddress.bytes] + key, value: value))
            }
        }
        var transaction = NFTablesTransaction()
        for (map, elements) in elements.sorted(by: { $0.key < $1.key }) { change(verb, map, elements, &transaction) }
        return transaction
    }

    private func change(_ verb: Verb, _ set: String, _ elements: [NFTablesElement], _ transaction: inout NFTablesTransaction) {
        switch verb {
        case .add: transaction.add(elements, to: set, in: table)
        case .delete: transaction.delete(elements, from: set, in: table)
        }
    }

    /// In network order.
    private static func bytes(_ port: UInt16) -> [UInt8] { [UInt8(port >> 8), UInt8(truncatingIfNeeded: port)] }
}

extension PortProtocol {
    /// IPPROTO_….
    fileprivate var number: UInt8 {
        switch self {
        case .tcp: 6
        case .udp: 17
        case .sctp: 132
        }
    }
}
