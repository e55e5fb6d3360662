import Synchronization

/// Tells the first of several ends from the later ones.
final class FirstCall: Sendable {
    private let happened = Mutex(false)

    func isFirst() -> Bool {
        happened.withLock { happened in
            defer { happened = true }
            return !happened
        }
    }
}

/// Runs `body` and calls `leave` once: when that ends, or as soon as this task is cancelled.
func leavingOnce<Value: Sendable>(_ leave: @escaping @Sendable () -> Void, _ body: () async throws -> Value) async throws -> Value {
    let end = FirstCall()
    let leaveOnce: @Sendable () -> Void = { if end.isFirst() { leave() } }
    defer { leaveOnce() }
    return try await withTaskCancellationHandler(operation: body, onCancel: leaveOnce)
}

/// Work that is done once however many ask for it at the same time. When the last of them gives up, it is cancelled.
final class SharedWork<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private final class Entry: Sendable {
        let task: Task<Value, any Error>
        let users = Mutex(1)
        init(_ task: Task<Value, any Error>) { self.task = task }
    }

    private let running = Mutex<[Key: Entry]>([:])

    /// - Parameter body: run unless the same work runs already.
    func run(_ key: Key, _ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let entry = running.withLock { running -> Entry in
            if let entry = running[key] {
                entry.users.withLock { $0 += 1 }
                return entry
            }
            let entry = Entry(Task(operation: body))
            running[key] = entry
            return entry
        }
        return try await leavingOnce { [self] in
            let isLast = entry.users.withLock { users in
                users -= 1
                return users == 0
            }
            guard isLast else { return }
            running.withLock { if $0[key] === entry { $0[key] = nil } }
            entry.task.cancel()
        } _: {
            try await entry.task.value
        }
    }
}
