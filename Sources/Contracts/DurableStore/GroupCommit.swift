package import GRDB
package import NIOPosix
import Synchronization

/// Runs transactions on one thread and commits those that wait together as one.
///
/// A commit waits for the disk; while it does, the next changes gather. Each runs inside a savepoint, so that one that throws leaves the others alone.
/// Nobody is answered before the commit has returned.
package final class GroupCommit: Sendable {
    private struct Job: Sendable {
        /// Runs the change; what it returns or throws is kept until `finish`.
        let run: @Sendable (Database) throws -> Void
        /// Answers: nil after a commit, the error when it failed.
        let finish: @Sendable ((any Error)?) -> Void
    }

    private struct State {
        var jobs: [Job] = []
        var isRunning = false
    }

    /// The result of one change until its commit.
    private final class Outcome<Value: Sendable>: Sendable {
        let result = Mutex<Result<Value, any Error>?>(nil)
    }

    private static let largestGroup = 256
    private let writer: any DatabaseWriter
    private let threads: NIOThreadPool
    private let state = Mutex(State())

    /// - Parameters:
    ///   - writer: the database, whose commits are durable by its own settings (`synchronous`).
    ///   - threads: started by the caller; one of them is taken while there is something to write.
    package init(writer: any DatabaseWriter, threads: NIOThreadPool) {
        self.writer = writer
        self.threads = threads
    }

    /// Makes every commit wait until it is on the disk. After the database was opened: GRDB sets `synchronous = NORMAL` for WAL at the end of opening it, after
    /// the configuration's own statements.
    package static func makeDurable(_ writer: any DatabaseWriter) throws {
        try writer.writeWithoutTransaction { db in try db.execute(sql: "PRAGMA synchronous = FULL") }
    }

    /// Runs `body` inside a transaction, and returns when that is committed. On a full disk it is run once more, in the room that the log's own file gives.
    /// - Throws: what `body` throws, after its own changes alone were undone; else what SQLite says of the commit.
    package func submit<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        do { return try await run(body) } catch let error as DatabaseError where error.resultCode == .SQLITE_FULL {
            try? await threads.runIfActive { [writer] in try Self.emptyLog(writer) }
            return try await run(body)
        }
    }

    /// Brings what the write-ahead log holds into the database, where most of it takes the place of what was there, and cuts its file off: some megabytes that a full disk has again.
    private static func emptyLog(_ writer: any DatabaseWriter) throws {
        try writer.writeWithoutTransaction { db in try db.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
    }

    private func run<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        let outcome = Outcome<Value>()
        return try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Value, any Error>) in
            let job = Job { db in
                do {
                    let value = try body(db)
                    outcome.result.withLock { $0 = .success(value) }
                } catch {
                    outcome.result.withLock { $0 = .failure(error) }
                    throw error
                }
            } finish: { error in
                let result = outcome.result.withLock { $0 }
                switch (error, result) {
                case (_, .failure(let own)?): continuation.resume(throwing: own)
                case (let error?, _): continuation.resume(throwing: error)
                case (nil, .success(let value)?): continuation.resume(returning: value)
                case (nil, nil): continuation.resume(throwing: DatabaseError(resultCode: .SQLITE_ABORT, message: "the transaction was not run"))
                }
            }
            let start = state.withLock { state in
                state.jobs.append(job)
                defer { state.isRunning = true }
                return !state.isRunning
            }
            if start { threads.submit { [self] _ in drain() } }
        }
    }

    private func drain() {
        while true {
            let group = state.withLock { state -> [Job] in
                let group = Array(state.jobs.prefix(Self.largestGroup))
                state.jobs.removeFirst(group.count)
                if group.isEmpty { state.isRunning = false }
                return group
            }
            if group.isEmpty { return }
            var failure: (any Error)?
            do {
                try writer.writeWithoutTransaction { db in
                    try db.inTransaction(.immediate) {
                        for job in group {
                            // What the change throws is in its outcome; only the savepoint's own failure ends the group.
                            try db.inSavepoint {
                                do { try job.run(db) } catch { return .rollback }
                                return .commit
                            }
                        }
                        return .commit
                    }
                }
            } catch {
                failure = error
            }
            for job in group { job.finish(failure) }
        }
    }
}
