import LinuxSystem

/// Reads the kernel's announcements of packet filter changes (netlink group NFNLGRP_NFTABLES) and tells those of other processes.
///
/// Every transaction is announced as one message for each object, then NFT_MSG_NEWGEN with the thread that made it.
package struct NetfilterEvents: Sendable {
    /// NETLINK_NETFILTER and NFNLGRP_NFTABLES: what to open a `NetlinkSocket` with.
    package static let family: CInt = 12
    package static let group: CInt = 7

    /// One foreign transaction.
    package struct Change: Sendable, Equatable {
        /// The tables that lost or gained something, by name.
        package var tables: Set<String> = []
        /// The chains that were created, by name; whoever adds rules to a foreign chain has to add them again.
        package var newChains: Set<String> = []
        /// Something was removed.
        package var removed = false

        package init() {}
    }

    private let isOwn: @Sendable (_ thread: UInt32) -> Bool
    /// The transaction that is being announced.
    private var pending = Change()

    /// - Parameter isOwn: whether a thread belongs to this process: its transactions are not reported. The kernel tells the thread, not the process.
    package init(isOwn: @escaping @Sendable (_ thread: UInt32) -> Bool = NetfilterEvents.isThreadOfThisProcess) { self.isOwn = isOwn }

    @Sendable package static func isThreadOfThisProcess(_ thread: UInt32) -> Bool { Files.exists("/proc/self/task/\(thread)") }

    /// Takes one datagram; gives the foreign transactions that it completes.
    package mutating func take(_ datagram: [UInt8]) -> [Change] { NetlinkMessage.split(datagram).compactMap { take($0) } }

    private mutating func take(_ message: NetlinkMessage) -> Change? {
        guard message.type >> 8 == 10 else { return nil }  // NFNL_SUBSYS_NFTABLES
        let attributes = message.attributes(after: 4)
        let kind = message.type & 0xFF
        if kind == 15 {  // NFT_MSG_NEWGEN
            defer { pending = Change() }
            guard !pending.tables.isEmpty else { return nil }
            let thread = attributes[bytes: .generationPID].map { $0.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } }
            return thread.map(isOwn) == true ? nil : pending
        }
        // The table's name is attribute 1 of tables, chains, rules and sets alike; a chain's own name is attribute 3.
        if let table = attributes[text: .tableName] { pending.tables.insert(table) }
        switch kind {
        case 3: if let chain = attributes[text: .chainName] { pending.newChains.insert(chain) }  // NFT_MSG_NEWCHAIN
        case 2, 5, 8, 11, 14: pending.removed = true  // NFT_MSG_DEL{TABLE,CHAIN,RULE,SET,SETELEM}
        default: break
        }
        return nil
    }
}

extension NetlinkAttribute {
    static let tableName = NetlinkAttribute("NFTA_TABLE_NAME", 1)
    static let chainName = NetlinkAttribute("NFTA_CHAIN_NAME", 3)
    static let generationPID = NetlinkAttribute("NFTA_GEN_PROC_PID", 2)
}
