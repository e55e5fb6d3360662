import DockerAPI
import LinuxSystem
import OCISpec

/// Carries the image policy out: looks at the disk every minute and whenever images have come, and says in the events what it did.
struct ImagePolicyService: Sendable {
    let policy: ImagePolicy
    let images: ImageService
    let uses: ImageUses
    /// The file system that percentages are of.
    let dataRoot: String
    /// One run at a time: two would remove twice as much as is needed.
    private let lock = AsyncLock()

    private static let interval = Duration.seconds(60)
    /// Events after which there may be more on the disk.
    private static let arrivals: Set<String> = ["pull", "load", "import", "commit"]

    init(policy: ImagePolicy, images: ImageService, uses: ImageUses, dataRoot: String) {
        self.policy = policy
        self.images = images
        self.uses = uses
        self.dataRoot = dataRoot
    }

    /// What was planned, and what came of it.
    struct Outcome: Sendable {
        var plan: ImagePolicyPlan
        var before: ImageDiskUse
        /// The same as `before` when nothing was removed.
        var after: ImageDiskUse
        var deleted: [ImageDeleteItem] = []
        var wasDryRun = true
    }

    /// Runs until it is cancelled; without a high watermark it removes nothing.
    func run() async {
        do { try await uses.keep(only: Set(try await images.client.list().map(\.target.digest.description))) } catch { Log.debug("last uses of images: \(error)") }
        guard policy.high != nil else { return }
        let (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let (_, live) = images.events.subscribe(since: nil)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await event in live where event.message.Type == "image" && Self.arrivals.contains(event.message.Action ?? "") { wake.yield() } }
            group.addTask {
                while !Task.isCancelled {
                    wake.yield()
                    try? await Task.sleep(for: Self.interval)
                }
            }
            group.addTask {
                var said: [String] = []
                for await _ in wakes {
                    do {
                        let last = said
                        let outcome = try await apply(policy, dryRun: policy.isDryRun, isRepeated: { last == $0.removals.map(\.id) })
                        said = outcome.plan.removals.map(\.id)
                    } catch is CancellationError {
                        return
                    } catch {
                        Log.warning("image policy: \(error)")
                    }
                }
            }
            await group.waitForAll()
        }
    }

    /// Makes a plan and, unless it is a dry run, removes what it says.
    ///
    /// - Parameter isRepeated: whether a dry run with this plan was told before and is not told again.
    func apply(_ policy: ImagePolicy, dryRun: Bool, isRepeated: @Sendable (ImagePolicyPlan) -> Bool = { _ in false }) async throws -> Outcome {
        await lock.acquire()
        defer { lock.release() }
        try policy.check()
        let before = try await diskUse()
        let plan = ImagePolicyPlan(policy, try await candidates(), use: before, now: .now())
        var outcome = Outcome(plan: plan, before: before, after: before, wasDryRun: dryRun)
        guard plan.isOverHigh else { return outcome }
        if dryRun {
            if !isRepeated(plan) { publish(outcome, policy, reclaimed: plan.bytes) }
            return outcome
        }
        for removal in plan.removals {
            // Somebody may have made a container of it, or have tagged it, since the plan was made.
            let isUsed = images.users.imageUsers().contains { $0.imageID == removal.id }
            guard !isUsed, let entry = try await images.entries().first(where: { $0.id == removal.id }), ImageService.tags(entry.names) == removal.names else { continue }
            do {
                let why = ["policy": "high=\(policy.high.map(\.description) ?? ""),used=\(text(before, like: policy.high))"]
                outcome.deleted += try await images.deleteAll(.init(target: entry.target, names: entry.names, spelled: nil), attributes: why)
            } catch {
                Log.warning("image policy: cannot remove image \(removal.id): \(error)")
            }
        }
        if !outcome.deleted.isEmpty { try await images.client.collect() }
        outcome.after = try await diskUse()
        publish(outcome, policy, reclaimed: max(0, before.imageBytes - outcome.after.imageBytes))
        return outcome
    }

    /// How full the disk is.
    func diskUse() async throws -> ImageDiskUse {
        let space = try DiskSpace.usage(at: dataRoot)
        return ImageDiskUse(imageBytes: try await images.layersSize(), usedBytes: space.used, totalBytes: space.total)
    }

    private func candidates() async throws -> [ImagePolicyPlan.Candidate] {
        let used = Set(images.users.imageUsers().map(\.imageID))
        let entries = try await images.entries()
        let last = try await uses.all()
        return entries.map { entry in
            ImagePolicyPlan.Candidate(
                id: entry.id, names: ImageService.tags(entry.names), lastUsed: max(entry.updated, last[entry.id] ?? entry.updated), isInUse: used.contains(entry.id),
                labels: entry.facts.labels, parts: entry.facts.parts)
        }
    }

    private func text(_ use: ImageDiskUse, like mark: ImagePolicy.Watermark?) -> String {
        if case .percent = mark { return "\((use.percent * 10).rounded() / 10)%" }
        return "\(use.imageBytes)"
    }

    private func publish(_ outcome: Outcome, _ policy: ImagePolicy, reclaimed: Int64) {
        let removed = outcome.wasDryRun ? outcome.plan.removals.count : outcome.deleted.count { $0.Deleted != nil }
        let attributes = [
            "high": policy.high.map(\.description) ?? "", "low": policy.lowMark.map(\.description) ?? "", "used": text(outcome.before, like: policy.high), "images": "\(removed)",
            "reclaimed": "\(reclaimed)", "missing": "\(outcome.plan.missingBytes)", "dry-run": outcome.wasDryRun ? "true" : "false",
        ]
        images.events.publish(type: "image", action: "policy", id: "", attributes: attributes)
        Log.info("image policy: disk use \(attributes["used"] ?? "") is above \(attributes["high"] ?? ""): \(outcome.wasDryRun ? "would remove" : "removed") \(removed) images, \(reclaimed) bytes")
    }
}
