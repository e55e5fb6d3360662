package import LinuxSystem

/// Why something could not be done with a cgroup.
package enum CgroupError: Error, Sendable, CustomStringConvertible {
    /// The kernel refused; the error names the file and the value.
    case kernel(SystemError)
    /// The request makes no sense or cannot be expressed on this machine. One line for the user.
    case invalid(String)

    package var description: String {
        switch self {
        case .kernel(let error): error.description
        case .invalid(let message): message
        }
    }

    /// The kernel's answer, if it was the kernel's.
    package var errno: Errno? { if case .kernel(let error) = self { error.errno } else { nil } }
}
