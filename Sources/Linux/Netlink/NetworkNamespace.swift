import CLinux
import Glibc
package import LinuxSystem

/// A network namespace, held open by a descriptor. Holding it keeps it alive: let go as soon as the work is done, or its veths stay.
package struct NetworkNamespace: ~Copyable, Sendable {
    private let file: OwnedFD
    /// The path that it was opened by, for errors.
    private let path: String

    package init(path: String) throws(SystemError) {
        self.path = path
        let raw = try syscall("open", on: path) { open(path, O_RDONLY | O_CLOEXEC) }
        file = OwnedFD(adopting: raw)
    }

    /// A new one, which nothing else holds. It has `lo`, which is down.
    package static func make() throws(SystemError) -> NetworkNamespace {
        // unshare(2) moves the thread alone, which ends with it.
        try OwnThread.run { () throws(SystemError) -> Made in
            try syscall("unshare", on: "network namespace") { berth_unshare(0x4000_0000) }  // CLONE_NEWNET
            return Made(try NetworkNamespace(path: "/proc/thread-self/ns/net"))
        }.take()
    }

    /// Carries a namespace out of a closure that returns copies.
    private final class Made {
        private var namespace: NetworkNamespace?
        init(_ namespace: consuming NetworkNamespace) { self.namespace = consume namespace }
        func take() -> NetworkNamespace { namespace.take()! }
    }

    /// The namespace that process `pid` is in.
    package init(of pid: Int32) throws(SystemError) { try self.init(path: "/proc/\(pid)/ns/net") }

    /// The descriptor, for requests that name a namespace; stays owned here.
    package var descriptor: CInt { file.rawValue }

    /// Device and inode of the namespace: equal for equal namespaces.
    package func identity() throws(SystemError) -> UInt64 {
        var status = stat()
        try syscall("fstat", on: path) { fstat(file.rawValue, &status) }
        return UInt64(status.st_ino)
    }

    /// Runs `body` on a thread of its own inside the namespace and waits for it.
    ///
    /// The thread ends afterwards, so that none of the process's other threads is ever in a wrong namespace. Sockets opened by `body` stay in the namespace;
    /// `/proc/sys/net` and `/proc/thread-self/net` are the namespace's, `/sys/class/net` is not.
    package func perform<Result: Sendable>(_ body: @Sendable () throws(SystemError) -> Result) throws(SystemError) -> Result {
        try withoutActuallyEscaping(body) { (body) throws(SystemError) -> Result in
            let job = Job(file: file.rawValue, path: path, body: body)
            let argument = Unmanaged.passRetained(job)
            var thread = pthread_t()
            var attributes = pthread_attr_t()
            pthread_attr_init(&attributes)
            pthread_attr_setstacksize(&attributes, 256 * 1024)
            let code = pthread_create(&thread, &attributes, { argument in
                guard let argument else { return nil }
                let job = Unmanaged<AnyJob>.fromOpaque(argument).takeRetainedValue()
                job.run()
                return nil
            }, Unmanaged<AnyJob>.passUnretained(argument.takeUnretainedValue()).toOpaque())
            pthread_attr_destroy(&attributes)
            guard code == 0 else {
                argument.release()
                throw SystemError(call: "pthread_create", subject: "for network namespace \(path)", errno: Errno(rawValue: code))
            }
            pthread_join(thread, nil)
            return try job.result()
        }
    }
}

/// What a namespace thread carries out; a class, so that it passes through C's `void *`.
private class AnyJob {
    func run() {}
}

private final class Job<Value: Sendable>: AnyJob {
    private let file: CInt
    private let path: String
    private let body: @Sendable () throws(SystemError) -> Value
    private var value: Swift.Result<Value, SystemError>?

    init(file: CInt, path: String, body: @escaping @Sendable () throws(SystemError) -> Value) {
        self.file = file
        self.path = path
        self.body = body
    }

    override func run() {
        do throws(SystemError) {
            try syscall("setns", on: "network namespace \(path)") { berth_setns(file, 0x4000_0000) }  // CLONE_NEWNET
            value = .success(try body())
        } catch {
            value = .failure(error)
        }
    }

    /// Only after the thread was joined.
    func result() throws(SystemError) -> Value {
        guard let value else { throw SystemError(call: "pthread_join", subject: "network namespace \(path)", errno: .noSuchProcess) }
        return try value.get()
    }
}
