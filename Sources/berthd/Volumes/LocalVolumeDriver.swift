import Glibc
import LinuxSystem

/// The files of volumes below one directory, and the mounts that options ask for. Every call blocks.
///
///     ROOT/NAME/_data           what containers see
///     ROOT/.removing-XXXX       a volume that is going away: out of sight at once, its files follow
struct LocalVolumeDriver: Sendable {
    let root: String

    private static let removingPrefix = ".removing-"

    func path(of name: String) -> String { "\(root)/\(name)" }
    func dataPath(of name: String) -> String { "\(root)/\(name)/_data" }

    /// Makes the root, out of reach for the host's other users (it holds setuid programs that belong to containers), and finishes interrupted removals.
    func prepare() throws(SystemError) {
        try Files.makeDirectories(root, mode: 0o701)
        let directory = try DirectoryFD(path: root)
        for name in try Files.entries(of: root) where name.hasPrefix(Self.removingPrefix) { try? FileTree.remove(CName(name), in: directory) }
    }

    func create(_ name: String) throws(SystemError) {
        try Files.makeDirectories(path(of: name), mode: 0o701)
        try Files.makeDirectories(dataPath(of: name), mode: 0o755)
    }

    /// Unmounts and removes everything of a volume. One that is not there is fine.
    func remove(_ name: String) throws(SystemError) {
        try unmount(name)
        let directory = try DirectoryFD(path: root)
        let doomed = CName(Self.removingPrefix + Identifier.random(digits: 16))
        do throws(SystemError) {
            try directory.rename(CName(name), to: doomed, in: directory)
        } catch where error.errno == .noSuchFile {
            return
        }
        try FileTree.remove(doomed, in: directory)
    }

    func isEmpty(_ name: String) throws(SystemError) -> Bool { try DirectoryFD(path: dataPath(of: name)).names().isEmpty }

    /// Bytes on disk.
    func size(_ name: String) throws(SystemError) -> Int64 { try FileTree.size(try DirectoryFD(path: path(of: name))) }

    // MARK: - Mounts

    /// Mounts what the options `type`, `device` and `o` say onto the volume's directory, once.
    func mount(_ name: String, options: [String: String]) throws(SystemError) {
        guard let type = options["type"], let device = options["device"], try !isMounted(name) else { return }
        let (flags, data) = MountOptionText.parse(options["o"] ?? "")
        do throws(SystemError) {
            try Mounts.mountClassic(device, on: dataPath(of: name), type: type, flags: flags, data: data)
        } catch {
            // The options may hold a password, and the error's text repeats none of them.
            throw SystemError(call: error.call, subject: "failed to mount local volume: mount \(device):\(dataPath(of: name)), type: \(type)", errno: error.errno)
        }
    }

    func unmount(_ name: String) throws(SystemError) {
        guard Files.exists(dataPath(of: name)) else { return }
        while try isMounted(name) { try Mounts.detach(dataPath(of: name)) }
    }

    /// A mount point is on another device than its parent, or is bound: /proc/self/mountinfo tells both.
    private func isMounted(_ name: String) throws(SystemError) -> Bool { try HoldingMount.of(dataPath(of: name)).path == dataPath(of: name) }
}

/// The text of mount(8)'s `-o`.
enum MountOptionText {
    private static let flags: [String: (UInt, Bool)] = [
        "ro": (1, true), "rw": (1, false), "nosuid": (2, true), "suid": (2, false), "nodev": (4, true), "dev": (4, false), "noexec": (8, true), "exec": (8, false),
        "sync": (16, true), "async": (16, false), "dirsync": (128, true), "noatime": (1024, true), "atime": (1024, false), "nodiratime": (2048, true),
        "diratime": (2048, false), "bind": (4096, true), "rbind": (4096 | 16384, true), "relatime": (1 << 21, true), "norelatime": (1 << 21, false),
        "strictatime": (1 << 24, true), "nostrictatime": (1 << 24, false), "mand": (64, true), "nomand": (64, false), "defaults": (0, true),
    ]

    /// Flags of mount(2), and what is left for the file system.
    static func parse(_ text: String) -> (flags: UInt, data: String) {
        var result: UInt = 0
        var data: [Substring] = []
        for option in text.split(separator: ",") {
            guard let (bits, isSet) = flags[String(option)] else {
                data.append(option)
                continue
            }
            if isSet { result |= bits } else { result &= ~bits }
        }
        return (result, data.joined(separator: ","))
    }
}
