import Cgroups
import Glibc
import LinuxSystem

/// The cgroup that a runtime has put a container into, whatever runtime that was.
enum ContainerCgroup {
    /// Looks at where the process is. nil when that is the root cgroup everywhere: the root is everybody's.
    static func find(of pid: pid_t) -> Cgroup? {
        guard let membership = try? Files.readText("/proc/\(pid)/cgroup"), let layout = try? CgroupLayout.current() else { return nil }
        return find(membership: membership, layout: layout)
    }

    static func find(membership: String, layout: CgroupLayout) -> Cgroup? {
        let paths = Cgroup.ownPaths(membership).filter { $0.path != "/" }
        func directory(_ hierarchy: CgroupLayout.Hierarchy) -> Cgroup.Directory? {
            guard let path = paths.first(where: { Set($0.controllers) == Set(hierarchy.controllers) })?.path else { return nil }
            // Where only a part of the hierarchy is mounted, paths count from its root all the same.
            let inner = hierarchy.root != "/" && path.begins(with: hierarchy.root + "/") ? path.dropping(bytes: hierarchy.root.utf8.count) : path
            return Cgroup.Directory(controllers: hierarchy.controllers, path: hierarchy.mountPoint + inner, mountPoint: hierarchy.mountPoint)
        }
        let cgroup = Cgroup(v1: layout.v1.compactMap(directory), v2: layout.v2.flatMap(directory))
        return cgroup.directories.isEmpty ? nil : cgroup
    }
}

/// Moves the calling process into the cgroup at `path` of every hierarchy that has it (option ShimCgroup).
enum ShimCgroup {
    static func join(_ path: String) throws {
        var joined = false
        for directory in try Cgroup(layout: try CgroupLayout.current(), path: path).directories where Files.exists("\(directory.path)/cgroup.procs") {
            try Files.write("\(getpid())", toExisting: "\(directory.path)/cgroup.procs")
            joined = true
        }
        guard joined else { throw SystemError(call: "open", subject: "cgroup \(path)", errno: .noSuchFile) }
    }
}
