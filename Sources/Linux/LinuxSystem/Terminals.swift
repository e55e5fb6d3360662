import Glibc

/// The master side of pseudo terminals.
package enum Terminal {
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
