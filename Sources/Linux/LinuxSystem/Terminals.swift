import Glibc

/// The master side of pseudo terminals.
package enum Terminal {
    /// Tells the kernel the window's size, in characters; the foreground process group gets SIGWINCH when it changed.
    package static func resize(_ master: CInt, columns: UInt16, rows: UInt16) throws(SystemError) {
        var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        try syscall("ioctl", on: "TIOCSWINSZ \(columns)x\(rows)") { ioctl(master, UInt(TIOCSWINSZ), &size) }
    }

    package static func size(of master: CInt) throws(SystemError) -> (columns: UInt16, rows: UInt16) {
        var size = winsize()
        try syscall("ioctl", on: "TIOCGWINSZ") { ioctl(master, UInt(TIOCGWINSZ), &size) }
        return (size.ws_col, size.ws_row)
    }
}
