import BerthDefaults
import Glibc
import LinuxSystem

/// Keeps a second supervisor away from a directory as long as this process lives, however it ends.
///
/// The file that is locked holds the process id, for people and scripts. Only the lock decides: a number outlives a crash.
final class DirectoryLock: Sendable {
    private let descriptor: CInt

    /// - Throws: conflict when somebody else has it.
    init(_ directory: String) throws {
        let path = "\(directory)/supervisor.pid"
        let file = try Files.open(path, O_RDWR | O_CREAT, mode: 0o600)
        let raw = file.rawValue
        do throws(SystemError) { try syscall("flock", on: path) { flock(raw, LOCK_EX | LOCK_NB) } } catch {
            guard error.errno == .again else { throw error }
            throw SupervisorError(.conflict, "another supervisor uses \(directory) (it holds \(path))")
        }
        try syscall("ftruncate", on: path) { ftruncate(raw, 0) }
        var line = "\(getpid())\n"
        do throws(SystemError) { try syscall("write", on: path) { line.withUTF8 { write(raw, $0.baseAddress, $0.count) } } } catch {
            // A full disk is where a supervisor is needed: it removes images. The lock holds without the number.
            guard error.errno == .noSpace || error.errno == Errno(rawValue: EDQUOT) else { throw error }
        }
        descriptor = file.release()
    }

    func release() { close(descriptor) }
}
