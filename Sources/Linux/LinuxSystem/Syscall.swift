import Glibc

/// Runs one system call and repeats it on EINTR. Nothing runs between the call and reading errno.
///
/// `package`, so that `Cgroups` and `Netlink`, which stand on this module, report failures in the same form.
@discardableResult
package func syscall<R: FixedWidthInteger>(
    _ call: StaticString, on subject: @autoclosure () -> String, _ body: () -> R
) throws(SystemError) -> R {
    while true {
        let result = body()
        if result != -1 { return result }
        let errno = Errno(rawValue: Glibc.errno)
        if errno != .interrupted { throw SystemError(call: "\(call)", subject: subject(), errno: errno) }
    }
}
