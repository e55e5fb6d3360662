import DockerAPI
import NIOHTTP1

/// `/images/policy`, a page of Berth's own: GET says what the image policy would do now, POST has it done.
///
/// Both take `high`, `low`, `min-age` and `pin` in place of the daemon's own settings, POST also `dry-run`.
enum ImagePolicyRoutes {
    static func register(in router: inout Router, service: ImagePolicyService) {
        router.add(.GET, "/images/policy") { request in
            let policy = try policy(request, service.policy)
            let before = try await service.apply(policy, dryRun: true, isRepeated: { _ in true })
            return try .json(ImagePolicyReport(before, policy))
        }
        router.add(.POST, "/images/policy") { request in
            let policy = try policy(request, service.policy)
            guard policy.high != nil else { throw DaemonError.invalid("no high watermark: neither the daemon (image-policy-high) nor the request (high) has one") }
            return try .json(ImagePolicyReport(try await service.apply(policy, dryRun: request.query.flag("dry-run")), policy))
        }
    }

    private static func policy(_ request: HTTPRequest, _ configured: ImagePolicy) throws -> ImagePolicy {
        var policy = configured
        func parameter<Value>(_ name: String, _ read: (String) throws -> Value) throws -> Value? {
            guard let text = request.query[name], !text.isEmpty else { return nil }
            do { return try read(text) } catch let error as DaemonError { throw DaemonError.invalid("\(name): \(error.message)") }
        }
        if let high = try parameter("high", { try ImagePolicy.Watermark($0) }) {
            policy.high = high
            // The daemon's low watermark belongs to the daemon's high one.
            policy.low = nil
        }
        if let low = try parameter("low", { try ImagePolicy.Watermark($0) }) { policy.low = low }
        if let age = try parameter("min-age", { text in
            guard let age = GoDuration.nanoseconds(text), age >= 0 else { throw DaemonError.invalid("\"\(text)\" is not a duration such as 12h") }
            return Duration.nanoseconds(age)
        }) { policy.minimumAge = age }
        policy.pins += try request.query.all("pin").map { try ImagePolicy.Pin($0) }
        return policy
    }
}

extension ImagePolicyReport {
    init(_ outcome: ImagePolicyService.Outcome, _ policy: ImagePolicy) {
        self.init()
        High = policy.high?.description ?? ""
        Low = policy.lowMark?.description ?? ""
        MinimumAge = GoDuration.text(policy.minimumAge)
        Pins = policy.allPins.map(\.description)
        DryRun = outcome.wasDryRun
        Before = .init(outcome.before)
        After = .init(outcome.after)
        IsOverHigh = outcome.plan.isOverHigh
        InUse = outcome.plan.inUse
        Pinned = outcome.plan.pinned
        Young = outcome.plan.young
        MissingBytes = outcome.plan.missingBytes
        Images = outcome.plan.removals.map { removal in
            var image = Image()
            image.Id = removal.id
            image.RepoTags = removal.names
            image.LastUsed = removal.lastUsed.rfc3339
            image.Bytes = removal.bytes
            return image
        }
        Deleted = outcome.deleted
    }
}

extension ImagePolicyReport.Use {
    init(_ use: ImageDiskUse) {
        self.init()
        (ImageBytes, UsedBytes, TotalBytes) = (use.imageBytes, use.usedBytes, use.totalBytes)
    }
}
