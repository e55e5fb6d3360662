import BerthDefaults
import DockerAPI
import Glibc
import LinuxSystem
import NIOCore
import OCISpec

extension ContainerService {
    /// Starts a container. 304 when it runs already.
    func start(_ nameOrID: String) async throws {
        let container = try store.find(nameOrID)
        try await start(container, byPolicy: false)
    }

    /// `byPolicy`: the restart policy's doing, which counts and does not reset the back-off.
    func start(_ container: ManagedContainer, byPolicy: Bool) async throws {
        try await container.serially {
            guard !container.isRemoved else { throw DaemonError.notFound("No such container: \(container.id)") }
            // Somebody stopped it while this waited for the lock.
            if byPolicy { try Task.checkCancellation() }
            try container.lifecycle.requireStartable()
            if !byPolicy { container.setRestart(nil, delay: nil) }
            let began = WallClock.now()
            do {
                try await launchOnceMore(container, began: began, byPolicy: byPolicy)
            } catch {
                throw await undoStart(container, error, byPolicy: byPolicy)
            }
            environment.publish("start", container.record)
            HealthMonitor(environment: environment).begin(container)
        }
    }

    /// The supervisor may be replaced in the middle of a start: what it had made is taken back, and the start begins anew. Not when clients are attached
    /// already: what they have seen of the first attempt would not be true.
    private func launchOnceMore(_ container: ManagedContainer, began: WallClock, byPolicy: Bool) async throws {
        for _ in 0..<Self.attempts {
            let clients = container.pendingCount
            do {
                return try await launch(container, began: began, byPolicy: byPolicy)
            } catch let error as DaemonError where error.code == .unavailable && container.pendingCount == clients {
                Log.warning("the supervisor went away while container \(container.shortID) was started: starting it again")
                await takeBack(container)
            }
        }
        try await launch(container, began: began, byPolicy: byPolicy)
    }

    private static let attempts = 3

    private func takeBack(_ container: ManagedContainer) async {
        try? await supervisor.kill(id: container.id, signal: UInt32(SIGKILL), all: true)
        // It ends a moment after the kill.
        for _ in 0..<100 {
            do { try await collectTask(of: container) } catch let error as DaemonError where error.code == .failedPrecondition {
                try? await Task.sleep(for: .milliseconds(20))
                continue
            } catch { Log.warning("the task of container \(container.shortID) stays for the next start: \(error)") }
            break
        }
        await environment.networks.release(container.id)
        HostMounts(environment.config).releaseContainer(container.id)
        environment.publishVolumes("unmount", container.record)
    }

    /// Order matters: what can fail without a process comes first; the process is created, with its network built meanwhile, and the attachers connected before
    /// it is let go; the record is committed before anybody hears of it.
    private func launch(_ container: ManagedContainer, began: WallClock, byPolicy: Bool) async throws {
        var record = container.record
        let host = try networkOwner(of: record)
        if let host { (record.config.Hostname, record.config.Domainname) = (host.config.Hostname, host.config.Domainname) }
        let runtime = try environment.runtime(named: record.hostConfig.Runtime ?? "")
        let volumePaths = try await pathsOfVolumes(record)
        environment.publishVolumes("mount", record)
        let member = record.networkContainer
        let attachment = try await environment.networks.prepare(member)
        async let making = environment.networks.makeSandbox(member)
        try writeFiles(of: record, attachment)
        let mounts = try await supervisor.snapshotMounts(key: record.id, in: record.snapshotter)
        let rootfs = record.autoRemove ? VolatileLayer.mounts(mounts) : mounts
        let sandbox = try await making
        async let connecting = environment.networks.connect(member, attachment: attachment, sandbox: sandbox)
        let context = try specContext(for: record, filesOf: host?.id ?? record.id, rootfs: rootfs, volumePaths: volumePaths, networkPath: sandbox?.path)
        let spec = try SpecBuilder(record: record, context: context).build()
        try Files.makeDirectories("\(environment.config.execRoot)/io", mode: 0o700)
        // Where it failed, the record is replaced.
        try? await container.collected()
        container.mayHaveTask = true
        try await supervisor.createContainer(
            id: record.id, image: (try? ImageReference(parsing: record.image.reference))?.withDefaultTag.description ?? record.image.reference, spec: Array(JSONBody.encode(spec).readableBytesView), snapshotter: record.snapshotter, runtime: runtime, labels: [:])
        let pid = try await createTask(record, rootfs, runtime)
        // The process has joined it.
        withExtendedLifetime(sandbox) {}
        let connected = try await connecting
        if connected.hostsFile != attachment.hostsFile || connected.resolvConf != attachment.resolvConf { try writeFiles(of: record, connected) }
        record.attachment = connected
        record.lifecycle.didStart(pid: pid, at: began, countingRestart: byPolicy)
        let committed = record
        await connect(container.takePending(), to: record.id)
        // The disk is waited for while the process starts: a crash in between leaves a task that reconciliation adopts.
        async let saved: Void = store.save(committed)
        try await startTask(record.id)
        try await saved
        container.mutate {
            // What `rename` and `update` may have changed is not touched: they wait for the same lock.
            $0 = committed
        }
    }

    private func createTask(_ record: ContainerRecord, _ rootfs: [RootfsMount], _ runtime: SupervisorClient.RuntimeChoice) async throws -> Int32 {
        do {
            return try await supervisor.createTask(id: record.id, rootfs: rootfs, stdio: stdio(of: record), runtime: runtime)
        } catch let error as DaemonError {
            // containerd words the shim's part of it; our supervisor passes on what the shim said.
            let part = error.message.hasPrefix("OCI runtime create failed: ") ? "failed to create shim task: " : ""
            throw DaemonError(error.code, "failed to create task for container: \(part)\(error.message)")
        }
    }

    /// A start whose answer was lost may have been carried out: a process that has run must not run a second time.
    private func startTask(_ id: String) async throws {
        do {
            try await supervisor.startTask(id: id)
        } catch let error as DaemonError where error.code == .unavailable {
            switch try? await supervisor.task(id: id).status {
            case .running, .paused, .stopped: return
            case .created, .unknown, nil: throw error
            }
        }
    }

    /// Before the start: an attacher misses nothing of the output.
    private func connect(_ pending: [ManagedContainer.PendingAttach], to id: String) async {
        let socket = environment.attachSocket(of: id)
        await withTaskGroup(of: Void.self) { group in
            for attach in pending { group.addTask { await attach.connect(socket) } }
        }
    }

    /// Takes back whatever was made, records why, and gives the error to answer with. Where the policy wanted the start and the supervisor was the trouble, the
    /// policy stands, and whoever began it tries again: recorded at once, so that a stop in between finds something to stop.
    private func undoStart(_ container: ManagedContainer, _ error: any Error, byPolicy: Bool) async -> any Error {
        let id = container.id
        let failure = StartFailure(error)
        await takeBack(container)
        for attach in container.takePending() { attach.cancel() }
        let isPostponed = byPolicy && failure.error.code == .unavailable
        container.mutate {
            $0.lifecycle.startFailed(failure.error.message, exitCode: failure.exitCode, at: .now())
            if isPostponed { $0.lifecycle.restartWasPostponed() }
        }
        let record = container.record
        do { try await store.save(record) } catch { Log.error("cannot store the failed start of \(id): \(error)") }
        if isPostponed { return failure.error }
        container.answerExitWaiters(exitCode: failure.exitCode)
        if record.autoRemove {
            do { try await removeLocked(container, removingVolumes: true) } catch { Log.error("cannot remove container \(id) after its start failed: \(error)") }
        }
        return failure.error
    }

    /// Gives up the stopped task and lets its record go: a stock containerd finds the task by the record. Returns when the task is gone; the record is on its
    /// way then, and `ManagedContainer.collected` says when it is gone as well.
    func collectTask(of container: ManagedContainer) async throws {
        // Where it failed, it is repeated here.
        try? await container.collected()
        guard container.mayHaveTask else { return }
        _ = try await supervisor.deleteTask(id: container.id)
        // A shim that was killed has left it.
        unlink(environment.attachSocket(of: container.id))
        container.collect { [supervisor] in
            try await supervisor.deleteContainer(id: container.id)
            container.mayHaveTask = false
        }
    }

    private func pathsOfVolumes(_ record: ContainerRecord) async throws -> [String: String] {
        var paths: [String: String] = [:]
        for mount in record.mounts where mount.kind == .volume {
            if let name = mount.volumeName { paths[name] = try await environment.volumes.path(of: name) }
        }
        for mount in record.mounts where mount.kind == .bind && !mount.fromMountsAPI && !Files.exists(mount.source) {
            try Files.makeDirectories(mount.source)
        }
        return paths
    }

    private func writeFiles(of record: ContainerRecord, _ attachment: NetworkAttachment) throws {
        let directory = environment.directory(of: record.id)
        if let hosts = attachment.hostsFile { try write(hosts, to: directory + "/hosts") }
        if let resolvConf = attachment.resolvConf { try write(resolvConf, to: directory + "/resolv.conf") }
    }

    func stdio(of record: ContainerRecord) -> StdioURIs {
        let uri = LogDriver.uri(
            path: record.logPath, log: record.hostConfig.LogConfig ?? LogConfig(), attachSocket: environment.attachSocket(of: record.id),
            closesStdinOnce: record.config.StdinOnce ?? false, attributes: LogDriver.attributes(of: record))
        return StdioURIs(stdin: record.opensStdin ? uri : "", stdout: uri, stderr: record.isTerminal ? "" : uri, terminal: record.isTerminal)
    }

    /// The container whose network this one lives in; it also has its hostname, hosts and name servers.
    private func networkOwner(of record: ContainerRecord) throws -> ContainerRecord? {
        var owner: ContainerRecord?
        var mode = record.networkMode
        while mode.hasPrefix("container:") {
            let next = try store.find(String(mode.dropFirst(10))).record
            guard next.id != record.id else { throw DaemonError.conflict("cannot join own network namespace") }
            owner = next
            mode = next.networkMode
        }
        return owner
    }

    private func specContext(for record: ContainerRecord, filesOf filesOwner: String, rootfs: [RootfsMount], volumePaths: [String: String], networkPath: String?) throws -> SpecBuilder.Context {
        let host = record.hostConfig
        let identity = try UserLookup.identity(of: record, rootfs: rootfs)
        let security = try SecurityOptions(host.SecurityOpt ?? [])
        let initPath = try (host.Init ?? environment.config.initProcess) ? InitProgram.find(configured: environment.config.initPath) : nil
        return SpecBuilder.Context(
            identity: identity, filesDirectory: environment.directory(of: filesOwner), volumePaths: volumePaths,
            volumeParts: try volumeParts(of: record, volumePaths: volumePaths), networkPath: try networkPath ?? joinedPID(record.networkMode, what: "network", own: record.id).map { "/proc/\($0)/ns/net" },
            pidPID: try joinedPID(host.PidMode ?? "", what: "PID", own: record.id), ipcPID: try joinedPID(host.IpcMode ?? "", what: "IPC", own: record.id), sharedMemoryPath: try sharedMemory(for: record), initPath: initPath,
            linkEnvironment: try linkEnvironment(of: record),
            cgroupParent: environment.config.cgroupParent,
            seccomp: try SeccompChoice.profile(security.seccomp, daemonProfile: environment.config.seccompProfile, host: host),
            noNewPrivileges: security.noNewPrivileges ?? environment.config.noNewPrivileges, writableCgroups: security.writableCgroups, appArmorProfile: security.appArmorProfile,
            defaultUlimits: environment.config.defaultUlimits.map { Ulimit(Name: $0.key, Hard: $0.value.hard, Soft: $0.value.soft) }, unifiedCgroups: HostFacts.hasUnifiedCgroups,
            dataRoot: environment.config.dataRoot)
    }

    /// The pid of the container whose namespace is joined.
    private func joinedPID(_ mode: String, what: String, own: String) throws -> Int32? {
        guard mode.hasPrefix("container:") else { return nil }
        let name = String(mode.dropFirst(10))
        let other = try store.find(name)
        guard other.id != own else { throw DaemonError.conflict("cannot join own \(what) namespace") }
        let lifecycle = other.lifecycle
        if what == "network" {
            if lifecycle.isRestarting { throw DaemonError.conflict("cannot join network namespace of a restarting container: Container \(other.id) is restarting, wait until the container is running") }
            guard lifecycle.isRunning else { throw DaemonError.conflict("cannot join network namespace of a non running container: Container \(other.id) is \(lifecycle.statusName)") }
        }
        guard lifecycle.isRunning else {
            // As dockerd words and codes it: an error of the start, not of the request.
            throw DaemonError(what == "PID" ? .internalError : .conflict, "failed to join \(what) namespace: container \(other.id) is not running")
        }
        return lifecycle.pid
    }
}

/// What a failed start looks like to the client: dockerd's text, and the exit code the container shows.
struct StartFailure: Sendable {
    let error: DaemonError
    let exitCode: Int

    init(_ cause: any Error) {
        let failure = HTTPErrorMapping.daemonError(cause)
        let lower = failure.message.lowercased()
        if lower.contains("permission denied") {
            (exitCode, error) = (126, DaemonError(.invalidArgument, failure.message))
        } else if lower.contains("is a directory") {
            (exitCode, error) = (126, DaemonError(.invalidArgument, failure.message + ": permission denied"))
        } else if lower.contains("not a directory") {
            exitCode = 127
            error = DaemonError(
                .invalidArgument, failure.message + ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type")
        } else if lower.contains("executable file not found") || lower.contains("no such file or directory") && failure.message.contains("exec") {
            (exitCode, error) = (127, DaemonError(.invalidArgument, failure.message))
        } else {
            (exitCode, error) = (128, failure)
        }
    }
}

/// Which system calls a container may make.
enum SeccompChoice {
    /// - Throws: `.invalidArgument` for a profile that does not parse.
    static func profile(_ wanted: SecurityOptions.Seccomp, daemonProfile: String, host: HostConfig) throws -> RuntimeSpec.Linux.Seccomp? {
        if host.Privileged ?? false, case .engineDefault = wanted { return nil }
        switch wanted {
        case .unconfined: return nil
        case .profile(let json): return try SeccompProfile.parse(json).specification(capabilities: Capabilities.names(of: host))
        case .engineDefault:
            switch daemonProfile {
            case "", "builtin": return SeccompProfile.engineDefault(capabilities: Capabilities.names(of: host))
            case "unconfined": return nil
            default: return try SeccompProfile.parse(try Files.readText(daemonProfile)).specification(capabilities: Capabilities.names(of: host))
            }
        }
    }
}

/// The small init of `--init`: our own beside this program, or one that the machine has.
enum InitProgram {
    /// - Throws: naming what was looked for when none is on this machine.
    static func find(configured: String) throws -> String {
        if !configured.isEmpty {
            guard Files.exists(configured) else { throw DaemonError.invalid("--init-path \(configured): no such file or directory") }
            return configured
        }
        if let own = try? Files.readLink("/proc/self/exe"), let slash = own.lastSlash {
            let candidate = "\(own[..<slash])/berth-init"
            if access(candidate, X_OK) == 0 { return candidate }
        }
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        for name in ["docker-init", "tini-static"] {
            for directory in ["/usr/libexec/docker", "/usr/local/libexec/docker"] + path.split(separator: ":").map(String.init) {
                let candidate = "\(directory)/\(name)"
                if access(candidate, X_OK) == 0 { return candidate }
            }
        }
        throw DaemonError.invalid("--init needs an init program: none of berth-init, docker-init and tini-static was found; install tini or set --init-path")
    }
}

/// User and group of a process, from the container's own files.
enum UserLookup {
    static func identity(of record: ContainerRecord, rootfs: [RootfsMount]) throws -> UserDatabase.Identity {
        let database = try UserDatabase(root: RootfsAccess.readOnly(rootfs).root)
        return try database.resolve(record.config.User ?? "", additional: record.hostConfig.GroupAdd ?? [])
    }

    /// Of a running container, for exec: its init's view of the files.
    static func identity(user: String, groups: [String], pid: Int32) throws -> UserDatabase.Identity {
        try UserDatabase(root: RootfsAccess.ofProcess(pid).root).resolve(user, additional: groups)
    }
}
