import Netlink

/// The accept rules for our bridges in Docker's chain for its users, DOCKER-USER of `ip filter` (iptables-nft).
enum DockerUserChain {
    static let name = "DOCKER-USER"
    static let tables = [NFTablesTable(.ip, "filter"), NFTablesTable(.ip6, "filter")]

    /// Adds what is missing to the chain's head, for both directions of each bridge.
    ///
    /// The rules have no comment: iptables, which owns the table, would not read one that it has not written. A bridge that a rule of the chain names already,
    /// whoever wrote it, is left to that rule.
    static func missing(_ table: NFTablesTable, bridges: [String], rules: [NFTablesRule]) -> NFTablesTransaction {
        var transaction = NFTablesTransaction()
        for bridge in bridges {
            for direction in directions where !rules.contains(where: { names($0.expressions, direction, bridge) }) {
                let phrase = direction == .incomingInterfaceName ? RulePhrase.incoming(bridge) : .outgoing(bridge)
                transaction.insert(rule: phrase.steps + RulePhrase.count.steps + RulePhrase.accept.steps, into: name, in: table)
            }
        }
        return transaction
    }

    /// Deletes the rules of a bridge that is no more: those that say what ours say.
    static func stale(_ table: NFTablesTable, bridge: String, rules: [NFTablesRule]) -> NFTablesTransaction {
        var transaction = NFTablesTransaction()
        for rule in rules where rule.expressions.count == 4 && rule.expressions[2] == .counter && rule.expressions[3] == .verdict(.accept) {
            guard directions.contains(where: { names(rule.expressions.prefix(2), $0, bridge) }) else { continue }
            transaction.deleteRule(handle: rule.handle, from: name, in: table)
        }
        return transaction
    }

    private static let directions: [NFTablesExpression.MetaKey] = [.incomingInterfaceName, .outgoingInterfaceName]

    /// Whether two steps of a rule, one behind the other, compare the interface of a direction with this name.
    ///
    /// iptables compares the name with its NUL, nft with all zeros behind it; without any it is the beginning of a name (`br-*`).
    private static func names(_ steps: some Collection<NFTablesExpression?>, _ direction: NFTablesExpression.MetaKey, _ bridge: String) -> Bool {
        zip(steps, steps.dropFirst()).contains { step, next in
            guard case .meta(direction, let loaded) = step, case .compare(loaded, .equal, let bytes) = next, bytes.last == 0 else { return false }
            return bytes.prefix { $0 != 0 }.elementsEqual(bridge.utf8)
        }
    }
}
