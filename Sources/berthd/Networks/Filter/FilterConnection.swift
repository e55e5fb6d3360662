import LinuxSystem
import Netlink
import Synchronization

/// The packet filter refused a transaction.
struct PacketFilterError: Error, CustomStringConvertible {
    let message: String
    var description: String { "packet filter: \(message)" }
}

/// The engine's one connection to the packet filter, for whichever thread has something to write.
///
/// Blocks for as long as the kernel needs; call it from a thread that may block.
final class FilterConnection: Sendable {
    private let connection: Mutex<NFTablesConnection>

    /// Opens a socket in the calling thread's network namespace.
    init() throws { connection = Mutex(try NFTablesConnection()) }

    /// - Throws: `PacketFilterError`; nothing has changed then.
    func commit(_ transaction: NFTablesTransaction) throws {
        try connection.withLock { connection in
            do throws(SystemError) { try connection.commit(transaction) } catch { throw PacketFilterError(message: "\(error)") }
        }
    }

    /// The rules of a chain, nil when it does not exist.
    func rules(of chain: String, in table: NFTablesTable) throws -> [NFTablesRule]? {
        try connection.withLock { connection in
            try connection.hasChain(chain, in: table) ? connection.rules(of: chain, in: table) : nil
        }
    }
}
