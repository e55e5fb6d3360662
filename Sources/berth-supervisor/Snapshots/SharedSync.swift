import LinuxSystem
import Synchronization

/// Writes a file system to disk, once for all who ask for it meanwhile.
///
/// syncfs(2) waits for everything that is dirty when it begins, whoever wrote it: the layers of an image that are done while it runs share the next one.
final class SharedSync: Sendable {
    private struct State {
        var isRunning = false
        /// Whoever came since the running one began.
        var waiting: [CheckedContinuation<Void, any Error>] = []
    }

    private let state = Mutex(State())

    /// Returns when all that was written before the call is on disk.
    /// - Parameter directory: of the file system, always the same one.
    func sync(_ directory: DirectoryFD) async throws {
        try await withCheckedThrowingContinuation { continuation in
            let isFirst = state.withLock { state in
                state.waiting.append(continuation)
                defer { state.isRunning = true }
                return !state.isRunning
            }
            guard isFirst else { return }
            let runs = BlockingThread.detach { [self] in runAll(directory) }
            if !runs { runAll(directory) }
        }
    }

    private func runAll(_ directory: DirectoryFD) {
        while true {
            let group = state.withLock { state in
                defer { state.waiting = [] }
                if state.waiting.isEmpty { state.isRunning = false }
                return state.waiting
            }
            if group.isEmpty { return }
            let result = Result { try directory.syncFileSystem() }
            for continuation in group { continuation.resume(with: result) }
        }
    }
}
