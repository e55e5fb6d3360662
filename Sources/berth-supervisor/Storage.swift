import GRPCSocket
import LinuxSystem
import NIOCore
import NIOPosix

/// Content, snapshots and what moves them: built together because they share the database and the threads that wait for the disk.
struct Storage {
    /// The snapshotters that work on this machine.
    let snapshotters: SnapshotterRegistry
    let services: [any GRPCService]
    let content: ContentStore
    /// Removes what nothing refers to.
    let collector: GarbageCollector

    /// Opens the stores and takes away what an earlier life has left half done.
    init(
        config: SupervisorConfig, database: MetadataDatabase, events: EventExchange, threads: NIOThreadPool, group: any EventLoopGroup
    ) throws {
        let root = config.root
        content = try ContentStore(root: "\(root)/content", database: database.pool)
        snapshotters = try SnapshotterRegistry(root: "\(root)/snapshots", chosen: config.storageDriver, database: database, pool: threads)
        try content.removeUnknownFiles()
        try content.removeIngests(olderThan: .seconds(7 * 86400))
        for snapshotter in snapshotters.all {
            try snapshotter.removeUnfinishedLayers()
            try snapshotter.cleanup()
        }
        collector = GarbageCollector(database: database, content: content, snapshotters: snapshotters)
        database.reserve.restore()
        // What an earlier life has removed and had no time to collect.
        collector.schedule()
        let streams = StreamRegistry()
        let transfers = TransferEngine(
            content: content, snapshotters: snapshotters, database: database, events: events, collector: collector, streams: streams, threads: threads,
            registryDirectories: config.registryDirectories, limits: config.limits)
        services = [
            ContentService(store: content, events: events, threads: threads),
            SnapshotsService(snapshotters: snapshotters, events: events, threads: threads),
            DiffService(content: content, snapshotters: snapshotters, threads: threads),
            StreamingService(streams: streams),
            TransferService(engine: transfers),
        ]
    }
}
