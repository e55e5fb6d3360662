import DockerAPI
import FoundationEssentials
import JSONCodec

/// A container as the database has it: what a start needs to know, and the rest as text until somebody asks for it.
///
/// Ten thousand stopped containers are no reason to be late: reading a record takes longer than everything else that a start does for it.
struct StoredContainer: Sendable {
    var id: String
    var name: String
    /// Digest of the image's target, and of the manifest that the container runs.
    var image: String
    var manifest: String
    var json: Data

    /// - Returns: a dead container, which can only be removed, where the text cannot be read.
    func decoded() -> ContainerRecord {
        // The strict reader takes a fraction of the time, and refuses a few texts that are JSON.
        if let record = try? JSON.decode(ContainerRecord.self, from: Array(json)) { return record }
        do { return try JSONDecoder().decode(ContainerRecord.self, from: json) } catch {
            Log.error("the record of container \(id) is unreadable, it can only be removed: \(error)")
            var lifecycle = ContainerLifecycle()
            lifecycle.willRemove()
            lifecycle.removalFailed()
            let resolved = ResolvedImage(id: image, reference: image, config: ContainerConfig(), chainID: "", platform: "", manifest: Descriptor())
            return ContainerRecord(
                id: id, name: name, created: WallClock(seconds: 0, nanoseconds: 0), config: ContainerConfig(), hostConfig: HostConfig(), image: resolved, path: "", args: [],
                mounts: [], endpoints: [:], lifecycle: lifecycle, logPath: "")
        }
    }
}

extension ContainerRecord {
    /// Nothing is to be done with it when the daemon starts: it does not run, and neither will it be started or removed.
    var restsAtStart: Bool {
        guard lifecycle.phase == .created || lifecycle.phase == .exited else { return false }
        guard lifecycle.startedBefore else { return true }
        let policy = hostConfig.RestartPolicy?.Name ?? ""
        return policy != "always" && policy != "unless-stopped" && !autoRemove
    }
}
