import Glibc

/// A descriptor with exactly one owner, closed when that owner's scope ends.
///
/// Take `borrowing OwnedFD` to use it, `consuming` to keep it. Everything in this module opens with O_CLOEXEC; passing a descriptor on to
/// another program is an explicit act of `Processes.swift`.
package struct OwnedFD: ~Copyable, Sendable {
    package let rawValue: CInt

    /// Takes over a descriptor that nobody else will close.
    package init(adopting rawValue: CInt) { self.rawValue = rawValue }

    /// Gives the descriptor up, for example to hand it to a child.
    package consuming func release() -> CInt {
        let raw = rawValue
        discard self
        return raw
    }

    /// A second descriptor for the same open file, close-on-exec.
    package borrowing func duplicate() throws(SystemError) -> OwnedFD {
        let raw = rawValue
        return OwnedFD(adopting: try syscall("fcntl", on: "F_DUPFD_CLOEXEC of descriptor \(raw)") { fcntl(raw, F_DUPFD_CLOEXEC, 3) })
    }

    /// Closes now and reports the result, where it matters: close(2) may be the first to tell of a failed write. Not repeated on EINTR, since Linux
    /// has freed the number by then.
    package consuming func close(on subject: @autoclosure () -> String = "") throws(SystemError) {
        let raw = release()
        if Glibc.close(raw) == -1 {
            let errno = Errno(rawValue: Glibc.errno)
            if errno != .interrupted { throw SystemError(call: "close", subject: subject(), errno: errno) }
        }
    }

    deinit { _ = Glibc.close(rawValue) }
}
