import CLinux
import Glibc
@testable import LinuxSystem
import Testing

@Suite struct `Directories that have nothing to do with each other` {
    /// Where ext4 keeps such a mark chattr(1) shows it; tmpfs has none.
    @Test(arguments: ["/var/tmp", "/dev/shm"])
    func `are marked where the file system knows the mark, and made as ever where not`(parent: String) throws {
        let path = "\(parent)/berth-spread-\(getpid())"
        try Files.makeDirectories(path, mode: 0o700)
        defer { for part in ["/one/two", "/one", ""] { try? Files.removeEmptyDirectory(path + part) } }
        let directory = try DirectoryFD(path: path)
        // Twice: a second start finds the mark.
        for _ in 0..<2 { try directory.spreadDirectories() }
        try Files.makeDirectories("\(path)/one/two", mode: 0o700)

        let file = try directory.readable()
        let isExt4 = try Mounts.filesystem(of: file, name: path).f_type == 0xef53  // EXT4_SUPER_MAGIC
        var flags: CInt = 0
        guard ioctl(file.rawValue, 0x8008_6601, &flags) == 0 else { return }
        #expect((flags & 0x0002_0000 != 0) == isExt4)
    }
}
