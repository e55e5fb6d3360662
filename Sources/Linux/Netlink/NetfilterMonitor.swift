import CLinux
import Glibc
package import LinuxSystem

/// Tells when somebody else changes the packet filter (netlink group NFNLGRP_NFTABLES).
///
/// The kernel announces every transaction: one message for each object, then NFT_MSG_NEWGEN with the process that made it.
package final class NetfilterMonitor {
    /// One foreign transaction.
    package struct Change: Sendable, Equatable {
        /// The tables that lost or gained something, by name.
        package var tables: Set<String> = []
        /// The chains that were created, by name; whoever adds rules to a foreign chain has to add them again.
        package var newChains: Set<String> = []
        /// Something was removed.
        package var removed = false
    }

    private let socket: NetlinkSocket
    private let ownPID: UInt32
    /// The transaction that is being announced.
    private var pending = Change()
    /// Complete ones, oldest first: a datagram may hold several.
    private var complete: [Change] = []

    /// - Parameter ownPID: transactions of this process are not reported.
    package init(ownPID: UInt32 = UInt32(getpid())) throws(SystemError) {
        socket = try NetlinkSocket(family: 12, groups: [7])  // NETLINK_NETFILTER, NFNLGRP_NFTABLES
        self.ownPID = ownPID
    }

    /// The next transaction of another process, or nil after `milliseconds`.
    ///
    /// When announcements were lost (ENOBUFS) the answer is a change of everything.
    package func next(milliseconds: CInt) throws(SystemError) -> Change? {
        while complete.isEmpty {
            guard try socket.waitReadable(milliseconds: milliseconds) else { return nil }
            do throws(SystemError) {
                for message in NetlinkMessage.split(try socket.receive()) {
                    if let change = take(message) { complete.append(change) }
                }
            } catch where error.errno.rawValue == ENOBUFS {
                pending = Change()
                return Change(tables: ["*"], newChains: ["*"], removed: true)
            }
        }
        return complete.removeFirst()
    }

    private func take(_ message: NetlinkMessage) -> Change? {
        guard message.type >> 8 == 10 else { return nil }  // NFNL_SUBSYS_NFTABLES
        let attributes = message.attributes(after: 4)
        let kind = message.type & 0xFF
        if kind == 15 {  // NFT_MSG_NEWGEN
            defer { pending = Change() }
            let pid = attributes[bytes: .generationPID].map { $0.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } }
            return pid == ownPID || pending.tables.isEmpty ? nil : pending
        }
        // The table's name is attribute 1 of tables, chains, rules and sets alike; a chain's own name is attribute 3.
        if let table = attributes[text: .firstText] { pending.tables.insert(table) }
        switch kind {
        case 3: if let chain = attributes[text: .chainName] { pending.newChains.insert(chain) }  // NFT_MSG_NEWCHAIN
        case 2, 5, 8, 11, 14: pending.removed = true  // NFT_MSG_DEL{TABLE,CHAIN,RULE,SET,SETELEM}
        default: break
        }
        return nil
    }
}

extension NetlinkAttribute {
    static let firstText = NetlinkAttribute("NFTA_TABLE_NAME", 1)
    static let chainName = NetlinkAttribute("NFTA_CHAIN_NAME", 3)
    static let generationPID = NetlinkAttribute("NFTA_GEN_PROC_PID", 2)
}
