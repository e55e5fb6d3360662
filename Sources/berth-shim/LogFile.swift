import Glibc
import LinuxSystem

/// A file that output is appended to, with rotation, and with an answer to a full disk that neither stops the container for ever nor forgets
/// silently.
///
/// While the disk refuses, *blocking* mode keeps what it has got and lets the container wait, for `patience` at most; after that, and in
/// *non-blocking* mode from the beginning (there with a ring of `ringLimit` bytes), output is dropped and counted. As soon as the disk takes data
/// again, a marker that `makeMarker` builds says how much is missing.
final class LogFile {
    struct Policy {
        var maxSize: Int?
        var maxFiles = 1
        var blocking = true
        var ringLimit = 1 << 20
        /// Milliseconds.
        var patience: UInt64 = 5000
        var mode: mode_t = 0o640
    }

    private static let retryMilliseconds: UInt64 = 200

    private let path: String
    private let policy: Policy
    private let loop: EventLoop
    private var descriptor: CInt
    private var size: Int
    /// Batches of whole entries that could not be written yet; of the first one, `backlogOffset` bytes are in the file.
    private var backlog: [[UInt8]] = []
    private var backlogOffset = 0
    private var backlogBytes = 0
    private var retryTimer: Int?
    private var patienceTimer: Int?
    private(set) var isStalled = false
    private var isDropping = false
    private(set) var lostBytes = 0
    var onRelief: (() -> Void)?
    var makeMarker: ((_ lostBytes: Int) -> [UInt8])?

    /// Opens or creates the file; its directory must exist.
    init(path: String, policy: Policy, loop: EventLoop) throws(SystemError) {
        self.path = path
        self.policy = policy
        self.loop = loop
        let file = try Files.open(path, O_RDWR | O_APPEND | O_CREAT, mode: policy.mode)
        size = Int(try Files.status(of: file, name: path).st_size)
        descriptor = file.release()
    }

    /// The last byte of what is already there, nil for an empty file: tells a reader of lines whether the last one was cut off by a crash.
    var lastByte: UInt8? {
        var byte: UInt8 = 0
        return size > 0 && pread(descriptor, &byte, 1, off_t(size - 1)) == 1 ? byte : nil
    }

    // MARK: rotation

    /// Whether the next entry belongs into a new file, when `pending` more bytes are about to be written.
    func isFull(with pending: Int) -> Bool {
        guard let maxSize = policy.maxSize else { return false }
        return size + pending >= maxSize && backlog.isEmpty
    }

    /// PATH becomes PATH.1, PATH.1 becomes PATH.2 and so on; the oldest goes.
    func rotate() {
        do throws(SystemError) {
            if policy.maxFiles < 2 {
                let raw = descriptor
                try syscall("ftruncate", on: path) { ftruncate(raw, 0) }
            } else {
                for number in stride(from: policy.maxFiles - 1, to: 0, by: -1) {
                    let from = number == 1 ? path : "\(path).\(number - 1)"
                    if rename(from, "\(path).\(number)") != 0 && errno != ENOENT {
                        throw SystemError(call: "rename", subject: from, errno: Errno(rawValue: errno))
                    }
                }
                let fresh = try Files.open(path, O_RDWR | O_APPEND | O_CREAT, mode: policy.mode)
                _ = Glibc.close(descriptor)
                descriptor = fresh.release()
            }
            size = 0
        } catch {
            // The log goes on in the old file, which is better than not at all.
            ShimLog.warn("rotate log: \(error)")
            size = 0
        }
    }

    // MARK: writing

    /// Appends whole entries.
    func append(_ bytes: UnsafeRawBufferPointer, lines: Int) {
        guard descriptor >= 0, bytes.count > 0 else { return }
        guard backlog.isEmpty else { return keep(bytes) }
        let written = write(bytes)
        guard written < bytes.count else { return }
        // The rest of this batch must follow whatever happens: half an entry would spoil the file.
        backlog = [Array(bytes)]
        backlogOffset = written
        backlogBytes = bytes.count - written
        troubleBegins()
    }

    private func write(_ bytes: UnsafeRawBufferPointer) -> Int {
        var done = 0
        while done < bytes.count {
            let count = Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
            if count > 0 { done += count }
            else if count == 0 || errno != EINTR { break }
        }
        size += done
        return done
    }

    private func keep(_ bytes: UnsafeRawBufferPointer) {
        if isDropping {
            lostBytes += bytes.count
            return
        }
        backlog.append(Array(bytes))
        backlogBytes += bytes.count
        // In blocking mode the container waits, so this grows by what was under way. The ring drops its oldest entries, but not one half written.
        let limit = policy.blocking ? max(policy.ringLimit, 4 << 20) : policy.ringLimit
        while backlogBytes > limit && backlog.count > 1 {
            let victim = backlog.remove(at: backlogOffset > 0 ? 1 : 0)
            backlogBytes -= victim.count
            lostBytes += victim.count
        }
    }

    // MARK: a disk that refuses

    private func troubleBegins() {
        ShimLog.warn("write to log \(path): \(Errno(rawValue: errno))")
        retryTimer = loop.after(milliseconds: LogFile.retryMilliseconds) { [weak self] in self?.retry() }
        guard policy.blocking else { return }
        isStalled = true
        patienceTimer = loop.after(milliseconds: policy.patience) { [weak self] in self?.losePatience() }
    }

    private func losePatience() {
        patienceTimer = nil
        isDropping = true
        isStalled = false
        onRelief?()
    }

    private func retry() {
        retryTimer = nil
        while let first = backlog.first {
            let written = first.withUnsafeBytes { write(UnsafeRawBufferPointer(rebasing: $0[backlogOffset...])) }
            backlogOffset += written
            backlogBytes -= written
            guard backlogOffset == first.count else {
                retryTimer = loop.after(milliseconds: LogFile.retryMilliseconds) { [weak self] in self?.retry() }
                return
            }
            backlog.removeFirst()
            backlogOffset = 0
        }
        loop.cancel(patienceTimer)
        patienceTimer = nil
        let wasStalled = isStalled
        (isStalled, isDropping) = (false, false)
        if lostBytes > 0, let marker = makeMarker?(lostBytes) {
            lostBytes = 0
            marker.withUnsafeBytes { append($0, lines: 1) }
        }
        if wasStalled && !isStalled { onRelief?() }
    }

    func close() {
        guard descriptor >= 0 else { return }
        if !backlog.isEmpty { retry() }
        loop.cancel(retryTimer)
        loop.cancel(patienceTimer)
        if !backlog.isEmpty { ShimLog.error("log \(path): \(backlogBytes + lostBytes) bytes of output were lost") }
        _ = Glibc.close(descriptor)
        descriptor = -1
    }
}
