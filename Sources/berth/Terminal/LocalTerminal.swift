import Glibc
import LinuxSystem

/// The terminal a descriptor is connected to.
struct LocalTerminal {
    let descriptor: CInt

    var exists: Bool { isatty(descriptor) == 1 }

    /// Rows and columns; (0, 0) where there is no terminal.
    var size: (height: Int, width: Int) {
        guard let size = try? Terminal.size(of: descriptor) else { return (0, 0) }
        return (Int(size.rows), Int(size.columns))
    }

    /// Puts the terminal into raw mode; the returned value puts it back, and has to be used on every way out.
    func makeRaw() -> RawMode? {
        var saved = termios()
        guard tcgetattr(descriptor, &saved) == 0 else { return nil }
        var raw = saved
        cfmakeraw(&raw)
        guard tcsetattr(descriptor, TCSANOW, &raw) == 0 else { return nil }
        return RawMode(descriptor: descriptor, saved: saved)
    }

    /// Switches the echo off while a password is typed.
    func withoutEcho<R>(_ body: () throws -> R) rethrows -> R {
        var saved = termios()
        guard tcgetattr(descriptor, &saved) == 0 else { return try body() }
        var quiet = saved
        quiet.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(descriptor, TCSANOW, &quiet)
        defer { tcsetattr(descriptor, TCSANOW, &saved) }
        return try body()
    }
}

/// A terminal's earlier state.
final class RawMode {
    private let descriptor: CInt
    private var saved: termios
    private var isRestored = false

    init(descriptor: CInt, saved: termios) {
        self.descriptor = descriptor
        self.saved = saved
    }

    func restore() {
        if isRestored { return }
        isRestored = true
        tcsetattr(descriptor, TCSANOW, &saved)
    }

    deinit { restore() }
}
