import Cgroups
import LinuxSystem

/// Mounts the container's view of the cgroup filesystem.
///
/// Version 1: a tmpfs with one directory per hierarchy, each the container's own cgroup. It is bound from the host's mount, which shows the same as a
/// new mount in a cgroup namespace would and costs less. Version 2: a new mount in a cgroup namespace; without one the whole tree, as runc does it,
/// since /proc/self/cgroup then names the path from the host's root.
struct CgroupMounter {
    /// One hierarchy of version 1.
    struct Hierarchy {
        /// Name below /sys/fs/cgroup: "cpu,cpuacct", "systemd".
        let name: String
        /// The container's directory in it, on the host.
        let directory: String
    }

    let hierarchies: [Hierarchy]
    /// The container's directory in version 2 on a host that has no controllers elsewhere.
    let unifiedDirectory: String?

    init(_ cgroup: Cgroup) {
        hierarchies = cgroup.v1.map { directory in
            Hierarchy(name: directory.mountPoint.fields(by: "/").last.map(String.init) ?? "", directory: directory.path)
        }
        unifiedDirectory = cgroup.v1.isEmpty ? cgroup.v2?.path : nil
    }

    func mount(_ planned: PlannedMount, in builder: borrowing RootfsBuilder) throws(SystemError) {
        let target = try builder.root.makeDirectories(planned.destination)
        if let unifiedDirectory { return try mountUnified(planned, onto: target, directory: unifiedDirectory, builder) }
        try mountHierarchies(planned, onto: target, builder)
    }

    private func mountUnified(
        _ planned: PlannedMount, onto target: borrowing OwnedFD, directory: String, _ builder: borrowing RootfsBuilder
    ) throws(SystemError) {
        do throws(SystemError) {
            let context = try FilesystemContext(type: "cgroup2")
            try context.set("source", "cgroup")
            for (key, value) in planned.options.settings { try context.set(key, value) }
            let mount = try (consume context).mount(planned.options.attributes.set)
            try Mounts.attach(mount, onto: target, name: planned.destination)
            try builder.finish(mount, planned)
        } catch {
            guard error.errno == .notPermitted || error.errno == .busy else { throw error }
            // A user namespace without a cgroup namespace of its own may not mount it: the container's directory alone.
            let tree = try Mounts.cloneTree(directory, recursive: false)
            try builder.attach(tree, onto: target, planned)
        }
    }

    private func mountHierarchies(_ planned: PlannedMount, onto target: borrowing OwnedFD, _ builder: borrowing RootfsBuilder) throws(SystemError) {
        let context = try FilesystemContext(type: "tmpfs")
        try context.set("source", "tmpfs")
        try context.set("mode", "755")
        if let label = builder.mountLabel { try context.set("context", label) }
        let base = try (consume context).mount([.nosuid, .nodev, .noexec])
        try Mounts.attach(base, onto: target, name: planned.destination)
        // Nobody else has put anything into this file system yet: names in it are what was made under them.
        for hierarchy in hierarchies {
            try Files.makeDirectory(hierarchy.name, at: base)
            let tree = try Mounts.cloneTree(hierarchy.directory, recursive: false)
            try Mounts.attach(tree, onto: hierarchy.name, in: base)
            let members = hierarchy.name.fields(by: ",")
            if members.count > 1 { for member in members { try Files.makeSymlink(String(member), to: hierarchy.name, at: base) } }
        }
        // One call for all: no program runs here yet that could have used the difference.
        try Mounts.change(base, set: planned.options.attributes.set.union([.nosuid, .nodev, .noexec]), recursive: true, name: planned.destination)
        try builder.finish(base, planned)
    }
}
