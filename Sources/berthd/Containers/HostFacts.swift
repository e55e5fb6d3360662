import Glibc
import LinuxSystem

/// What the daemon tells about its machine.
enum HostFacts {
    static var hostname: String {
        var name = utsname()
        guard uname(&name) == 0 else { return "localhost" }
        return text(&name.nodename)
    }

    static let kernelVersion: String = {
        var name = utsname()
        guard uname(&name) == 0 else { return "" }
        return text(&name.release)
    }()

    /// Whether the kernel is of this version or a later one.
    static func isKernel(atLeast wanted: (major: Int, minor: Int)) -> Bool {
        let numbers = kernelVersion.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        return numbers.count == 2 && (numbers[0], numbers[1]) >= (wanted.major, wanted.minor)
    }

    /// As `uname -m`.
    static let machine: String = {
        var name = utsname()
        guard uname(&name) == 0 else { return "" }
        return text(&name.machine)
    }()

    /// As Go names it.
    static var architecture: String {
        switch machine {
        case "x86_64": "amd64"
        case "aarch64": "arm64"
        case "armv7l", "armv6l": "arm"
        case "i686", "i386": "386"
        default: machine
        }
    }

    static var cpuCount: Int { Int(sysconf(CInt(_SC_NPROCESSORS_ONLN))) }

    static let memoryTotalBytes: Int64 = Int64(sysconf(CInt(_SC_PHYS_PAGES))) * Int64(sysconf(CInt(_SC_PAGESIZE)))

    /// `PRETTY_NAME` and `VERSION_ID` of os-release(5).
    static let operatingSystem: (name: String, version: String) = {
        let text = (try? Files.readText("/etc/os-release")) ?? (try? Files.readText("/usr/lib/os-release")) ?? ""
        func value(_ key: String) -> String? {
            for line in text.split(separator: "\n") where line.hasPrefix(key + "=") {
                return String(line.dropFirst(key.count + 1)).trimmingQuotes()
            }
            return nil
        }
        return (value("PRETTY_NAME") ?? "Linux", value("VERSION_ID") ?? "")
    }()

    static let hasUnifiedCgroups = Files.exists("/sys/fs/cgroup/cgroup.controllers")

    private static func text<T>(_ field: inout T) -> String {
        withUnsafeBytes(of: &field) { bytes in String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }
    }
}

extension String {
    fileprivate func trimmingQuotes() -> String { count >= 2 && (hasPrefix("\"") || hasPrefix("'")) ? String(dropFirst().dropLast()) : self }
}

/// Removal of the daemon's own directories. Contents are plain files of the daemon; nothing of a container's is in there.
enum DirectoryRemoval {
    /// Missing directories are fine; what cannot be removed is reported in the log.
    static func remove(_ path: String) {
        for name in (try? Files.entries(of: path)) ?? [] where name != "." && name != ".." {
            let child = path + "/" + name
            var status = stat()
            guard lstat(child, &status) == 0 else { continue }
            if status.st_mode & S_IFMT == S_IFDIR { remove(child) } else { unlink(child) }
        }
        if rmdir(path) != 0, errno != ENOENT { Log.warning("cannot remove \(path): \(Errno(rawValue: errno))") }
    }
}
