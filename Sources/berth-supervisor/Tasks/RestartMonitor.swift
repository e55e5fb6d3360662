import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import GRPCSocket
import SwiftProtobuf

/// Starts and stops containers whose labels ask for it, as containerd's restart monitor does: `nerdctl run --restart` is made of these labels.
///
/// | label `containerd.io/restart.…` | meaning |
/// |---|---|
/// | `status` | `running` or `stopped`: how the task should be. Without it a container is let alone |
/// | `policy` | `always` (also when missing), `on-failure[:N]`, `unless-stopped`, `no` |
/// | `explicitly-stopped` | `true`: for `unless-stopped` |
/// | `count` | how often it has been started here; written by us |
/// | `loguri` | where the output goes: `binary://…`, `file://…` |
struct RestartMonitor: Sendable {
    private static let prefix = "containerd.io/restart."

    let database: MetadataDatabase
    let tasks: TaskManager
    let events: EventExchange
    let interval: Duration
    /// The root filesystem's mounts of a container in a namespace.
    let mounts: @Sendable (Containers_Container, String) throws -> [MountPoint]

    /// Until it is cancelled.
    func run() async {
        while !Task.isCancelled {
            await reconcile()
            try? await Task.sleep(for: interval)
        }
    }

    private func reconcile() async {
        let wanted: [(namespace: String, container: Containers_Container)]
        do { wanted = try database.read(ContainerRecords.listRestarted) } catch {
            return Log.error("cannot look for containers to restart", ["error": "\(error)"])
        }
        await withTaskGroup(of: Void.self) { group in
            for (namespace, container) in wanted {
                group.addTask {
                    do { try await reconcile(container, in: namespace) } catch {
                        Log.warn("cannot restart or stop a container", ["container": container.id, "namespace": namespace, "error": "\(error)"])
                    }
                }
            }
        }
    }

    private func reconcile(_ container: Containers_Container, in namespace: String) async throws {
        let key = TaskKey(namespace: namespace, id: container.id)
        let state = try await state(of: key)
        switch container.labels[Self.prefix + "status"] {
        case "running":
            // One that is being created or that somebody has paused is another's business.
            if let state, state.status != .stopped { return }
            guard try RestartPolicy(container.labels).restarts(afterExit: state?.exitStatus ?? 0) else { return }
            try await start(container, key, hasTask: state != nil)
        case "stopped":
            guard let state else { return }
            if state.status == .stopped { return }
            try await stop(key)
        default: return
        }
    }

    /// nil when there is no task.
    private func state(of key: TaskKey) async throws -> Shim_StateResponse? {
        let shim: Shim
        do { shim = try await tasks.shim(of: key) } catch let error as SupervisorError where error.code == .notFound { return nil }
        return try await shim.call(ShimAPI.state, .with { $0.id = key.id }, timeout: .seconds(2))
    }

    private func start(_ container: Containers_Container, _ key: TaskKey, hasTask: Bool) async throws {
        Log.info("restarting a container", ["container": key.id, "namespace": key.namespace])
        try await count(container, in: key.namespace)
        if hasTask { _ = try await tasks.delete(key) }
        let isTerminal = try JSONDecoder().decode(SpecOfTerminal.self, from: container.spec.value).process?.terminal ?? false
        let log = container.labels[Self.prefix + "loguri"] ?? ""
        _ = try await tasks.create(
            key,
            TaskManager.CreateRequest(
                runtime: container.runtime.name, spec: [UInt8](container.spec.value), options: container.runtime.hasOptions ? container.runtime.options : nil,
                rootfs: try container.snapshotKey.isEmpty ? [] : mounts(container, key.namespace).map(SnapshotsService.proto), stdin: "", stdout: log,
                stderr: isTerminal ? "" : log, terminal: isTerminal))
        _ = try await tasks.shim(of: key).call(ShimAPI.start, .with { $0.id = key.id })
    }

    private struct SpecOfTerminal: Decodable {
        struct Process: Decodable { var terminal: Bool? }
        var process: Process?
    }

    private func count(_ container: Containers_Container, in namespace: String) async throws {
        let updated = try await database.write { db in
            var current = try ContainerRecords.get(container.id, in: namespace, db)
            current.labels[Self.prefix + "count"] = String((Int(current.labels[Self.prefix + "count"] ?? "") ?? 0) + 1)
            return try ContainerRecords.update(current, in: namespace, db)
        }
        events.publish(
            Events_ContainerUpdate.with {
                $0.id = updated.id
                $0.image = updated.image
                $0.labels = updated.labels
                $0.snapshotKey = updated.snapshotKey
            }, topic: "/containers/update", namespace: namespace)
    }

    private func stop(_ key: TaskKey) async throws {
        let shim = try await tasks.shim(of: key)
        let kill = Shim_KillRequest.with {
            $0.id = key.id
            $0.signal = 9
            $0.all = true
        }
        _ = try await shim.call(ShimAPI.kill, kill)
        _ = try await shim.call(ShimAPI.wait, .with { $0.id = key.id })
        _ = try await tasks.delete(key)
    }
}

/// When a container is started again.
enum RestartPolicy: Equatable {
    case never, always
    case onFailure(left: Int?)

    /// - Throws: invalidArgument for a policy that containerd does not have.
    init(_ labels: [String: String]) throws(SupervisorError) {
        let text = labels["containerd.io/restart.policy"] ?? ""
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        switch parts.first ?? "" {
        case "", "always": self = .always
        case "no": self = .never
        case "unless-stopped":
            let isStopped = ["1", "t", "T", "true", "TRUE", "True"].contains(labels["containerd.io/restart.explicitly-stopped"] ?? "")
            self = isStopped ? .never : .always
        case "on-failure":
            guard parts.count == 2 else {
                self = .onFailure(left: nil)
                return
            }
            guard let most = Int(parts[1]) else { throw SupervisorError(.invalidArgument, "restart policy \"\(text)\": invalid number of retries") }
            self = .onFailure(left: most == 0 ? nil : most - (Int(labels["containerd.io/restart.count"] ?? "") ?? 0))
            return
        default: throw SupervisorError(.invalidArgument, "restart policy \"\(text)\" is not supported")
        }
        if parts.count > 1, self != .never || text.hasPrefix("no:") {
            throw SupervisorError(.invalidArgument, "restart policy \"\(text)\": only on-failure takes a number of retries")
        }
    }

    func restarts(afterExit status: UInt32) -> Bool {
        switch self {
        case .never: false
        case .always: true
        case .onFailure(let left): status != 0 && left.map { $0 > 0 } ?? true
        }
    }
}
