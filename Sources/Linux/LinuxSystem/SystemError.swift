import Glibc

/// The number a failed call left in `errno`, with the text of strerror(3).
package struct Errno: RawRepresentable, Error, Equatable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: CInt

    package init(rawValue: CInt) { self.rawValue = rawValue }

    package var description: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
            guard let base = buffer.baseAddress, strerror_r(rawValue, base, buffer.count) == 0 else { return "errno \(rawValue)" }
            return String(cString: base)
        }
    }

    /// As Go prints it, which clients of engines and runtimes look for: "no such file or directory".
    package var goDescription: String {
        let text = description
        return text.prefix(1).lowercased() + text.dropFirst()
    }

    package static let interrupted = Errno(rawValue: EINTR)
    package static let noSuchFile = Errno(rawValue: ENOENT)
    package static let fileExists = Errno(rawValue: EEXIST)
    package static let again = Errno(rawValue: EAGAIN)
    package static let invalid = Errno(rawValue: EINVAL)
    package static let notPermitted = Errno(rawValue: EPERM)
    package static let accessDenied = Errno(rawValue: EACCES)
    package static let noSuchProcess = Errno(rawValue: ESRCH)
    package static let notDirectory = Errno(rawValue: ENOTDIR)
    package static let isDirectory = Errno(rawValue: EISDIR)
    package static let busy = Errno(rawValue: EBUSY)
    package static let notEmpty = Errno(rawValue: ENOTEMPTY)
    package static let noSpace = Errno(rawValue: ENOSPC)
    package static let noSystemCall = Errno(rawValue: ENOSYS)
    package static let notSupported = Errno(rawValue: EOPNOTSUPP)
    package static let crossDevice = Errno(rawValue: EXDEV)
    package static let loop = Errno(rawValue: ELOOP)
    package static let brokenPipe = Errno(rawValue: EPIPE)
    package static let connectionReset = Errno(rawValue: ECONNRESET)
    package static let connectionRefused = Errno(rawValue: ECONNREFUSED)
    package static let noChild = Errno(rawValue: ECHILD)
    package static let noDevice = Errno(rawValue: ENODEV)
    package static let noExecutable = Errno(rawValue: ENOEXEC)
    package static let timedOut = Errno(rawValue: ETIMEDOUT)
}

/// A call into the kernel that failed: what was tried, on what, and why.
package struct SystemError: Error, Sendable, CustomStringConvertible {
    /// As `man 2` names it: "mount".
    package let call: String
    /// What a user recognises: "proc on /proc (MS_NOSUID|MS_NODEV)".
    package let subject: String
    package let errno: Errno

    package init(call: String, subject: String, errno: Errno) {
        self.call = call
        self.subject = subject
        self.errno = errno
    }

    package var description: String { subject.isEmpty ? "\(call): \(errno)" : "\(call) \(subject): \(errno)" }
}
