import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import SwiftProtobuf
import Synchronization

/// Brings events from those who publish them to those who subscribed. Nothing is stored: who is not there misses it, except that the exits found
/// at start-up wait a few seconds for the first subscriber to come back.
final class EventExchange: Sendable {
    /// Events a subscriber may be behind before it is cut off.
    private static let queueLimit = 65_536
    private static let backlogLimit = 4096

    /// One subscriber's view: envelopes in the order they were published.
    struct Subscription: Sendable {
        fileprivate let id: UInt64
        /// Ends when the subscriber fell too far behind.
        let envelopes: AsyncStream<Types_Envelope>
    }

    private struct Subscriber {
        let filters: FilterSet
        let continuation: AsyncStream<Types_Envelope>.Continuation
    }

    private struct State {
        var subscribers: [UInt64: Subscriber] = [:]
        var nextID: UInt64 = 0
        /// Events for whoever subscribes first; nil once the time for that is over.
        var backlog: [Types_Envelope]? = []
    }

    private let state = Mutex(State())

    /// Publishes an event of the supervisor itself.
    /// - Parameter topic: "/tasks/exit" and so on; section "Events" of docs/supervisor.md lists them.
    func publish(_ event: some Message, topic: String, namespace: String) {
        var envelope = Types_Envelope()
        envelope.timestamp = Timestamps.proto(Clock.now)
        envelope.namespace = namespace
        envelope.topic = topic
        envelope.event = AnyMessages.pack(event)
        deliver(envelope)
    }

    /// Publishes an event that somebody else made, with its own time: a shim's or a client's.
    func forward(_ envelope: Types_Envelope) throws(SupervisorError) {
        try Self.validate(topic: envelope.topic)
        guard !envelope.namespace.isEmpty else { throw SupervisorError(.invalidArgument, "event without a namespace: invalid argument") }
        var envelope = envelope
        if !envelope.hasTimestamp { envelope.timestamp = Timestamps.proto(Clock.now) }
        deliver(envelope)
    }

    func deliver(_ envelope: Types_Envelope) {
        let slow = state.withLock { state -> [AsyncStream<Types_Envelope>.Continuation] in
            if state.subscribers.isEmpty, let count = state.backlog?.count, count < Self.backlogLimit { state.backlog?.append(envelope) }
            var slow: [AsyncStream<Types_Envelope>.Continuation] = []
            for (id, subscriber) in state.subscribers where subscriber.filters.matches(EventFields.lookup(envelope)) {
                if case .dropped = subscriber.continuation.yield(envelope) {
                    state.subscribers[id] = nil
                    slow.append(subscriber.continuation)
                }
            }
            return slow
        }
        for continuation in slow {
            Log.warn("an event subscriber is too slow and was cut off", ["limit": "\(Self.queueLimit)"])
            continuation.finish()
        }
    }

    func subscribe(_ filters: FilterSet) -> Subscription {
        let (stream, continuation) = AsyncStream.makeStream(of: Types_Envelope.self, bufferingPolicy: .bufferingOldest(Self.queueLimit))
        let id = state.withLock { state -> UInt64 in
            state.nextID += 1
            for envelope in state.backlog ?? [] where filters.matches(EventFields.lookup(envelope)) { continuation.yield(envelope) }
            state.backlog = nil
            state.subscribers[state.nextID] = Subscriber(filters: filters, continuation: continuation)
            return state.nextID
        }
        continuation.onTermination = { [weak self] _ in self?.remove(id) }
        return Subscription(id: id, envelopes: stream)
    }

    private func remove(_ id: UInt64) { _ = state.withLock { $0.subscribers.removeValue(forKey: id) } }

    /// From now on an event without a subscriber is gone.
    func dropBacklog() { state.withLock { $0.backlog = nil } }

    /// A topic is a path of identifiers: "/tasks/exit".
    static func validate(topic: String) throws(SupervisorError) {
        let parts = topic.split(separator: "/", omittingEmptySubsequences: false)
        guard topic.hasPrefix("/"), parts.count >= 2, parts.dropFirst().allSatisfy({ Identifiers.isValid(String($0)) }) else {
            throw SupervisorError(.invalidArgument, "event topic \"\(topic)\" is not a path of identifiers: invalid argument")
        }
    }
}

/// `Any` as containerd writes it: the bare name of the type, without a host.
enum AnyMessages {
    static func pack(_ message: some Message) -> Google_Protobuf_Any {
        var any = Google_Protobuf_Any()
        any.typeURL = type(of: message).protoMessageName
        any.value = (try? message.serializedData()) ?? Data()
        return any
    }

    /// The message inside, if it is of that type.
    static func unpack<M: Message>(_ any: Google_Protobuf_Any, as type: M.Type = M.self) -> M? {
        guard any.typeURL == M.protoMessageName || any.typeURL.hasSuffix("/" + M.protoMessageName) else { return nil }
        return try? M(serializedBytes: any.value)
    }
}
