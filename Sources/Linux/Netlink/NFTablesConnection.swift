import CLinux
import Glibc
package import LinuxSystem

/// What a connection to the packet filter needs of its socket beyond datagrams in turn.
package protocol NFTablesTransport: NetlinkTransport {
    /// Makes room for a datagram of `bytes` and for `answers` messages that wait to be read.
    func reserve(bytes: Int, answers: Int)
    /// The next datagram that is there already, nil when none is.
    func receiveQueued() throws(SystemError) -> [UInt8]?
}

extension NetlinkSocket: NFTablesTransport {}

/// A rule as the kernel shows it. An expression of a kind that is not read here is nil.
package struct NFTablesRule: Sendable, Equatable {
    package let handle: UInt64
    package let expressions: [NFTablesExpression?]

    package init(handle: UInt64, expressions: [NFTablesExpression?]) {
        self.handle = handle
        self.expressions = expressions
    }

    init?(_ message: NetlinkMessage) {
        guard Int(message.type) == NFTablesMessage.newRule.type else { return nil }
        let attributes = message.attributes(after: MemoryLayout<NFTablesHeader>.size)
        guard let handle = attributes.network(.ruleHandle, as: UInt64.self) else { return nil }
        self.init(handle: handle, expressions: attributes.list(.ruleExpressions).map { NFTablesExpression($0) })
    }
}

/// A socket to the packet filter of one network namespace. One thread at a time.
package final class NFTablesConnection {
    private let transport: any NFTablesTransport
    /// Questions follow the same rules as rtnetlink's.
    private let queries: RouteConnection
    private var sequence: UInt32 = 0

    package init(transport: any NFTablesTransport) {
        self.transport = transport
        queries = RouteConnection(transport: transport)
    }

    /// Opens a socket in the calling thread's network namespace.
    package convenience init() throws(SystemError) { self.init(transport: try NetlinkSocket(family: NetfilterEvents.family)) }

    /// Carries a transaction out. Returns when it is in force.
    ///
    /// The kernel works a batch off inside of the system call that sends it: whatever it has to say is there when that returns, and nothing is waited for.
    /// - Throws: what the first refused message was about, and why. Nothing has changed then.
    package func commit(_ transaction: NFTablesTransaction) throws(SystemError) {
        let requests = transaction.requests
        guard !requests.isEmpty else { return }
        sequence &+= 1
        let first = sequence
        let begin = Self.delimiter("NFNL_MSG_BATCH_BEGIN", 16, requests.count)
        var bytes = begin.encoded(sequence: first, extraFlags: Int(NLM_F_REQUEST))
        for (index, request) in requests.enumerated() {
            sequence &+= 1
            // Failures are told in any case; beyond them one acknowledgement is enough to know that the batch was read to its end.
            bytes += request.encoded(sequence: sequence, extraFlags: index == requests.count - 1 ? Int(NLM_F_REQUEST | NLM_F_ACK) : Int(NLM_F_REQUEST))
        }
        sequence &+= 1
        bytes += Self.delimiter("NFNL_MSG_BATCH_END", 17, requests.count).encoded(sequence: sequence, extraFlags: Int(NLM_F_REQUEST))
        transport.reserve(bytes: bytes.count, answers: requests.count)
        try transport.send(bytes)

        var failure: SystemError?
        var isAcknowledged = false
        while let datagram = try transport.receiveQueued() {
            for message in NetlinkMessage.split(datagram) where message.type == UInt16(NLMSG_ERROR) {
                // The batch itself (without rights, or when it fails at its very end) is answered under the number of its begin.
                let position = Int(message.sequence &- first)
                guard position <= requests.count else { continue }
                let error = RouteConnection.error(in: message, for: position == 0 ? begin : requests[position - 1])
                if failure == nil { failure = error }
                if position == requests.count { isAcknowledged = true }
            }
        }
        if let failure { throw failure }
        if !isAcknowledged { throw SystemError(call: "NFNL_MSG_BATCH_END", subject: begin.subject, errno: Errno(rawValue: ENODATA)) }
    }

    private static func delimiter(_ name: StaticString, _ type: Int, _ count: Int) -> NetlinkRequest {
        let header = NFTablesHeader(family: 0, resource: NFTablesMessage.subsystem.bigEndian)
        return NetlinkRequest(name, type, on: "transaction of \(count) messages", header: header)
    }

    /// Whether there is a chain of this name. One message, whatever else the tables hold.
    package func hasChain(_ chain: String, in table: NFTablesTable) throws(SystemError) -> Bool {
        var request = table.request(.getChain, on: "chain \(chain) of table \(table)")
        request.append(.chainName, text: chain)
        do {
            _ = try queries.query(request)
            return true
        } catch where error.errno == .noSuchFile {
            return false
        }
    }

    /// The rules of one chain in their order; none when there is no such chain.
    package func rules(of chain: String, in table: NFTablesTable) throws(SystemError) -> [NFTablesRule] {
        var request = table.request(.getRules, on: "rules in chain \(chain) of table \(table)")
        request.append(.ruleChain, text: chain)
        return try queries.dump(request).compactMap { NFTablesRule($0) }
    }
}
