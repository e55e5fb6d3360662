import BerthDefaults
import DockerAPI
import LinuxSystem

extension ContainerService {
    func remove(_ nameOrID: String, force: Bool, removingVolumes: Bool, link: Bool) async throws {
        if link { return try await removeLink(nameOrID) }
        let container = try store.find(nameOrID)
        do {
            let lifecycle = container.lifecycle
            if case .removing = lifecycle.phase { throw DaemonError.conflict("removal of container \(nameOrID) is already in progress") }
            if lifecycle.isRunning || lifecycle.isRestarting {
                guard force else {
                    throw DaemonError.conflict(
                        lifecycle.isPaused ? "container is paused and must be unpaused first" : "container is \(lifecycle.statusName): stop the container before removing or force remove")
                }
                if lifecycle.isRunning { try await killAndWait(container) } else { try await end(container, signal: nil, seconds: 0) }
            }
            try await container.serially { try await removeLocked(container, removingVolumes: removingVolumes) }
        } catch let error as DaemonError {
            if case .removing = container.lifecycle.phase, error.code == .conflict { throw error }
            throw DaemonError(error.code, "cannot remove container \"\(nameOrID)\": \(error.message)")
        }
    }

    /// Everything of a container that does not run: task, network, volumes, layer, files, row. Inside `serially`. The row goes when no more than
    /// files are left to remove, so that a crash in the middle leaves a container that can be removed again.
    func removeLocked(_ container: ManagedContainer, removingVolumes: Bool) async throws {
        guard !container.isRemoved else { return }
        let before = container.lifecycle
        // Started again meanwhile: force kills before it comes here.
        guard !before.isRunning else { throw DaemonError.conflict("container is \(before.statusName): stop the container before removing or force remove") }
        container.setRestart(nil, delay: nil)
        container.mutate { $0.lifecycle.willRemove() }
        let record = container.record
        do {
            try await collectTask(of: container)
            async let released: Void = environment.networks.release(record.id)
            HostMounts(environment.config).releaseContainer(record.id)
            async let collected: Void = container.collected()
            try await supervisor.removeSnapshot(key: record.id, in: record.snapshotter)
            await released
            try await collected
            await environment.volumes.release(containerID: record.id, removingAnonymous: removingVolumes)
            // Beside the row: a directory without one is removed at the next start.
            async let cleared: Void = DirectoryRemoval.remove(environment.directory(of: record.id))
            try await store.delete(id: record.id, image: record.image.id)
            await cleared
        } catch {
            container.mutate { $0.lifecycle.removalFailed() }
            let failed = container.record
            try? await store.save(failed)
            container.answerRemovalWaiters(error: "\(error)")
            throw error
        }
        for attach in container.takePending() { attach.cancel() }
        store.forget(container)
        container.answerRemovalWaiters(error: nil)
        environment.publish("destroy", record)
    }

    /// Removes what does not run and matches the filters.
    func prune(_ matches: @Sendable (ContainerRecord) -> Bool) async -> (removed: [String], bytes: Int64) {
        var removed: [String] = []
        var bytes: Int64 = 0
        for container in store.all where !container.lifecycle.isRunning && !container.lifecycle.isRestarting && matches(container.record) {
            let size = (try? await supervisor.snapshotUsage(key: container.id, in: container.record.snapshotter)) ?? 0
            do {
                try await container.serially { try await removeLocked(container, removingVolumes: false) }
                removed.append(container.id)
                bytes += size
            } catch {
                Log.warning("prune leaves container \(container.id): \(error)")
            }
        }
        environment.events.publish(type: "container", action: "prune", id: "", attributes: ["reclaimed": String(bytes)])
        return (removed, bytes)
    }

    /// What a create that a crash cut short has left: its directory, made first, tells of a layer that may be there as well. At the start, before anybody creates.
    func removeStrays() async {
        for id in (try? Files.entries(of: environment.config.containersRoot)) ?? [] where store.get(id: id) == nil {
            Log.warning("container \(id) was never finished: what there is of it is removed")
            do { try await supervisor.removeSnapshot(key: id, in: supervisor.snapshotter) } catch {
                // The directory stays as a reminder.
                Log.error("the layer of container \(id) cannot be removed: \(error)")
                continue
            }
            DirectoryRemoval.remove(environment.directory(of: id))
        }
    }
}
