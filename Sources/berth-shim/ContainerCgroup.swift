import Glibc
import LinuxSystem

/// Where a container's cgroup is mounted, found through its init process: /proc/PID/cgroup and the mounts of cgroup filesystems.
struct ContainerCgroup: Equatable {
    /// Directory per v1 controller; "" is the v2 hierarchy.
    let directories: [String: String]

    /// nil when the process is in no cgroup but the root one: that is everybody's.
    init?(of pid: pid_t) {
        guard let membership = try? Files.readText("/proc/\(pid)/cgroup"), let mounts = try? Files.readText("/proc/self/mountinfo") else { return nil }
        self.init(membership: membership, mountinfo: mounts)
    }

    init?(membership: String, mountinfo: String) {
        let points = Self.mountPoints(mountinfo)
        var found: [String: String] = [:]
        for line in membership.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3, fields[2] != "/" else { continue }
            for controller in fields[1].isEmpty ? [""] : fields[1].split(separator: ",").map(String.init) {
                if let point = points[controller] { found[controller] = point + fields[2] }
            }
        }
        guard !found.isEmpty else { return nil }
        directories = found
    }

    private static func mountPoints(_ mountinfo: String) -> [String: String] {
        var points: [String: String] = [:]
        for line in mountinfo.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), fields.count > dash + 3, fields[3] == "/" else { continue }
            switch fields[dash + 1] {
            case "cgroup2": points[""] = String(fields[4])
            case "cgroup": for option in fields[dash + 3].split(separator: ",") { points[String(option)] = String(fields[4]) }
            default: break
            }
        }
        return points
    }

    /// The hierarchies that runtimes put every process into, the surest first.
    private var processDirectory: String? {
        for controller in ["memory", "pids", "devices", "freezer", "cpu", ""] { if let directory = directories[controller] { return directory } }
        return directories.values.first
    }

    /// Only v2 is mounted for this container's controllers.
    var isUnified: Bool { directories["memory"] == nil && directories["pids"] == nil && directories["cpu"] == nil && directories[""] != nil }

    /// Every process in the cgroup and below, as the shim sees them.
    func processes() -> [pid_t] {
        guard let processDirectory else { return [] }
        var list: [pid_t] = []
        collect(processDirectory, depth: 0, into: &list)
        return list
    }

    private func collect(_ directory: String, depth: Int, into list: inout [pid_t]) {
        guard depth < 32, let text = try? Files.readText("\(directory)/cgroup.procs") else { return }
        list += text.split(separator: "\n").compactMap { pid_t($0) }
        for name in (try? Files.entries(of: directory)) ?? [] where !name.contains(".") {
            collect("\(directory)/\(name)", depth: depth + 1, into: &list)
        }
    }
}

/// Moves the calling process into the cgroup at `path` of every hierarchy (option ShimCgroup).
enum ShimCgroup {
    static func join(_ path: String) throws(SystemError) {
        let mounts = try Files.readText("/proc/self/mountinfo")
        var joined = false
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), fields.count > dash + 1, fields[dash + 1] == "cgroup" || fields[dash + 1] == "cgroup2" else { continue }
            let file = "\(fields[4])/\(path.drop { $0 == "/" })/cgroup.procs"
            guard Files.exists(file) else { continue }
            try Files.write("\(getpid())", toExisting: file)
            joined = true
        }
        guard joined else { throw SystemError(call: "open", subject: "cgroup \(path)", errno: .noSuchFile) }
    }
}
