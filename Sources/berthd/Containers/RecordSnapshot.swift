/// A record as it is at one moment. A record is some two hundred fields; whoever only looks at a few takes hold of this instead of a copy.
final class RecordSnapshot: Sendable {
    let record: ContainerRecord

    init(_ record: ContainerRecord) { self.record = record }
}

/// How a list shows a container. Of ten thousand containers hardly one has changed since the last list, and making the text is what takes the time.
struct ListedContainer: Sendable {
    /// Everything in the text that is not in the record.
    struct Look: Sendable, Equatable {
        var version: APIVersion
        var image: String
        /// For people, with the time that has passed.
        var status: String
        var linkNames: [String]
        var sizes: Sizes?
    }

    /// Bytes of the container's own layer, and of its whole root filesystem.
    struct Sizes: Sendable, Equatable {
        var own: Int64
        var whole: Int64
    }

    var snapshot: RecordSnapshot
    var look: Look
    var text: [UInt8]
}
