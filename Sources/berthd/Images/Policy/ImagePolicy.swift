/// When and what the engine removes of its images by itself: nothing unless a high watermark is set.
///
/// Above the high watermark unused images go, those without a name first and then the one that was not used for the longest time, until the disk use is
/// at the low watermark. An image is in use while a container is made from it. Pinned images, and those that were used or came here less than the
/// minimum age ago, stay.
struct ImagePolicy: Sendable, Equatable {
    /// How full is too full.
    enum Watermark: Sendable, Equatable, CustomStringConvertible {
        /// Of the file system that holds the data root.
        case percent(Double)
        /// What the images of this engine take, each layer counted once.
        case bytes(Int64)

        var description: String {
            switch self {
            case .percent(let value): value == value.rounded() ? "\(Int64(value))%" : "\(value)%"
            case .bytes(let value): "\(value)"
            }
        }
    }

    /// Images with this label stay; without a value whatever its value is.
    struct Pin: Sendable, Equatable, CustomStringConvertible {
        var label: String
        var value: String?

        func matches(_ labels: [String: String]) -> Bool { labels[label].map { value == nil || value == $0 } ?? false }
        var description: String { value.map { "\(label)=\($0)" } ?? label }
    }

    /// nil: the policy is off.
    var high: Watermark?
    /// nil: nine tenths of the high one.
    var low: Watermark?
    var minimumAge = Duration.seconds(86_400)
    /// Beside `defaultPin`.
    var pins: [Pin] = []
    /// Says in the log and the events what would be removed, and removes nothing.
    var isDryRun = false

    /// Always a pin.
    static let defaultPin = Pin(label: "berth.pin")
    var allPins: [Pin] { [Self.defaultPin] + pins }

    /// The watermark down to which images are removed.
    var lowMark: Watermark? {
        if let low { return low }
        switch high {
        case .percent(let value): return .percent(value * 0.9)
        case .bytes(let value): return .bytes(value / 10 * 9)
        case nil: return nil
        }
    }

    /// - Throws: `.invalidArgument` for watermarks that do not go together.
    func check() throws(DaemonError) {
        guard let low else { return }
        guard let high else { throw .invalid("a low watermark (\(low)) without a high one: set image-policy-high too") }
        switch (low, high) {
        case (.percent(let low), .percent(let high)) where low <= high: return
        case (.bytes(let low), .bytes(let high)) where low <= high: return
        case (.percent, .bytes), (.bytes, .percent): throw .invalid("the watermarks \(low) and \(high) are of different kinds: both in percent, or both in bytes")
        default: throw .invalid("the low watermark (\(low)) is above the high one (\(high))")
        }
    }
}

extension ImagePolicy.Watermark {
    /// Reads "85%" or a size such as "20GB".
    init(_ text: String) throws(DaemonError) {
        if text.hasSuffix("%") {
            guard let value = Double(text.dropLast()), (0...100).contains(value) else { throw .invalid("\"\(text)\" is not a percentage from 0% to 100%") }
            self = .percent(value)
        } else {
            guard let bytes = ByteSize.parse(text) else { throw .invalid("\"\(text)\" is neither a percentage such as 85% nor a size such as 20GB") }
            self = .bytes(bytes)
        }
    }
}

extension ImagePolicy.Pin {
    /// Reads LABEL or LABEL=VALUE.
    init(_ text: String) throws(DaemonError) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let label = parts.first, !label.isEmpty else { throw .invalid("\"\(text)\" is not of the form LABEL or LABEL=VALUE") }
        self.init(label: label, value: parts.count == 2 ? parts[1] : nil)
    }
}

/// How much of the disk is used.
struct ImageDiskUse: Sendable, Equatable {
    /// What images take, each part once.
    var imageBytes: Int64
    /// Of the file system.
    var usedBytes: Int64
    var totalBytes: Int64

    var percent: Double { totalBytes > 0 ? Double(usedBytes) * 100 / Double(totalBytes) : 0 }

    /// Bytes above a watermark; 0 or less when it is not reached.
    func excess(over mark: ImagePolicy.Watermark) -> Int64 {
        switch mark {
        case .percent(let value): usedBytes - Int64((Double(totalBytes) * value / 100).rounded(.down))
        case .bytes(let value): imageBytes - value
        }
    }
}

/// What a policy would do now. Pure: images and disk use in, removals out.
struct ImagePolicyPlan: Sendable, Equatable {
    struct Candidate: Sendable, Equatable {
        var id: String
        /// Without names it is a leftover, of a build or of a name that moved on.
        var names: [String]
        var lastUsed: WallClock
        var isInUse: Bool
        var labels: [String: String]
        var parts: [ImageFacts.Part: Int64]
    }

    struct Removal: Sendable, Equatable {
        var id: String
        var names: [String]
        var lastUsed: WallClock
        /// Bytes that go with it, given that the removals before it have been made.
        var bytes: Int64
    }

    private(set) var removals: [Removal] = []
    private(set) var inUse = 0
    private(set) var pinned = 0
    private(set) var young = 0
    /// Above the high watermark.
    private(set) var isOverHigh = false
    /// Bytes that would have to go beyond what the removals free.
    private(set) var missingBytes: Int64 = 0

    var bytes: Int64 { removals.reduce(0) { $0 + $1.bytes } }

    init(_ policy: ImagePolicy, _ candidates: [Candidate], use: ImageDiskUse, now: WallClock) {
        let limit = now.nanosecondsSinceEpoch - policy.minimumAge.nanoseconds
        var free: [Candidate] = []
        for candidate in candidates {
            if candidate.isInUse {
                inUse += 1
            } else if policy.allPins.contains(where: { $0.matches(candidate.labels) }) {
                pinned += 1
            } else if candidate.lastUsed.nanosecondsSinceEpoch > limit {
                young += 1
            } else {
                free.append(candidate)
            }
        }
        guard let high = policy.high, let low = policy.lowMark, use.excess(over: high) > 0 else { return }
        isOverHigh = true
        var excess = use.excess(over: low)
        var users: [ImageFacts.Part: Int] = [:]
        for candidate in candidates { for part in candidate.parts.keys { users[part, default: 0] += 1 } }
        free.sort { ($0.names.isEmpty ? 0 : 1, $0.lastUsed, $0.id) < ($1.names.isEmpty ? 0 : 1, $1.lastUsed, $1.id) }
        for candidate in free where excess > 0 {
            var bytes: Int64 = 0
            for (part, size) in candidate.parts {
                users[part, default: 1] -= 1
                if users[part] == 0 { bytes += size }
            }
            removals.append(Removal(id: candidate.id, names: candidate.names, lastUsed: candidate.lastUsed, bytes: bytes))
            excess -= bytes
        }
        missingBytes = max(0, excess)
    }
}

extension Duration {
    /// Whole nanoseconds.
    var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
