import CNFTables
import Synchronization

/// The packet filter refused a transaction: what libnftables printed about it.
struct PacketFilterError: Error, CustomStringConvertible {
    let message: String
    var description: String { "packet filter: \(message)" }
}

/// One libnftables context, kept open: making one costs more than most transactions.
///
/// Blocks for as long as the kernel needs; call it from a thread that may block.
final class NFTablesContext: Sendable {
    // Safety: the pointer is only used inside the lock, so that one thread at a time is in the library.
    private struct Handle: @unchecked Sendable { let pointer: OpaquePointer }
    private let handle: Mutex<Handle>

    /// - Throws: `PacketFilterError` when the library cannot start, as without CAP_NET_ADMIN.
    init() throws {
        guard let pointer = nft_ctx_new(UInt32(NFT_CTX_DEFAULT)) else { throw PacketFilterError(message: "cannot open libnftables") }
        nft_ctx_buffer_output(pointer)
        nft_ctx_buffer_error(pointer)
        nft_ctx_output_set_flags(pointer, UInt32(NFT_CTX_OUTPUT_HANDLE))
        handle = Mutex(Handle(pointer: pointer))
    }

    deinit { handle.withLock { nft_ctx_free($0.pointer) } }

    /// Carries the commands out as one atomic transaction: all of them or none.
    /// - Returns: what `list` commands print.
    @discardableResult
    func run(_ commands: String) throws -> String {
        try handle.withLock { handle in
            let code = nft_run_cmd_from_buffer(handle.pointer, commands)
            let output = nft_ctx_get_output_buffer(handle.pointer).map { String(cString: $0) } ?? ""
            let errors = nft_ctx_get_error_buffer(handle.pointer).map { String(cString: $0) } ?? ""
            guard code == 0 else { throw PacketFilterError(message: Self.summary(of: errors)) }
            return output
        }
    }

    /// The first lines of what the library says, on one line: behind them it repeats the whole transaction.
    private static func summary(of errors: String) -> String {
        let lines = errors.split(separator: "\n").prefix(3).map { $0.count > 300 ? String($0.prefix(300)) + "…" : String($0) }
        return lines.isEmpty ? "transaction refused" : lines.joined(separator: " ")
    }
}
