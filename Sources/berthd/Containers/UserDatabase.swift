import Glibc
import LinuxSystem

/// `/etc/passwd` and `/etc/group` of a container, read with bounds: both come from an image that anybody may have made.
struct UserDatabase: Sendable, Equatable {
    struct User: Sendable, Equatable {
        var name: String
        var uid: UInt32
        var gid: UInt32
        var home: String
    }

    struct Group: Sendable, Equatable {
        var name: String
        var gid: UInt32
        var members: [String]
    }

    /// What a process runs as.
    struct Identity: Sendable, Equatable {
        var uid: UInt32 = 0
        var gid: UInt32 = 0
        var additionalGids: [UInt32] = []
        var home = "/"
    }

    /// Files larger than this are refused, not read in part.
    static let sizeLimit = 1 << 20
    /// Ids beyond are refused: a wrapped id would be root.
    static let highestID: UInt32 = (1 << 31) - 1

    var users: [User] = []
    var groups: [Group] = []

    init(passwd: String, group: String) {
        for line in passwd.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 4, let uid = UInt32(fields[2]), let gid = UInt32(fields[3]), uid <= Self.highestID, gid <= Self.highestID else { continue }
            users.append(User(name: String(fields[0]), uid: uid, gid: gid, home: fields.count > 5 ? String(fields[5]) : ""))
        }
        for line in group.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 3, let gid = UInt32(fields[2]), gid <= Self.highestID else { continue }
            groups.append(Group(name: String(fields[0]), gid: gid, members: fields.count > 3 ? fields[3].split(separator: ",").map(String.init) : []))
        }
    }

    /// Reads both files below a root, following links only inside of it. A missing file is an empty one.
    ///
    /// O_NONBLOCK and the check for a regular file: a FIFO in an image must not hang the daemon.
    init(root: borrowing OwnedFD) throws {
        let rooted = RootedPath(try root.duplicate())
        self.init(passwd: try Self.read("/etc/passwd", in: rooted), group: try Self.read("/etc/group", in: rooted))
    }

    private static func read(_ path: String, in root: borrowing RootedPath) throws -> String {
        do {
            let file = try root.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
            let status = try Files.status(of: file, name: path)
            guard status.st_mode & S_IFMT == S_IFREG else { throw DaemonError.invalid("\(path) in the container is not a regular file") }
            guard status.st_size <= sizeLimit else { throw DaemonError.invalid("\(path) in the container is larger than \(sizeLimit) bytes") }
            return String(decoding: try Files.readAll(file, name: path, limit: sizeLimit), as: UTF8.self)
        } catch let error as SystemError where error.errno == .noSuchFile || error.errno == .notDirectory {
            return ""
        }
    }

    /// Resolves `user[:group]`, each a name or a number; empty is root. `additional` are the groups of `--group-add`.
    ///
    /// - Throws: `.invalidArgument` in the words of runc's user library, which clients know.
    func resolve(_ specification: String, additional: [String] = []) throws(DaemonError) -> Identity {
        let parts = specification.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let userPart = parts.first ?? ""
        let groupPart = parts.count > 1 ? parts[1] : ""
        var identity = Identity()
        var found: User?
        if userPart.isEmpty {
            found = users.first { $0.uid == 0 }
        } else if let byName = users.first(where: { $0.name == userPart }) {
            found = byName
        } else if let number = Int64(userPart), !userPart.hasPrefix("+") {
            guard (0...Int64(Self.highestID)).contains(number) else { throw .invalid("uids and gids must be in range 0-\(Self.highestID)") }
            found = users.first { $0.uid == UInt32(number) }
            identity.uid = UInt32(number)
        } else {
            throw .invalid("unable to find user \(userPart): no matching entries in passwd file")
        }
        if let found {
            identity.uid = found.uid
            identity.gid = found.gid
            identity.home = found.home.isEmpty ? "/" : found.home
        }
        if !groupPart.isEmpty {
            identity.gid = try gid(groupPart)
        } else if let found {
            identity.additionalGids = groups.filter { $0.members.contains(found.name) }.map(\.gid)
        }
        for group in additional {
            let gid = try gid(group, unknown: "Unable to find group \(group): no matching entries in group file")
            if !identity.additionalGids.contains(gid) { identity.additionalGids.append(gid) }
        }
        // As `id` of a login would show it: the primary group is one of the supplementary ones.
        if !identity.additionalGids.contains(identity.gid) { identity.additionalGids.insert(identity.gid, at: 0) }
        return identity
    }

    private func gid(_ text: String, unknown: String? = nil) throws(DaemonError) -> UInt32 {
        if let group = groups.first(where: { $0.name == text }) { return group.gid }
        guard let number = Int64(text), !text.hasPrefix("+") else { throw .invalid(unknown ?? "unable to find group \(text): no matching entries in group file") }
        guard (0...Int64(Self.highestID)).contains(number) else { throw .invalid("uids and gids must be in range 0-\(Self.highestID)") }
        return UInt32(number)
    }
}
