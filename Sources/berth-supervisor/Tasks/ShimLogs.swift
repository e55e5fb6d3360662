import Glibc
import LinuxSystem
import Synchronization

/// Copies the shims' own messages, which come through the FIFO `log` of each bundle, to our stderr. One thread for all of them.
final class ShimLogs: Sendable {
    private struct State {
        var files: [UInt64: (key: TaskKey, descriptor: CInt)] = [:]
        var nextToken: UInt64 = 1
        var hasThread = false
    }

    private let epoll: EpollBox
    private let state = Mutex(State())

    /// Safety: epoll_ctl and epoll_wait may be called from several threads; the event buffer is only the reading thread's.
    private final class EpollBox: @unchecked Sendable {
        let epoll: Epoll
        init() throws(SystemError) { epoll = try Epoll() }
    }

    init() throws(SystemError) { epoll = try EpollBox() }

    /// Reads the bundle's log from now on. Must happen before the shim starts, which otherwise has nobody to write to.
    func follow(_ bundle: Bundle) {
        // Open for writing too: the FIFO then never reads as ended, and the shim's open does not wait for us after a restart.
        let path = "\(bundle.path)/log"
        guard Pipes.isFIFO(path), let file = try? Files.open(path, O_RDWR | O_NONBLOCK) else { return }
        let raw = file.release()
        let (token, start) = state.withLock { state -> (UInt64, Bool) in
            let token = state.nextToken
            state.nextToken += 1
            state.files[token] = (bundle.key, raw)
            defer { state.hasThread = true }
            return (token, !state.hasThread)
        }
        do { try epoll.epoll.add(raw, .read, token: token) } catch { remove(token) }
        if start { _ = BlockingThread.detach { [self] in read() } }
    }

    func forget(_ key: TaskKey) {
        let tokens = state.withLock { state in state.files.filter { $0.value.key == key }.map(\.key) }
        for token in tokens { remove(token) }
    }

    private func remove(_ token: UInt64) {
        guard let file = state.withLock({ $0.files.removeValue(forKey: token) }) else { return }
        epoll.epoll.remove(file.descriptor)
        close(file.descriptor)
    }

    private func read() {
        while true {
            epoll.epoll.wait(milliseconds: -1) { token, _ in
                // The lock is held while reading: the descriptor must not be closed and taken by somebody else meanwhile.
                state.withLock { state in
                    guard let file = state.files[token] else { return }
                    var buffer = [UInt8](repeating: 0, count: 4096)
                    let count = Glibc.read(file.descriptor, &buffer, buffer.count)
                    if count > 0 { _ = Glibc.write(STDERR_FILENO, buffer, count) }
                }
            }
        }
    }
}
