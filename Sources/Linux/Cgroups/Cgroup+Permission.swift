import Glibc
import LinuxSystem

/// What a caller without privileges may have: the part of the hierarchies that was delegated to them, often nothing.
///
/// Kernel: cgroups(7), "Cgroups delegation".
extension Cgroup {
    /// The directories that the caller may make and enter. May be none: such a container has no cgroup of its own, and stays in the caller's.
    package func permitted() -> Cgroup {
        let own = Self.ownPaths((try? CgroupFiles.read("/proc/self/cgroup")) ?? "").first { $0.controllers.isEmpty }?.path
        return Cgroup(v1: v1.filter { Self.mayMake($0) }, v2: v2.flatMap { Self.mayMake($0) && Self.mayMove(from: own ?? "/", to: $0) ? $0 : nil })
    }

    /// The container has no cgroup of its own.
    package var isNone: Bool { v1.isEmpty && v2 == nil }

    /// Asked of the first directory above that exists.
    private static func mayMake(_ directory: Directory) -> Bool {
        var path = directory.path
        while path.utf8.count > directory.mountPoint.utf8.count, !CgroupFiles.exists(path) { path = path.parentPath }
        return isWritable(path)
    }

    /// On v2 a process is moved by who may write to the cgroup that both places are below.
    private static func mayMove(from own: String, to directory: Directory) -> Bool {
        var common = directory.mountPoint
        let target = RootedPath.components(directory.pathInHierarchy)
        for (here, there) in zip(RootedPath.components(own), target) {
            guard here == there else { break }
            common += "/\(here)"
        }
        return isWritable("\(common)/cgroup.procs")
    }

    private static func isWritable(_ path: String) -> Bool { faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 }
}
