import GRPCSocket
import LinuxSystem
import NIOCore
import NIOPosix

/// Content, snapshots and what moves them: built together because they share the database and the threads that wait for the disk.
struct Storage {
    /// The names of the snapshotters that work on this machine.
    let snapshotters: [String]
    let services: [any GRPCService]
    let content: ContentStore
    let registry: SnapshotterRegistry
    /// Removes what nothing refers to.
    let collector: GarbageCollector

    /// Opens the stores and takes away what an earlier life has left half done.
    init(
        config: SupervisorConfig, database: MetadataDatabase, events: EventExchange, threads: NIOThreadPool, group: any EventLoopGroup
    ) throws {
        let root = config.root
        content = try ContentStore(root: "\(root)/content", database: database.pool)
        let overlay = try OverlaySnapshotter(root: "\(root)/snapshots/overlay", database: database, pool: threads)
        try content.removeUnknownFiles()
        try content.removeIngests(olderThan: .seconds(7 * 86400))
        try overlay.removeUnfinishedLayers()
        try overlay.cleanup()
        collector = GarbageCollector(database: database, content: content, overlay: overlay)
        database.reserve.restore()
        let streams = StreamRegistry()
        registry = SnapshotterRegistry(overlay)
        let transfers = TransferEngine(
            content: content, overlay: overlay, database: database, events: events, collector: collector, streams: streams, threads: threads,
            registryDirectories: config.registryDirectories, limits: config.limits)
        snapshotters = registry.names
        services = [
            ContentService(store: content, events: events, threads: threads),
            SnapshotsService(snapshotters: registry, events: events, threads: threads),
            DiffService(content: content, overlay: overlay, threads: threads),
            StreamingService(streams: streams),
            TransferService(engine: transfers),
        ]
    }
}
