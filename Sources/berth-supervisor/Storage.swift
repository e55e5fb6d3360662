import GRPCSocket
import LinuxSystem
import NIOCore
import NIOPosix

/// Content, snapshots and what moves them: built together because they share the database and the threads that wait for the disk.
struct Storage {
    /// The names of the snapshotters that work on this machine.
    let snapshotters: [String]
    let services: [any GRPCService]
    /// Removes what nothing refers to.
    let collect: @Sendable () async throws -> Void

    init(root: String, database: MetadataDatabase, events: EventExchange, threads: NIOThreadPool, group: any EventLoopGroup) throws {
        snapshotters = []
        services = []
        collect = {}
    }
}
