import DockerAPI
import Glibc
import LinuxSystem
import NIOCore

/// What every part of the container services needs.
struct ContainerEnvironment: Sendable {
    let config: DaemonConfig
    let store: ContainerStore
    let supervisor: SupervisorClient
    let images: any ImageProviding
    let networks: any NetworkAttaching
    let volumes: any VolumeProviding
    let events: EventHub
    /// Bytes of containers' own layers.
    let layerSizes = MeasuredSizes()

    /// The sizes of containers' own layers, in the containers' order. A layer changes while its container runs, and when somebody copies into it.
    func layerSizes(_ containers: [(ManagedContainer, RecordSnapshot)]) async -> [Int64?] {
        let items = containers.map { container, snapshot in
            MeasuredSizes.Item(key: container.id, stamp: snapshot.record.lifecycle.isRunning ? nil : snapshot.record.lifecycle.finishedAt?.nanosecondsSinceEpoch ?? -1)
        }
        return await layerSizes.sizes(items) { [supervisor, store] id in
            guard let snapshot = store.get(id: id)?.snapshot else { return nil }
            return try? await supervisor.snapshotUsage(key: id, in: snapshot.record.snapshotter)
        }
    }

    /// Bytes of a container's own layer, and of its whole root filesystem.
    func sizes(of record: ContainerRecord) async throws -> ListedContainer.Sizes {
        let own = try await supervisor.snapshotUsage(key: record.id, in: record.snapshotter)
        return ListedContainer.Sizes(own: own, whole: own + (try await images.unpackedSize(record.image.manifest)))
    }

    /// The directory with a container's hostname, hosts, resolv.conf and log.
    func directory(of id: String) -> String { "\(config.containersRoot)/\(id)" }

    /// Where the shim listens for attachers. Derived from the id, so that it is found again after a restart of the daemon; 20 of 64 characters, because
    /// a socket's path has at most 107 bytes.
    func attachSocket(of id: String) -> String { "\(config.execRoot)/io/\(id.prefix(20)).sock" }

    /// Publishes a container event with the attributes dockerd gives it: labels, image, name.
    func publish(_ action: String, _ record: ContainerRecord, _ more: [String: String] = [:]) {
        var attributes = record.config.Labels ?? [:]
        attributes["image"] = record.config.Image ?? record.image.reference
        attributes["name"] = record.name
        attributes.merge(more) { $1 }
        events.publish(type: "container", action: action, id: record.id, attributes: attributes)
    }

    /// Tells of the volumes of a container that starts or has ended, as dockerd does.
    func publishVolumes(_ action: String, _ record: ContainerRecord) {
        for mount in record.mounts where mount.kind == .volume {
            var attributes = ["driver": mount.driver ?? "local", "container": record.id]
            if action == "mount" { attributes.merge(["destination": mount.destination, "read/write": String(!mount.readOnly), "propagation": mount.propagation]) { $1 } }
            events.publish(type: "volume", action: action, id: mount.volumeName ?? "", attributes: attributes)
        }
    }

    /// The runtime of the daemon's table that HostConfig names.
    ///
    /// - Throws: `.invalidArgument`: unknown or invalid runtime name.
    func runtime(named name: String) throws(DaemonError) -> SupervisorClient.RuntimeChoice {
        switch name {
        case "", "berth", "io.containerd.berth.v1": return .init(shim: "io.containerd.berth.v1", binaryName: "")
        case _ where config.runtimes[name] != nil:
            let runtime = config.runtimes[name]!
            return .init(shim: runtime.type.isEmpty ? "io.containerd.berth.v1" : runtime.type, binaryName: runtime.path)
        case "runc" where config.runtimes["runc"] == nil: return .init(shim: "io.containerd.berth.v1", binaryName: "runc")
        case _ where name.hasPrefix("io.containerd."): return .init(shim: name, binaryName: "")
        default: throw .invalid("unknown or invalid runtime name: \(name)")
        }
    }
}

/// The life of containers: create, start, stop, kill, pause, rename, update, remove. One file per verb that has a story.
struct ContainerService: Sendable {
    let environment: ContainerEnvironment
    var store: ContainerStore { environment.store }
    var supervisor: SupervisorClient { environment.supervisor }

    init(_ environment: ContainerEnvironment) { self.environment = environment }

    // MARK: Small verbs

    func rename(_ nameOrID: String, to newName: String) async throws {
        guard !nameOrID.isEmpty, !newName.isEmpty else { throw DaemonError.invalid("Neither old nor new names may be empty") }
        let container = try store.find(nameOrID)
        let name = try CreateValidation.name(newName)
        try await container.serially {
            let old = container.record
            guard old.name != name else { throw DaemonError.invalid("Renaming a container with the same name as its current name") }
            do throws(DaemonError) { try store.reserve(name: name, for: old.id) } catch { throw DaemonError(error.code, "Error when allocating new name: \(error.message)") }
            var record = old
            record.name = name
            for network in record.attachment.endpoints.keys {
                let names = record.attachment.endpoints[network]?.DNSNames
                record.attachment.endpoints[network]?.DNSNames = names?.map { $0 == old.name ? name : $0 }
            }
            do { try await store.save(record) } catch {
                store.release(name: name, of: old.id)
                throw error
            }
            let renamed = record
            container.mutate {
                $0.name = name
                $0.attachment = renamed.attachment
            }
            store.release(name: old.name, of: old.id)
            await environment.networks.rename(old.id, to: name)
            environment.publish("rename", record, ["oldName": "/" + old.name])
        }
    }

    func pause(_ nameOrID: String) async throws {
        let container = try store.find(nameOrID)
        try await container.serially {
            let lifecycle = container.lifecycle
            guard lifecycle.isRunning else { throw DaemonError.conflict("container \(container.id) is not running") }
            guard !lifecycle.isPaused else { throw DaemonError.conflict("container \(container.id) is already paused") }
            do { try await supervisor.pause(id: container.id) } catch let error as DaemonError {
                throw DaemonError(error.code, "cannot pause container \(container.id): \(error.message)")
            }
            try await commit(container) { $0.lifecycle.didPause() }
            environment.publish("pause", container.record)
        }
    }

    func unpause(_ nameOrID: String) async throws {
        let container = try store.find(nameOrID)
        try await container.serially {
            guard container.lifecycle.isPaused else { throw DaemonError.conflict("container \(container.id) is not paused") }
            do { try await supervisor.resume(id: container.id) } catch let error as DaemonError {
                throw DaemonError(error.code, "cannot resume container \(container.id): \(error.message)")
            }
            try await commit(container) { $0.lifecycle.didResume() }
            environment.publish("unpause", container.record)
        }
    }

    func resize(_ nameOrID: String, width: UInt32, height: UInt32) async throws {
        let container = try store.find(nameOrID)
        guard container.lifecycle.isRunning else { throw DaemonError.conflict("container \(container.id) is not running") }
        try await supervisor.resize(id: container.id, width: width, height: height)
        environment.publish("resize", container.record, ["height": String(height), "width": String(width)])
    }

    /// New limits and restart policy; zero and missing fields keep what is.
    func update(_ nameOrID: String, _ request: ContainerUpdateRequest) async throws -> [String] {
        let container = try store.find(nameOrID)
        return try await container.serially {
            let old = container.record
            if case .removing = old.lifecycle.phase { throw DaemonError.conflict("Cannot update container \(old.id): Container is marked for removal and cannot be \"update\".") }
            var record = old
            try UpdateMerge.apply(request, to: &record.hostConfig)
            try CreateValidation(daemon: environment.config).validateLimits(&record.hostConfig, update: true)
            if old.lifecycle.isRunning {
                let resources = try ResourceLimits(record.hostConfig).resources()
                do { try await supervisor.update(id: old.id, resources: Array(JSONBody.encode(resources).readableBytesView)) } catch let error as DaemonError {
                    throw DaemonError(error.code, "Cannot update container \(old.id): \(error.message)")
                }
            }
            try await store.save(record)
            container.mutate { $0.hostConfig = record.hostConfig }
            environment.publish("update", record)
            return []
        }
    }

    /// Changes the record and stores it: one durable commit. Inside `serially` only.
    func commit(_ container: ManagedContainer, _ change: (inout ContainerRecord) -> Void) async throws {
        var record = container.record
        change(&record)
        let changed = record
        try await store.save(changed)
        container.mutate { $0 = changed }
    }
}

/// POST /update → HostConfig.
enum UpdateMerge {
    static func apply(_ request: ContainerUpdateRequest, to host: inout HostConfig) throws(DaemonError) {
        func nonzero(_ value: Int64?) -> Int64? { value == 0 ? nil : value }
        let runningNano = host.NanoCpus ?? 0
        if let nano = nonzero(request.NanoCpus) {
            if (host.CpuPeriod ?? 0) > 0 { throw .conflict("Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set") }
            if (host.CpuQuota ?? 0) > 0 { throw .conflict("Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set") }
            host.NanoCpus = nano
        }
        if runningNano > 0, nonzero(request.CpuPeriod) != nil { throw .conflict("Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set") }
        if runningNano > 0, nonzero(request.CpuQuota) != nil { throw .conflict("Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set") }
        if let value = nonzero(request.CpuShares) { host.CpuShares = value }
        if let value = nonzero(request.CpuPeriod) { host.CpuPeriod = value }
        if let value = nonzero(request.CpuQuota) { host.CpuQuota = value }
        if let value = nonzero(request.CpuRealtimePeriod) { host.CpuRealtimePeriod = value }
        if let value = nonzero(request.CpuRealtimeRuntime) { host.CpuRealtimeRuntime = value }
        if let value = request.CpusetCpus, !value.isEmpty { host.CpusetCpus = value }
        if let value = request.CpusetMems, !value.isEmpty { host.CpusetMems = value }
        if let value = request.BlkioWeight, value != 0 { host.BlkioWeight = value }
        if let value = nonzero(request.Memory) {
            // A raised limit needs its swap raised too, or the kernel refuses it.
            if (request.MemorySwap ?? 0) == 0, let swap = host.MemorySwap, swap != -1, value > swap {
                throw .conflict("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time")
            }
            host.Memory = value
        }
        if let value = nonzero(request.MemorySwap) { host.MemorySwap = value }
        if let value = nonzero(request.MemoryReservation) { host.MemoryReservation = value }
        if let value = request.MemorySwappiness { host.MemorySwappiness = value }
        if let value = request.PidsLimit { host.PidsLimit = value <= 0 ? 0 : value }
        if let policy = request.RestartPolicy, let name = policy.Name, !name.isEmpty {
            if host.AutoRemove ?? false, name != "no" { throw .conflict("Restart policy cannot be updated because AutoRemove is enabled for the container") }
            guard RestartDecision.Mode(rawValue: name) != nil else {
                throw .invalid("invalid restart policy: unknown policy '\(name)'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'")
            }
            host.RestartPolicy = policy
        }
    }
}
