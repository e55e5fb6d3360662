import Glibc

/// The master side of pseudo terminals.
package enum Terminal {
    /// Has a line feed stay one, instead of becoming a carriage return with it.
    package static func passLineFeeds(_ descriptor: CInt) {
        var mode = termios()
        guard tcgetattr(descriptor, &mode) == 0 else { return }
        mode.c_oflag &= ~tcflag_t(ONLCR)
        tcsetattr(descriptor, TCSANOW, &mode)
    }

    /// Tells the kernel the window's size, in characters; the foreground process group gets SIGWINCH when it changed.
    package static func resize(_ master: CInt, columns: UInt16, rows: UInt16) throws(SystemError) {
        // struct winsize: rows, columns, two unused. More than one module of Swift's defines it, so it cannot be named.
        var size: (UInt16, UInt16, UInt16, UInt16) = (rows, columns, 0, 0)
        try syscall("ioctl", on: "TIOCSWINSZ \(columns)x\(rows)") { ioctl(master, UInt(TIOCSWINSZ), &size) }
    }

    package static func size(of master: CInt) throws(SystemError) -> (columns: UInt16, rows: UInt16) {
        var size: (rows: UInt16, columns: UInt16, UInt16, UInt16) = (0, 0, 0, 0)
        try syscall("ioctl", on: "TIOCGWINSZ") { ioctl(master, UInt(TIOCGWINSZ), &size) }
        return (size.columns, size.rows)
    }
}
