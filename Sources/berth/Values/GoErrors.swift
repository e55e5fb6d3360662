import Glibc
import LinuxSystem

/// The text of an errno as Go prints it: strerror's, in lower case, and a few words that differ.
func goErrorText(_ errno: Errno) -> String {
    let text = errno.description
    return text.prefix(1).lowercased() + text.dropFirst()
}
