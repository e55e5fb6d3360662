import Crypto
import DockerAPI
import OCISpec

/// Finds the image that an earlier build made of the same step on the same image.
///
/// There is no store beside the images: each carries what made it in two labels of its name. Removing the image removes it from the cache.
struct BuildCache: Sendable {
    /// The image that it was made on. As dockerd's, which reads it, too.
    static let parentLabel = "org.mobyproject.image.parent"
    /// What was done.
    static let stepLabel = "berth.build.step"

    let client: ImageStoreClient

    static func labels(parent: BuildImage, step: ContainerConfig) -> [String: String] {
        var labels = [stepLabel: key(parent: parent, step)]
        if !parent.id.isEmpty { labels[parentLabel] = parent.id }
        return labels
    }

    /// The newest one; nil when there is none.
    func find(parent: BuildImage, _ step: ContainerConfig) async throws -> String? {
        let found = try await client.list(["labels.\"\(Self.stepLabel)\"==\(Self.key(parent: parent, step))"])
        return found.max { $0.created < $1.created }?.target.digest.description
    }

    /// An image and those that builds made it on, as far as they are here.
    func ancestry(of id: String) async throws -> Set<String> {
        var found: Set<String> = []
        var next: String? = id
        while let id = next, found.insert(id).inserted, let digest = try? OCISpec.Digest(parsing: id) {
            next = try await client.list(target: digest).lazy.compactMap { $0.labels[Self.parentLabel] }.first
        }
        return found
    }

    /// What an image that came from elsewhere says about the step after `parent`: the history goes on from the parent's with the same words.
    ///
    /// - Returns: the step, and its layer where it has one; nil when the image was made in another way.
    static func find(_ step: ContainerConfig, after parent: BuildImage, in source: BuildImage) -> (known: ImageConfig.History, layer: ImageAssembler.Layer?)? {
        let (history, below) = (source.config.history, parent.config.history)
        guard history.count > below.count, history.starts(with: below), source.config.rootfs.diffIDs.starts(with: parent.config.rootfs.diffIDs) else { return nil }
        let known = history[below.count]
        guard known.createdBy == (step.Cmd ?? []).joined(separator: " ") else { return nil }
        if known.emptyLayer == true { return (known, nil) }
        let index = parent.config.rootfs.diffIDs.count
        guard let layers = source.manifest?.layers, layers.indices.contains(index), source.config.rootfs.diffIDs.indices.contains(index) else { return nil }
        return (known, .init(descriptor: layers[index], diffID: source.config.rootfs.diffIDs[index]))
    }

    /// Two steps are the same when they do the same to the same image: everything of the configuration counts, but for what names the container.
    static func key(parent: BuildImage, _ step: ContainerConfig) -> String {
        var hash = SHA256()
        func add(_ name: String, _ values: [String]) {
            // Lengths between the texts, so that no two lists look the same.
            hash.update(data: Array("\(name) \(values.count)\n".utf8))
            for value in values { hash.update(data: Array("\(value.utf8.count) \(value)\n".utf8)) }
        }
        add("parent", [parent.identity])
        add("cmd", step.Cmd ?? [])
        add("entrypoint", step.Entrypoint ?? [])
        add("env", step.Env ?? [])
        add("shell", step.Shell ?? [])
        add("onbuild", step.OnBuild ?? [])
        add("ports", (step.ExposedPorts ?? [:]).keys.sorted())
        add("volumes", (step.Volumes ?? [:]).keys.sorted())
        add("labels", (step.Labels ?? [:]).sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value] })
        add("user", [step.User ?? "", step.WorkingDir ?? "", step.StopSignal ?? "", step.StopTimeout.map { "\($0)" } ?? ""])
        if let health = step.Healthcheck {
            add("healthcheck", health.Test ?? [])
            add("intervals", [health.Interval, health.Timeout, health.StartPeriod, health.StartInterval, health.Retries.map { Int64($0) }].map { "\($0 ?? 0)" })
        }
        return hash.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
