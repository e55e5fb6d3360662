import Glibc
import LinuxSystem

/// The one thing looked up in the container's /etc/passwd: a home directory for HOME.
enum UserDatabase {
    /// "/" when the user is not listed or the file is not what it should be. The file is the image's: it may be a FIFO, a device or endless.
    static func home(of uid: UInt32) -> String {
        guard let file = try? Files.open("/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY),
            let status = try? Files.status(of: file, name: "/etc/passwd"), status.isRegular,
            let bytes = try? Files.readAll(file, name: "/etc/passwd", limit: 1 << 20)
        else { return "/" }
        let wanted = Array("\(uid)".utf8)
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            guard fields.count >= 7, fields[2].elementsEqual(wanted), !fields[5].isEmpty else { continue }
            return fields[5].contains(0) ? "/" : String(decoding: fields[5], as: UTF8.self)
        }
        return "/"
    }
}

/// Descriptors 0, 1 and 2 of the user's program.
enum StandardStreams {
    /// Changes the owner, so that the user can open /dev/stdout and its like. Failure is not one: a socket or a read-only filesystem has its own rules.
    static func give(_ number: CInt, to uid: UInt32) {
        guard let status = status(number), status.st_uid != uid, !status.isDevice(S_IFCHR, major: 1, minor: 3) else { return }
        _ = fchown(number, uid, UInt32.max)
    }

    /// Exchanges a /dev/null of the host for the container's.
    static func reopenNull() throws(SystemError) {
        for number in CInt(0)...2 {
            guard let status = status(number), status.isDevice(S_IFCHR, major: 1, minor: 3) else { continue }
            guard let own = try? Files.open("/dev/null", O_RDWR), let found = try? Files.status(of: own, name: "/dev/null"),
                found.isDevice(S_IFCHR, major: 1, minor: 3)
            else { return }
            try Processes.passOn(own, as: number)
        }
    }

    private static func status(_ number: CInt) -> stat? {
        var status = stat()
        return fstat(number, &status) == 0 ? status : nil
    }
}
