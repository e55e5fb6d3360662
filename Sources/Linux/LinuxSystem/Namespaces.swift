import CLinux
import Glibc

/// The kinds of namespaces, by the names of the OCI specification.
package enum NamespaceKind: String, CaseIterable, Sendable {
    case user, mount, pid, network, ipc, uts, cgroup, time

    /// The CLONE_NEW… flag.
    package var cloneFlag: UInt64 {
        switch self {
        case .user: 0x1000_0000
        case .mount: 0x0002_0000
        case .pid: 0x2000_0000
        case .network: 0x4000_0000
        case .ipc: 0x0800_0000
        case .uts: 0x0400_0000
        case .cgroup: 0x0200_0000
        case .time: 0x0000_0080
        }
    }

    /// The file in /proc/PID/ns.
    package var fileName: String {
        switch self {
        case .mount: "mnt"
        case .network: "net"
        default: rawValue
        }
    }
}

package enum Namespaces {
    /// Enters the namespace behind `file`. `path` is only used in the error. A pid or time namespace is entered by the next child only.
    /// - Throws: `SystemError`; EINVAL means that another thread exists or the kind does not match.
    ///
    /// Spec: OCI runtime-spec, config-linux.md#namespaces. Kernel: setns(2).
    package static func enter(_ kind: NamespaceKind, at path: String, through file: borrowing OwnedFD) throws(SystemError) {
        let fd = file.rawValue
        try syscall("setns", on: "\(kind) namespace \(path)") { berth_setns(fd, CInt(truncatingIfNeeded: kind.cloneFlag)) }
    }

    /// Enters several namespaces of the process behind a pidfd at once; the kernel takes the user namespace first.
    package static func enter(_ kinds: [NamespaceKind], of pidfd: borrowing OwnedFD, name: String) throws(SystemError) {
        let fd = pidfd.rawValue
        let flags = kinds.reduce(UInt64(0)) { $0 | $1.cloneFlag }
        if flags == 0 { return }
        try syscall("setns", on: "namespaces of \(name)") { berth_setns(fd, CInt(truncatingIfNeeded: flags)) }
    }

    package static func unshare(_ kinds: [NamespaceKind]) throws(SystemError) {
        let flags = kinds.reduce(UInt64(0)) { $0 | $1.cloneFlag }
        if flags == 0 { return }
        try syscall("unshare", on: kinds.map(\.rawValue).joined(separator: ",")) { berth_unshare(CInt(truncatingIfNeeded: flags)) }
    }

    /// Gives the calling thread a root and working directory of its own, without which it cannot enter a mount namespace. Kernel: unshare(2), CLONE_FS.
    package static func unshareDirectories() throws(SystemError) { try syscall("unshare", on: "directories") { berth_unshare(0x200) } }

    /// What identifies a namespace: two paths with the same identity are the same namespace.
    package static func identity(_ path: String) throws(SystemError) -> UInt64 { UInt64(try Files.status(path).st_ino) }
}
