import SwiftProtobuf
import BerthDefaults
import Cgroups
import ContainerdAPI
import Glibc
import GRPCSocket
import LinuxSystem
import NIOCore
import NIOPosix

/// Builds the stores and services from the configuration and runs them until it is told to stop.
struct Supervisor {
    let config: SupervisorConfig

    /// Serves until `stop` returns. Containers are not touched by the end.
    func run(until stop: @Sendable () async -> Void) async throws {
        for key in config.withoutEffect { Log.warn("configuration without effect here", ["key": key]) }
        try joinCgroup()
        try Files.makeDirectories(config.root, mode: 0o700)
        try Files.makeDirectories("\(config.state)/shims", mode: 0o711)
        try makeBundleAlias()
        let rootLock = try DirectoryLock(config.root)
        let stateLock = try DirectoryLock(config.state)
        defer {
            rootLock.release()
            stateLock.release()
        }

        // One loop: gRPC, the shims' sockets and what connects them run without a hop between threads.
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let commitThread = NIOThreadPool(numberOfThreads: 1)
        let diskThreads = NIOThreadPool(numberOfThreads: 4)
        commitThread.start()
        diskThreads.start()

        let database = try MetadataDatabase(path: "\(config.root)/metadata.db", threads: commitThread)
        let events = EventExchange()
        let logs = try ShimLogs()
        let launcher = ShimLauncher(address: config.address, logs: logs)
        let checkpoints = CheckpointDirectories(root: "\(config.root)/checkpoints")
        try checkpoints.removeAll { Files.exists("\(config.state)/shims/\($0.namespace)/\($0.id)") }
        let tasks = TaskManager(
            root: "\(config.state)/shims", launcher: launcher, logs: logs, events: events, group: group, checkpoints: checkpoints)
        let storage = try Storage(
            config: config, database: database, events: events, threads: diskThreads, group: group)

        var handlers = GRPCHandlers(mapError: GRPCErrorMapping.status)
        let services: [any GRPCService] =
            [
                VersionService(),
                IntrospectionService(
                    uuid: try Self.uuid(in: config.root),
                    plugins: IntrospectionService.plugins(root: config.root, platform: Platforms.host, storage.snapshotters),
                    launcher: launcher),
                NamespacesService(database: database, events: events),
                ContainersService(database: database, events: events),
                SandboxStoreService(database: database),
                ImagesService(database: database, events: events, collector: storage.collector),
                LeasesService(database: database, collector: storage.collector),
                EventsService(exchange: events),
                TasksService(database: database, tasks: tasks, checkpoints: TaskCheckpoints(content: storage.content, directories: checkpoints)),
            ] + storage.services
        for service in services { service.register(in: &handlers) }

        // With no task of an earlier life nobody has missed anything: a first subscriber gets what comes, and nothing from before.
        if try tasks.recover() == 0 { events.dropBacklog() }
        let server = GRPCServer(handlers: handlers, group: group)
        let eventServer = try await ShimEventServer(path: config.address + ".ttrpc", group: group) { try tasks.received($0) }
        if let descriptor = ServiceManager.activatedSocket() {
            try await server.listen(descriptor: descriptor)
        } else {
            try makeSocketDirectory()
            try refuseLiveSocket()
            try await server.listen(path: config.address)
        }
        let metrics =
            config.metricsAddress.isEmpty
            ? nil
            : try await MetricsServer.listen(on: config.metricsAddress, group: group) { [config] in
                try await MetricsText(root: config.root, database: database, tasks: tasks).make()
            }
        if let pidFile = config.pidFile { try Files.replace(pidFile, with: Array("\(getpid())\n".utf8), mode: 0o644) }
        ServiceManager.notify("READY=1")
        Log.info("serving", ["address": config.address, "root": config.root, "state": config.state, "version": Defaults.version])

        // Subscribers of an earlier life come back within seconds; what happened meanwhile waits for the first of them.
        let backlogTimer = Task {
            try await Task.sleep(for: .seconds(10))
            events.dropBacklog()
        }
        let restarts = RestartMonitor(database: database, tasks: tasks, events: events, interval: config.restartInterval) { [snapshotters = storage.snapshotters] in
            try snapshotters.get($0.snapshotter).mounts($0.snapshotKey, in: $1)
        }
        let restarting = Task { await restarts.run() }
        await stop()
        backlogTimer.cancel()
        restarting.cancel()

        ServiceManager.notify("STOPPING=1")
        Log.info("stopping; containers go on")
        await server.shutdown()
        await eventServer.close()
        await metrics?.close()
        if let pidFile = config.pidFile { try? Files.remove(pidFile) }
        try database.close()
        try await commitThread.shutdownGracefully()
        try await diskThreads.shutdownGracefully()
    }

    /// Bundles can also be found where containerd keeps them; their own path is shorter, since it goes into the addresses of sockets.
    private func makeBundleAlias() throws {
        let alias = "\(config.state)/io.containerd.runtime.v2.task"
        do throws(SystemError) { try syscall("symlink", on: alias) { symlink("shims", alias) } } catch {
            if error.errno != .fileExists { throw error }
        }
    }

    private func joinCgroup() throws {
        if let score = config.oomScore { try Files.write("\(score)", toExisting: "/proc/self/oom_score_adj") }
        guard !config.cgroup.isEmpty else { return }
        let path = config.cgroup.isAbsolutePath ? config.cgroup : "/\(config.cgroup)"
        let cgroup = try Cgroup(layout: try CgroupLayout.current(), path: path)
        _ = try cgroup.create()
        try cgroup.add(getpid())
    }

    private func makeSocketDirectory() throws {
        guard let slash = config.address.lastSlash else { return }
        try Files.makeDirectories(String(config.address[..<slash]), mode: 0o700)
    }

    /// A socket that still answers belongs to somebody else.
    private func refuseLiveSocket() throws {
        guard (try? UnixSocket.connect(to: config.address)) != nil else { return }
        throw SupervisorError(.failedPrecondition, "address \(config.address) is already served by another process")
    }

    /// Names this installation, made at its first start.
    private static func uuid(in root: String) throws -> String {
        let path = "\(root)/uuid"
        if let text = try? Files.readText(path), !text.isEmpty { return text.trimmingSpaces.split(separator: "\n").first.map(String.init) ?? text }
        let text = try Files.readText("/proc/sys/kernel/random/uuid").split(separator: "\n").first.map(String.init) ?? ""
        try Files.replace(path, with: Array(text.utf8), durable: true)
        return text
    }
}

/// The machine, in the words of image platforms.
enum Platforms {
    static let host: Types_Platform = .with {
        $0.os = "linux"
        #if arch(x86_64)
            $0.architecture = "amd64"
        #elseif arch(arm64)
            $0.architecture = "arm64"
            $0.variant = "v8"
        #else
            #error("name this architecture as Go does")
        #endif
    }
}
