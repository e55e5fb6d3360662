import ContainerdAPI
import OCISpec
import SwiftProtobuf
import Synchronization

/// A count that one side advances and the other looks at.
final class ByteCounter: Sendable {
    private let value = Atomic<Int64>(0)
    var current: Int64 { value.load(ordering: .relaxed) }
    func set(_ new: Int64) { value.store(new, ordering: .relaxed) }
    func add(_ more: Int64) { value.add(more, ordering: .relaxed) }
}

/// Tells a client how its transfer goes: `Progress` messages on the stream that it opened for them, in order, moving counts at most ten times a second.
/// Without a stream everything here does nothing.
final class TransferProgress: Sendable {
    /// A descriptor's way through a transfer.
    final class Job: Sendable {
        fileprivate struct State {
            var moving: (event: String, counter: ByteCounter)?
            var reported: Int64 = -1
            var last: String?
            var isUnpacked = false
        }

        let descriptor: Descriptor
        let parents: [String]
        fileprivate let state = Mutex(State())
        private let owner: TransferProgress

        fileprivate init(_ descriptor: Descriptor, parents: [String], owner: TransferProgress) {
            self.descriptor = descriptor
            self.parents = parents
            self.owner = owner
        }

        /// From now on the counter is looked at and reported under this event.
        func moving(_ event: String, _ counter: ByteCounter) {
            state.withLock {
                $0.moving = (event, counter)
                $0.reported = -1
            }
        }

        /// One event with everything done: "complete", "extracted", "already exists".
        func reached(_ event: String) {
            state.withLock {
                $0.moving = nil
                $0.reported = -1
                $0.last = event
            }
            owner.send(event, self, progress: descriptor.size)
            if event == "complete", state.withLock({ $0.isUnpacked }) { reached("extracted") }
        }

        /// The layer's files are here from another image: one that was downloaded is complete with that, one that was not says nothing more.
        func foundUnpacked() {
            let last = state.withLock { state in
                state.isUnpacked = true
                return state.last
            }
            if last == "complete" { reached("extracted") }
        }

        fileprivate var sample: (event: String, progress: Int64)? {
            state.withLock { state in
                guard let moving = state.moving else { return nil }
                let progress = min(moving.counter.current, descriptor.size)
                guard progress > state.reported else { return nil }
                state.reported = progress
                return (moving.event, progress)
            }
        }
    }

    private let stream: ClientStream?
    private let messages: AsyncStream<TransferTypes_Progress>.Continuation
    private let sender: Task<Void, Never>
    private let ticker = Mutex<Task<Void, Never>?>(nil)
    private let jobs = Mutex<[Digest: Job]>([:])

    init(_ stream: ClientStream?) {
        self.stream = stream
        let (queue, continuation) = AsyncStream.makeStream(of: TransferTypes_Progress.self)
        messages = continuation
        sender = Task {
            for await message in queue {
                // A client that went away is noticed by its call, not here.
                guard let stream else { continue }
                do { try await stream.send(message) } catch { break }
            }
        }
        guard stream != nil else { return }
        let task = Task { [weak self] in
            while !Task.isCancelled {
                try? await Task.sleep(for: .milliseconds(100))
                self?.tick()
            }
        }
        ticker.withLock { $0 = task }
    }

    private func tick() {
        for job in jobs.withLock({ Array($0.values) }) {
            if let (event, progress) = job.sample { send(event, job, progress: progress) }
        }
    }

    /// An event without a count.
    func note(_ event: String, name: String = "", descriptor: Descriptor? = nil) {
        guard stream != nil else { return }
        messages.yield(
            .with {
                $0.event = event
                $0.name = name
                if let descriptor { $0.desc = .init(descriptor) }
            })
    }

    /// A descriptor that will be worked on; "waiting" for the client. The same one twice is one.
    func job(_ descriptor: Descriptor, parents: [String]) -> Job {
        let (job, isNew) = jobs.withLock { jobs -> (Job, Bool) in
            if let job = jobs[descriptor.digest] { return (job, false) }
            let job = Job(descriptor, parents: parents, owner: self)
            jobs[descriptor.digest] = job
            return (job, true)
        }
        if isNew { send("waiting", job, progress: 0) }
        return job
    }

    private func send(_ event: String, _ job: Job, progress: Int64) {
        guard stream != nil else { return }
        messages.yield(
            .with {
                $0.event = event
                $0.name = Self.name(of: job.descriptor)
                $0.parents = job.parents
                $0.progress = progress
                $0.total = job.descriptor.size
                $0.desc = .init(job.descriptor)
            })
    }

    /// Sends what is left and ends the client's stream.
    func finish() async {
        ticker.withLock { $0 }?.cancel()
        messages.finish()
        await sender.value
        stream?.close()
    }

    /// Kind and digest: also the ref of its ingest, as containerd names them.
    static func name(of descriptor: Descriptor) -> String {
        let kind =
            if MediaType.isManifest(descriptor.mediaType) {
                "manifest"
            } else if MediaType.isIndex(descriptor.mediaType) {
                "index"
            } else if MediaType.isLayer(descriptor.mediaType) {
                "layer"
            } else if MediaType.isConfig(descriptor.mediaType) {
                "config"
            } else {
                "unknown"
            }
        return "\(kind)-\(descriptor.digest)"
    }
}

extension Types_Descriptor {
    init(_ descriptor: Descriptor) {
        self.init()
        mediaType = descriptor.mediaType
        digest = descriptor.digest.description
        size = descriptor.size
        annotations = descriptor.annotations
    }
}
