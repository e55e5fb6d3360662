import Glibc
import LinuxSystem

/// Where a shim's sockets are: in the bundle, or, when that path is too long for a socket's address, in the directory `s` of the state directory, as
/// containerd has it, under a name that the bundle's inode makes unique.
///
/// `STATE/<anything>/NAMESPACE/ID` is a bundle's path with containerd and with our supervisor alike, so three levels up is the state directory.
struct SocketPaths {
    let bundle: String
    private let fallback: String

    /// - Parameter directory: what the supervisor wants to be used instead of `STATE/s`; empty for that.
    init(bundle: String, directory: String = "") throws(SystemError) {
        self.bundle = bundle
        let status = try Files.status(bundle)
        let state = bundle.fields(by: "/").dropLast(3).joined(separator: "/")
        fallback = "\(directory.isEmpty ? "/\(state)/s" : directory)/\(String(UInt64(status.st_dev), radix: 16))-\(String(UInt64(status.st_ino), radix: 16))"
    }

    /// A path that fits; its directory exists afterwards.
    func path(for name: String) throws(SystemError) -> String {
        let plain = "\(bundle)/\(name).sock"
        if plain.utf8.count <= UnixSocket.longestPortablePath { return plain }
        try Files.makeDirectories(fallback.parentPath, mode: 0o700)
        return "\(fallback)-\(name.utf8.count > 20 ? String(name.hashForPath, radix: 16) : name).sock"
    }

    /// Removes what `path(for:)` may have led to.
    func removeAll() {
        let directory = fallback.parentPath, prefix = fallback.lastComponent + "-"
        for name in (try? Files.entries(of: directory)) ?? [] where name.hasPrefix(prefix) { unlink("\(directory)/\(name)") }
        for name in (try? Files.entries(of: bundle)) ?? [] where name.hasSuffix(".sock") { unlink("\(bundle)/\(name)") }
    }
}

extension String {
    /// FNV-1a. Tells names of one shim's sockets apart, nothing more.
    fileprivate var hashForPath: UInt64 { utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 } }
}
