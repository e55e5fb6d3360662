import BerthDefaults
import Glibc
import LinuxSystem
import OCISpec

/// The terminal of a container.
enum Console {
    /// Opens a pseudo terminal in the container's devpts, binds it to /dev/console if asked, makes it the caller's controlling terminal and standard
    /// streams, and sends the master, with the slave's name as text, over the socket.
    ///
    /// `passesLineFeeds` is for a terminal that the runtime relays to the caller's own: a line feed stays one, the caller's terminal adds what it needs.
    ///
    /// The slave is used by descriptor throughout: its name could be anything in a hostile /dev (CVE-2025-52565).
    static func open(in root: borrowing RootedPath, sendTo socket: CInt, size: RuntimeSpec.ConsoleSize?, bindConsole: Bool, passesLineFeeds: Bool) throws(SystemError) {
        let ptmx = try root.open("/dev/pts/ptmx", O_RDWR | O_NOCTTY)
        let terminal = try PseudoTerminal(ptmx: ptmx)
        if let size, size.width != 0, size.height != 0 { try Terminal.resize(terminal.master.rawValue, columns: size.width, rows: size.height) }
        if passesLineFeeds { Terminal.passLineFeeds(terminal.slave.rawValue) }
        if bindConsole {
            let target = try root.makeFile("/dev/console", mode: 0o600)
            let tree = try Mounts.cloneTree(of: terminal.slave, name: terminal.name, recursive: false)
            try Mounts.attach(tree, onto: target, name: "/dev/console")
        }
        try DescriptorPassing.send(Array(terminal.name.utf8), descriptors: [terminal.master.rawValue], overRaw: socket, name: "console socket")
        try terminal.becomeControlling()
    }
}
