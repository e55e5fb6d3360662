/// The mount that holds a path, as proc_pid_mountinfo(5) tells of it.
package struct HoldingMount: Equatable, Sendable {
    package let path: String
    /// Mounts travel to and from its peers.
    package let isShared: Bool
    /// Mounts come from a master's peers.
    package let isSlave: Bool

    /// - Parameter path: absolute; symlinks in it are followed.
    package static func of(_ path: String) throws(SystemError) -> HoldingMount { of(Files.resolved(path), in: try Files.readText("/proc/self/mountinfo")) }

    /// The longest mount point that is `path`, which has no symlinks, or above it; the last one wins where several are stacked.
    static func of(_ path: String, in mountinfo: String) -> HoldingMount {
        var best = HoldingMount(path: "/", isShared: false, isSlave: false)
        for line in mountinfo.fields(by: "\n") {
            let fields = line.fields(by: " ", limit: 9)
            guard fields.count > 6 else { continue }
            let point = Mounts.unescape(fields[4])
            guard point.utf8.count >= best.path.utf8.count, path == point || path.begins(with: point == "/" ? "/" : point + "/") else { continue }
            let tags = fields[6...].prefix { $0 != "-" }
            best = HoldingMount(path: point, isShared: tags.contains { $0.hasPrefix("shared:") }, isSlave: tags.contains { $0.hasPrefix("master:") })
        }
        return best
    }
}

extension Mounts {
    /// Cuts the mount that holds `path` off from its peers, and leaves those below it as they are: what is mounted at `path` does not travel.
    package static func isolate(_ path: String) throws(SystemError) { try setPropagation(try HoldingMount.of(path).path, .slave, recursive: false) }

    /// A path of mountinfo: blank, tab, line feed and backslash stand there as three octal digits.
    package static func unescape(_ text: Substring) -> String {
        guard text.utf8.contains(UInt8(ascii: "\\")) else { return String(text) }
        var bytes: [UInt8] = [], rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.count >= 3, let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8) {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
