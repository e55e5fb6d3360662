import Glibc

/// A thread for one piece of work that changes what belongs to a thread alone (its mount namespace, its root), or that waits for somebody else for long.
package enum OwnThread {
    /// Runs `body` on a thread that is made for it and ends with it, and waits for the result. The caller's thread stays as it is.
    package static func run<Value>(_ body: () throws(SystemError) -> Value) throws(SystemError) -> Value {
        try withoutActuallyEscaping(body) { (body) throws(SystemError) -> Value in
            let outcome = Outcome<Value>()
            let thread = try start(Work {
                do throws(SystemError) { outcome.result = .success(try body()) } catch { outcome.result = .failure(error) }
            })
            pthread_join(thread, nil)
            guard let result = outcome.result else { throw SystemError(call: "pthread_join", subject: "a thread of its own", errno: .noSuchProcess) }
            return try result.get()
        }
    }

    /// Runs `body` on a thread of its own; nobody waits.
    package static func detach(_ body: @escaping @Sendable () -> Void) throws(SystemError) { pthread_detach(try start(Work(body))) }

    /// Written by the thread before it ends, read by who has joined it.
    private final class Outcome<Value> { var result: Result<Value, SystemError>? }

    // Safety: handed to exactly one thread, which takes it once.
    private final class Work: @unchecked Sendable {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    private static func start(_ work: Work) throws(SystemError) -> pthread_t {
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(work)
        let code = pthread_create(&thread, nil, { argument in
            if let argument { Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body() }
            return nil
        }, argument.toOpaque())
        guard code == 0 else {
            argument.release()
            throw SystemError(call: "pthread_create", subject: "a thread of its own", errno: Errno(rawValue: code))
        }
        return thread
    }
}
