import BerthDefaults
import Glibc
import LinuxSystem

/// Connects the runtime's own terminal with that of a container in the foreground. Descriptors 0 and 1 are the near side.
final class TerminalRelay {
    private let master: OwnedFD
    private let savedMode: RawTerminalMode?
    private var inputOpen = true
    private var outputOpen = true

    /// Receives the master over the pair the console was opened with.
    init(from socket: borrowing OwnedFD) throws(RuntimeError) {
        var message = try attempt { () throws(SystemError) in try DescriptorPassing.receive(from: socket, name: "console") }
        let descriptors = message.takeDescriptors()
        guard let first = descriptors.first else { throw RuntimeError(.internalError, "no terminal arrived") }
        master = OwnedFD(adopting: first)
        savedMode = RawTerminalMode(descriptor: 0)
        copySize()
    }

    var descriptors: [CInt] { [outputOpen ? master.rawValue : -1, inputOpen ? 0 : -1] }

    /// Position 0: the container wrote; 1: the user typed.
    func relay(_ position: Int) {
        if position == 0 {
            outputOpen = Self.copy(from: master.rawValue, to: 1)
        } else if !Self.copy(from: 0, to: master.rawValue) {
            inputOpen = false
        }
    }

    /// What the container wrote before it ended.
    func drain() {
        while outputOpen, let ready = try? Processes.poll([master.rawValue], timeoutMilliseconds: 0), !ready.isEmpty { relay(0) }
    }

    func copySize() {
        if let size = try? Terminal.size(of: 0) { try? Terminal.resize(master.rawValue, columns: size.columns, rows: size.rows) }
    }

    private static func copy(from source: CInt, to target: CInt) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 8192)
        let count = read(source, &buffer, buffer.count)
        if count <= 0 { return count == -1 && (errno == EINTR || errno == EAGAIN) }
        var done = 0
        while done < count {
            let written = buffer.withUnsafeBytes { write(target, $0.baseAddress! + done, count - done) }
            if written == -1 && errno != EINTR { return false }
            if written > 0 { done += written }
        }
        return true
    }
}

/// Puts a terminal into raw mode until the end of the program's scope; nothing when the descriptor is no terminal.
final class RawTerminalMode {
    private let descriptor: CInt
    private var saved = termios()

    init?(descriptor: CInt) {
        self.descriptor = descriptor
        // As a background job the runtime would be stopped by these two; it goes on, without input.
        signal(SIGTTOU, SIG_IGN)
        signal(SIGTTIN, SIG_IGN)
        guard tcgetattr(descriptor, &saved) == 0 else { return nil }
        var raw = saved
        cfmakeraw(&raw)
        raw.c_oflag |= tcflag_t(OPOST)
        tcsetattr(descriptor, TCSANOW, &raw)
    }

    deinit { tcsetattr(descriptor, TCSANOW, &saved) }
}
