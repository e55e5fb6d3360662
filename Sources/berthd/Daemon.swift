import BerthDefaults
import GRDB
import GRPCSocket
import Glibc
import LinuxSystem
import NIOCore
import NIOPosix

/// Builds the services, brings them up in order, and runs them until the process is told to end.
///
/// Order at start-up: directories, supervisor, database, networks, what runs (reconciled), and only then the sockets: the first answer is a true one.
struct Daemon: Sendable {
    private let config: DaemonConfig
    private let group: MultiThreadedEventLoopGroup

    init(_ config: DaemonConfig) {
        self.config = config
        group = .singleton
    }

    func run() async throws {
        for notice in config.notices { Log.warning(notice) }
        try prepareDirectories()
        let lock = try DaemonLock(directory: config.dataRoot + "/daemon")
        defer { _ = lock }
        let server = HTTPServer(group: group, config: config)
        try await server.listen()
        do { try await run(server) } catch {
            await server.close()
            throw error
        }
    }

    private func run(_ server: HTTPServer) async throws {
        var client = SupervisorClient(
            grpc: GRPCClient(path: config.supervisorSocket, group: group, patience: .seconds(10)), namespace: config.containerdNamespace, snapshotter: config.storageDriver)
        let supervisor = config.containerd.isEmpty ? SupervisorProcess(config: config, client: client) : nil
        try await supervisor?.ensureRunning()
        client.snapshotter = try await client.chooseSnapshotter(config)

        let database = try DaemonDatabase(path: config.databasePath, schemas: [ContainerSchema.self, NetworkSchema.self, VolumeSchema.self, ImageUseSchema.self])
        let engineID = try EngineID.load(database)
        let events = EventHub()
        let networks = try NetworkService(configuration: NetworkConfiguration(config, engineID: engineID), database: database, events: events)
        let volumes = VolumeService(root: config.volumesRoot, database: database, events: events)
        let store = ContainerStore(database: database)
        let images = ImageService(supervisor: client, users: store, events: events, registries: try RegistrySettings(config))
        let policy = ImagePolicyService(policy: config.imagePolicy, images: images, uses: ImageUses(database: database), dataRoot: config.dataRoot)
        let environment = ContainerEnvironment(
            config: config, store: store, supervisor: client, images: images, networks: networks, volumes: volumes, events: events)
        let containers = ContainerService(environment)
        let execs = ExecService(environment)
        let monitor = ExitMonitor(service: containers, execs: execs)
        for container in try environment.store.load() { environment.store.add(container) }
        await containers.removeStrays()
        await networks.setLookup(NetworkLookup(service: containers))
        try await networks.start()
        let builds = BuildService(containers: containers, images: images)
        let unfinishedBuilds = builds.strays()
        try await volumes.start(containers: Set(environment.store.all.map(\.id)))
        do { try await images.client.endAbandonedLeases() } catch { Log.warning("leases of an earlier life stay for a day: \(error)") }

        let router = makeRouter(environment, containers, execs, images: images, networks: networks, volumes: volumes, policy: policy, builds: builds, engineID: engineID)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            let (ready, isReady) = AsyncStream.makeStream(of: Void.self)
            tasks.addTask { await networks.run() }
            if let supervisor { tasks.addTask { await supervisor.run() } }
            tasks.addTask { await monitor.run { isReady.finish() } }
            for await _ in ready {}
            let running = environment.store.all.filter(\.isRunning).map(\.record)
            try await networks.restore(running.map { ($0.networkContainer, $0.attachment, $0.lifecycle.pid) })
            try await server.serve(EngineAPI(router: router))
            if !config.pidfile.isEmpty { try Files.replace(config.pidfile, with: Array("\(getpid())\n".utf8), mode: 0o644) }
            Log.info("berthd \(Defaults.version) serves the API \(APIVersion.newest) on \(config.hosts.joined(separator: ", "))")
            tasks.addTask { await monitor.startWanted() }
            tasks.addTask { await policy.run() }
            tasks.addTask { await builds.remove(unfinishedBuilds) }
            await ShutdownSignal.wait()
            Log.info("berthd ends; containers go on running")
            await server.close()
            if !environment.store.all.contains(where: \.isRunning) { await networks.withdraw() }
            if !config.pidfile.isEmpty { unlink(config.pidfile) }
            tasks.cancelAll()
        }
    }

    private func prepareDirectories() throws {
        let mask = umask(0o077)
        defer { umask(mask) }
        // Nobody but root looks into the data: 0711 lets the volumes' paths be passed through, not read.
        try Files.makeDirectories(config.dataRoot, mode: 0o711)
        try Files.makeDirectories(config.dataRoot + "/daemon", mode: 0o711)
        try Files.makeDirectories(config.containersRoot, mode: 0o711)
        try DirectoryFD(path: config.containersRoot).spreadDirectories()
        try Files.makeDirectories(config.execRoot, mode: 0o711)
        try Files.makeDirectories(config.execRoot + "/io", mode: 0o700)
    }

    private func makeRouter(
        _ environment: ContainerEnvironment, _ containers: ContainerService, _ execs: ExecService, images: ImageService, networks: NetworkService, volumes: VolumeService,
        policy: ImagePolicyService, builds: BuildService, engineID: String
    ) -> Router {
        var router = Router()
        let logs = LogReader()
        ContainerRoutes(service: containers, execs: execs, attach: AttachService(environment: environment, logs: logs), logs: logs).register(in: &router)
        SystemRoutes(info: SystemInformation(environment: environment, engineID: engineID)).register(in: &router)
        ImageRoutes.register(in: &router, service: images)
        ImageRoutes.registerCommit(in: &router, service: images, environment: environment)
        BuildRoutes.register(in: &router, service: builds, events: environment.events)
        ImagePolicyRoutes.register(in: &router, service: policy)
        NetworkRoutes.register(in: &router, service: networks)
        VolumeRoutes.register(in: &router, service: volumes)
        FileRoutes(service: FileService(environment: environment)).register(in: &router)
        UnbuiltRoutes.register(in: &router)
        return router
    }
}

/// One daemon per data root: a lock that the kernel gives up when the process ends, however it ends.
struct DaemonLock: ~Copyable {
    private let file: OwnedFD

    init(directory: String) throws {
        let opened = try Files.open(directory + "/lock", O_RDWR | O_CREAT, mode: 0o600)
        let raw = opened.rawValue
        do { try syscall("flock", on: directory + "/lock") { flock(raw, LOCK_EX | LOCK_NB) } } catch {
            throw DaemonError.conflict("another berthd uses \(directory)")
        }
        file = opened
    }
}

/// The engine's identity, made once.
enum EngineID {
    static func load(_ database: DaemonDatabase) throws -> String {
        if let id = try database.readAtStart({ db in try String.fetchOne(db, sql: "SELECT value FROM setting WHERE name = 'engine-id'") }) { return id }
        let hex = Identifier.random().prefix(32)
        func part(_ from: Int, _ count: Int) -> Substring { hex.dropFirst(from).prefix(count) }
        let id = [part(0, 8), part(8, 4), part(12, 4), part(16, 4), part(20, 12)].joined(separator: "-")
        try database.writeAtStart { db in try db.execute(literal: "INSERT INTO setting (name, value) VALUES ('engine-id', \(id))") }
        return id
    }
}

/// SIGTERM and SIGINT, taken synchronously by the main thread: no handler runs in foreign code.
enum ShutdownSignal {
    private static let requests = AsyncStream.makeStream(of: Void.self)

    /// Blocks the signals in this thread and all that are started later. Before the first thread is started.
    static func block() {
        var set = set()
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
    }

    /// Returns at the first signal.
    static func wait() async { for await _ in requests.stream { return } }

    /// The main thread's life: tells `wait` of the first signal, and ends the process at the second. Meanwhile it gives back memory that nobody uses.
    static func serve() -> Never {
        var memory = IdleMemory()
        _ = memory.rest(untilOneOf: set())
        requests.continuation.yield()
        exit(128 + memory.rest(untilOneOf: set()))
    }

    private static func set() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGINT)
        return set
    }
}
