import BerthDefaults
import Glibc

/// Runs one blocking piece of work on a thread of its own.
///
/// For work that waits for another program, such as a shim that starts: a pool would run out of threads when several programs hang, and then one
/// container's trouble would hold up all others. A thread costs some ten microseconds. Short waits for the disk belong on NIO's thread pool.
enum BlockingThread {
    /// Safety: handed to exactly one thread, which takes it once.
    private final class Work: @unchecked Sendable {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    static func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Value, any Error>) in
            let work = Work { continuation.resume(with: Result(catching: body)) }
            if !start(work) {
                continuation.resume(throwing: SupervisorError(.resourceExhausted, "cannot start a thread: \(String(cString: strerror(errno)))"))
            }
        }
    }

    /// Runs `body` on a thread that lives as long as it does.
    static func detach(_ body: @escaping @Sendable () -> Void) -> Bool { start(Work(body)) }

    private static func start(_ work: Work) -> Bool {
        var thread: pthread_t = 0
        let argument = Unmanaged.passRetained(work).toOpaque()
        let result = pthread_create(&thread, nil, { argument in
            guard let argument else { return nil }
            Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
            return nil
        }, argument)
        if result != 0 {
            Unmanaged<Work>.fromOpaque(argument).release()
            errno = result
            return false
        }
        pthread_detach(thread)
        return true
    }
}
