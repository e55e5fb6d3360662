import CLinux
import Glibc

/// Both ends of a new pseudo terminal.
package struct PseudoTerminal: ~Copyable {
    package let master: OwnedFD
    package let slave: OwnedFD
    /// In the devpts it belongs to: "/dev/pts/3".
    package let name: String

    /// From an open `ptmx`, consumed as the master.
    ///
    /// The slave is opened from the master itself (TIOCGPTPEER), not by its name, which in a container could be anything.
    package init(ptmx: consuming OwnedFD) throws(SystemError) {
        let fd = ptmx.rawValue
        guard try Mounts.filesystem(of: ptmx, name: "ptmx").f_type == 0x1cd1 else {
            throw SystemError(call: "open", subject: "/dev/pts/ptmx is not on devpts", errno: .noDevice)
        }
        var unlock: CInt = 0
        try syscall("ioctl", on: "TIOCSPTLCK") { berth_ioctl(fd, 0x4004_5431, &unlock) }
        var number: CUnsignedInt = 0
        try syscall("ioctl", on: "TIOCGPTN") { berth_ioctl(fd, 0x8004_5430, &number) }
        slave = OwnedFD(adopting: try syscall("ioctl", on: "TIOCGPTPEER") { berth_ioctl_int(fd, 0x5441, UInt(O_RDWR | O_NOCTTY | O_CLOEXEC)) })
        name = "/dev/pts/\(number)"
        master = ptmx
    }

    /// Starts a session of the caller's own with the slave as its controlling terminal and as descriptors 0, 1 and 2.
    package borrowing func becomeControlling() throws(SystemError) {
        let fd = slave.rawValue
        try syscall("ioctl", on: "TIOCSCTTY") { berth_ioctl_int(fd, 0x540e, 0) }
        for number in CInt(0)...2 { try Processes.passOn(slave, as: number) }
    }
}
