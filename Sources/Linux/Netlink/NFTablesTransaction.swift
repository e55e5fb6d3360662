import CLinux

/// A chain. With a hook the kernel sends packets through it; without one other chains jump to it.
package struct NFTablesChain: Sendable {
    /// NF_INET_….
    package enum Hook: UInt32, Sendable { case prerouting = 0, input = 1, forward = 2, output = 3, postrouting = 4 }
    package enum Kind: String, Sendable { case filter, nat }

    /// Where a base chain hangs. Its policy is to accept.
    package struct Base: Sendable {
        let kind: Kind
        let hook: Hook
        /// Chains of one hook run in rising order.
        let priority: Int32

        package init(_ kind: Kind, _ hook: Hook, priority: Int32) {
            self.kind = kind
            self.hook = hook
            self.priority = priority
        }
    }

    package let name: String
    let base: Base?

    package init(_ name: String, base: Base? = nil) {
        self.name = name
        self.base = base
    }
}

/// Changes that the kernel carries out together: all of them or none.
package struct NFTablesTransaction: Sendable {
    package private(set) var requests: [NetlinkRequest] = []
    private var setCount: UInt32 = 0

    package init() {}

    package var isEmpty: Bool { requests.isEmpty }

    package mutating func append(_ other: NFTablesTransaction) {
        requests += other.requests
        setCount += other.setCount
    }

    static let create = Int(NLM_F_CREATE)

    // MARK: - Tables, chains, sets

    /// Makes the table if it is not there.
    package mutating func add(_ table: NFTablesTable) {
        var request = table.request(.newTable, on: "table \(table)")
        request.append(.tableFlags, network: UInt32(0))
        requests.append(request)
    }

    /// Deletes the table with all that is in it. It must be there.
    package mutating func delete(_ table: NFTablesTable) { requests.append(table.request(.deleteTable, on: "table \(table)")) }

    package mutating func add(_ chain: NFTablesChain, in table: NFTablesTable) {
        var request = table.request(.newChain, flags: Self.create, on: "chain \(chain.name) of table \(table)")
        request.append(.chainName, text: chain.name)
        if let base = chain.base {
            request.append(.chainType, text: base.kind.rawValue)
            request.append(.chainPolicy, network: UInt32(1))  // NF_ACCEPT
            request.group(.chainHook) { hook in
                hook.append(.hookNumber, network: base.hook.rawValue)
                hook.append(.hookPriority, network: base.priority)
            }
        }
        requests.append(request)
    }

    package mutating func add(_ set: NFTablesSet, in table: NFTablesTable) {
        setCount += 1
        requests.append(set.encode(in: table, identifier: setCount))
    }

    // MARK: - Elements

    package mutating func add(_ elements: [NFTablesElement], to set: String, in table: NFTablesTable) {
        appendElements(.newElements, flags: Self.create, elements, set, table)
    }

    /// Takes elements out of a set. Each must be there.
    package mutating func delete(_ elements: [NFTablesElement], from set: String, in table: NFTablesTable) {
        appendElements(.deleteElements, flags: 0, elements, set, table)
    }

    /// An attribute's length has sixteen bits, so many elements are several messages.
    private static let maximumElementBytes = 60_000

    private mutating func appendElements(_ message: NFTablesMessage, flags: Int, _ elements: [NFTablesElement], _ set: String, _ table: NFTablesTable) {
        var rest = elements[...]
        while !rest.isEmpty {
            var size = 0
            let chunk = rest.prefix { element in
                size += element.encodedSize
                return size <= Self.maximumElementBytes
            }
            rest = rest.dropFirst(chunk.count)
            let number = chunk.count == 1 ? "an element" : "\(chunk.count) elements"
            var request = table.request(message, flags: flags, on: "\(number) of set \(set) of table \(table)")
            request.append(.elementsSet, text: set)
            request.group(.elements) { list in for element in chunk { element.encode(into: &list) } }
            requests.append(request)
        }
    }

    // MARK: - Rules

    /// Adds a rule behind the chain's last.
    package mutating func append(rule: [NFTablesExpression], to chain: String, in table: NFTablesTable) {
        addRule(rule, flags: Self.create | Int(NLM_F_APPEND), chain, table)
    }

    /// Adds a rule before the chain's first.
    package mutating func insert(rule: [NFTablesExpression], into chain: String, in table: NFTablesTable) { addRule(rule, flags: Self.create, chain, table) }

    private mutating func addRule(_ rule: [NFTablesExpression], flags: Int, _ chain: String, _ table: NFTablesTable) {
        var request = table.request(.newRule, flags: flags, on: "rule in chain \(chain) of table \(table)")
        request.append(.ruleChain, text: chain)
        request.group(.ruleExpressions) { list in for expression in rule { expression.encode(into: &list) } }
        requests.append(request)
    }

    package mutating func deleteRule(handle: UInt64, from chain: String, in table: NFTablesTable) {
        var request = table.request(.deleteRule, on: "rule \(handle) in chain \(chain) of table \(table)")
        request.append(.ruleChain, text: chain)
        request.append(.ruleHandle, network: handle)
        requests.append(request)
    }
}

extension NetlinkAttribute {
    fileprivate static let elementsSet = NetlinkAttribute("NFTA_SET_ELEM_LIST_SET", 2)
    fileprivate static let elements = NetlinkAttribute("NFTA_SET_ELEM_LIST_ELEMENTS", 3)
}
