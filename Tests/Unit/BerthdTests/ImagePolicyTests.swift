import BerthDefaults
@testable import berthd
import OCISpec
import Testing

@Suite struct `Image policy` {
    private let now = WallClock(seconds: 1_000_000, nanoseconds: 0)

    private func part(_ name: Int) -> ImageFacts.Part {
        .init(kind: .blob, digest: OCISpec.Digest(bytes: [UInt8](repeating: UInt8(name), count: 32)))
    }

    /// An image that was used `age` seconds ago and needs parts of 100 bytes each.
    private func image(_ id: String, age: Int64, names: [String]? = nil, inUse: Bool = false, labels: [String: String] = [:], parts: [Int]) -> ImagePolicyPlan.Candidate {
        .init(
            id: id, names: names ?? [id], lastUsed: WallClock(seconds: now.seconds - age, nanoseconds: 0), isInUse: inUse, labels: labels,
            parts: Dictionary(uniqueKeysWithValues: parts.map { (part($0), 100) }))
    }

    private func plan(_ images: [ImagePolicyPlan.Candidate], high: String, low: String, bytes: Int64, change: (inout ImagePolicy) -> Void = { _ in }) throws -> ImagePolicyPlan {
        var policy = ImagePolicy()
        policy.high = try .init(high)
        policy.low = try .init(low)
        policy.minimumAge = .seconds(10)
        change(&policy)
        try policy.check()
        return ImagePolicyPlan(policy, images, use: ImageDiskUse(imageBytes: bytes, usedBytes: bytes, totalBytes: 1000), now: now)
    }

    @Test func `below the high watermark nothing is removed`() throws {
        let plan = try plan([image("a", age: 100, parts: [1])], high: "500b", low: "0b", bytes: 500)
        #expect(!plan.isOverHigh && plan.removals.isEmpty)
    }

    @Test func `the image that was not used for the longest time goes first, until the low watermark`() throws {
        let plan = try plan(
            [image("new", age: 20, parts: [1]), image("oldest", age: 90, parts: [2]), image("old", age: 50, parts: [3])], high: "50%", low: "40%", bytes: 600)
        #expect(plan.removals.map(\.id) == ["oldest", "old"])
        #expect(plan.bytes == 200 && plan.missingBytes == 0)
    }

    @Test func `leftovers without a name go before any image with one`() throws {
        let plan = try plan([image("old", age: 90, parts: [1]), image("leftover", age: 20, names: [], parts: [2])], high: "150b", low: "100b", bytes: 200)
        #expect(plan.removals.map(\.id) == ["leftover"])
    }

    @Test func `what is in use, pinned or young stays, and the plan says so`() throws {
        let images = [
            image("used", age: 90, inUse: true, parts: [1]), image("pinned", age: 90, labels: ["berth.pin": ""], parts: [2]),
            image("kept", age: 90, labels: ["tier": "base"], parts: [3]), image("other", age: 90, labels: ["tier": "app"], parts: [4]), image("young", age: 5, parts: [5]),
        ]
        let pin = try ImagePolicy.Pin("tier=base")
        let plan = try plan(images, high: "10b", low: "0b", bytes: 500) { $0.pins = [pin] }
        #expect(plan.removals.map(\.id) == ["other"])
        #expect([plan.inUse, plan.pinned, plan.young] == [1, 2, 1] && plan.missingBytes == 400)
    }

    @Test func `a layer that two images share is freed by the second of them`() throws {
        let plan = try plan([image("a", age: 90, parts: [1, 2]), image("b", age: 80, parts: [1, 3]), image("c", age: 70, parts: [4])], high: "100b", low: "100b", bytes: 400)
        #expect(plan.removals.map(\.bytes) == [100, 200])
    }

    @Test(arguments: [("80%", "90%"), ("80%", "1GB"), ("1GB", "2GB")]) func `watermarks that do not go together are refused`(high: String, low: String) throws {
        var policy = ImagePolicy()
        policy.high = try .init(high)
        policy.low = try .init(low)
        #expect(throws: DaemonError.self) { try policy.check() }
    }

    @Test(arguments: ["101%", "x%", "many", "-1%", ""]) func `a watermark is a percentage or a size`(text: String) {
        #expect(throws: DaemonError.self) { try ImagePolicy.Watermark(text) }
    }

    @Test func `without a low watermark it is nine tenths of the high one`() throws {
        var policy = ImagePolicy()
        policy.high = .percent(80)
        #expect(policy.lowMark == .percent(72))
    }
}
