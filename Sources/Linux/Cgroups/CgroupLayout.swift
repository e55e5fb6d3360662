import CLinux
import Glibc
import LinuxSystem

/// Where this machine has its cgroup hierarchies: v1 only, v2 only, or both beside each other ("hybrid").
///
/// A process looks once and keeps the answer.
package struct CgroupLayout: Sendable, Equatable {
    /// One mounted hierarchy.
    package struct Hierarchy: Sendable, Equatable {
        /// v1: "memory", or several that share it ("cpu", "cpuacct"), or a name without controllers ("name=systemd"). Empty for v2.
        package var controllers: [String]
        package var mountPoint: String
        /// Which part of the hierarchy is mounted: not "/" where a container was given only its own.
        package var root: String

        package init(controllers: [String], mountPoint: String, root: String = "/") {
            self.controllers = controllers
            self.mountPoint = mountPoint
            self.root = root
        }
    }

    package var v1: [Hierarchy]
    package var v2: Hierarchy?

    package init(v1: [Hierarchy] = [], v2: Hierarchy? = nil) {
        self.v1 = v1
        self.v2 = v2
    }

    /// v2 alone: nothing is to be translated or written twice.
    package var isUnified: Bool { v1.isEmpty && v2 != nil }

    // MARK: Finding out

    /// The layout of the machine, or rather of the caller's mount namespace.
    package static func current(root: String = "/sys/fs/cgroup") throws(CgroupError) -> CgroupLayout {
        if let layout = usual(root: root) { return layout }
        let layout = parse(mountinfo: try CgroupFiles.read("/proc/self/mountinfo"))
        if layout.v1.isEmpty, layout.v2 == nil { throw .invalid("no cgroup filesystem is mounted") }
        return layout
    }

    private static let v1Magic = 0x27_E0EB, v2Magic = 0x6367_7270
    /// The inode of a hierarchy's own root. Any other number at a mount point means that only a part is mounted.
    private static let rootInode: ino_t = 1
    private static let knownControllers = [
        "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "net_cls", "net_prio", "perf_event", "rdma", "misc",
    ]

    /// The usual places, told by the filesystem found there. A dozen cheap calls, where the list of all mounts takes a lock and may have thousands
    /// of lines. Anything unusual is left to that list.
    private static func usual(root: String) -> CgroupLayout? {
        let own = filesystem(at: root)
        if own == v2Magic { return isWhole(root) ? CgroupLayout(v2: Hierarchy(controllers: [], mountPoint: root)) : nil }
        var layout = CgroupLayout()
        for name in CgroupFiles.children(of: root).sorted() {
            let path = "\(root)/\(name)"
            let kind = filesystem(at: path)
            // A folder beside the hierarchies: nothing is mounted there.
            if kind == own { continue }
            guard isWhole(path) else { return nil }
            if kind == v2Magic {
                guard layout.v2 == nil else { return nil }
                layout.v2 = Hierarchy(controllers: [], mountPoint: path)
            } else if kind == v1Magic {
                let controllers = name == "systemd" ? ["name=systemd"] : name.fields(by: ",").map(String.init)
                guard name == "systemd" || controllers.allSatisfy(knownControllers.contains) else { return nil }
                layout.v1.append(Hierarchy(controllers: controllers, mountPoint: path))
            } else {
                return nil
            }
        }
        return layout.v1.isEmpty ? nil : layout
    }

    /// The filesystem's magic number, 0 when there is none.
    private static func filesystem(at path: String) -> Int {
        var filesystem = statfs()
        return path.withCString { statfs($0, &filesystem) } == 0 ? Int(filesystem.f_type) : 0
    }

    private static func isWhole(_ path: String) -> Bool {
        var status = stat()
        return path.withCString { stat($0, &status) } == 0 && status.st_ino == rootInode
    }

    /// Reads proc_pid_mountinfo(5). Of several mounts of one hierarchy the first counts.
    static func parse(mountinfo: String) -> CgroupLayout {
        var layout = CgroupLayout()
        for line in mountinfo.fields(by: "\n") {
            let fields = line.fields(by: " ")
            guard let dash = fields.firstIndex(of: "-"), dash > 5, fields.count > dash + 3 else { continue }
            let root = Mounts.unescape(fields[3]), mountPoint = Mounts.unescape(fields[4])
            // A cgroup of another namespace, whose paths mean nothing here.
            if root.begins(with: "/..") { continue }
            if fields[dash + 1] == "cgroup2" {
                if layout.v2 == nil { layout.v2 = Hierarchy(controllers: [], mountPoint: mountPoint, root: root) }
            } else if fields[dash + 1] == "cgroup" {
                let options = fields[dash + 3].fields(by: ",").map(String.init)
                let controllers = options.filter { knownControllers.contains($0) || $0.hasPrefix("name=") }
                if controllers.isEmpty || layout.v1.contains(where: { $0.controllers == controllers }) { continue }
                layout.v1.append(Hierarchy(controllers: controllers, mountPoint: mountPoint, root: root))
            }
        }
        return layout
    }
}
