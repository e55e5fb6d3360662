import BerthDefaults
import LinuxSystem
import OCISpec

/// Properties of the new process that the runtime sets from outside, with rights the process itself may not have.
enum OutsideAttributes {
    static func apply(_ process: ProcessPlan, to pid: Int32, inUserNamespace: Bool) throws(RuntimeError) {
        if let score = process.oomScoreAdj {
            do throws(SystemError) { try Files.write(String(decimal: score), toExisting: "/proc/" + String(decimal: Int(pid)) + "/oom_score_adj") } catch { throw RuntimeError(error, while: "oomScoreAdj") }
        }
        if inUserNamespace {
            for limit in process.limits {
                try attempt { () throws(SystemError) in
                    try ProcessAttributes.setLimit(of: pid, limit.resource, name: limit.name, soft: limit.soft, hard: limit.hard)
                }
            }
        }
    }
}

/// A joined pid namespace is one for the caller's next children only.
enum PIDNamespace {
    static func enterForChildren(_ plan: NamespacePlan) throws(RuntimeError) {
        for namespace in plan.joined where namespace.kind == .pid { try NamespaceJoining.enter(namespace) }
    }

    /// The runtime's later children (hooks) are the host's again.
    static func leave(_ plan: NamespacePlan) {
        if plan.joins(.pid), let own = try? Files.open("/proc/self/ns/pid") { try? Namespaces.enter(.pid, at: "own", through: own) }
    }
}

/// Mounts whose owners appear shifted. Kernel: mount_setattr(2), MOUNT_ATTR_IDMAP, Linux 5.12.
enum IDMappedMounts {
    /// The mapping is the mount's own, or that of the container's user namespace; either way it is carried by a user namespace made for it.
    static func apply(_ mount: PlannedMount, to tree: borrowing OwnedFD, _ plan: LaunchPlan) throws(RuntimeError) {
        // That of a user namespace the container joins is there already.
        if mount.uidMappings.isEmpty, let joined = plan.namespaces.joined.first(where: { $0.kind == .user }) {
            return try during("idmap \(mount.label)") { () throws(SystemError) in
                let namespace = try Files.open(joined.path)
                try Mounts.change(tree, set: .idmap, recursive: mount.options.idmapRecursive, userNamespace: namespace.rawValue, name: mount.label)
            }
        }
        var mapped = plan.linux
        if !mount.uidMappings.isEmpty { (mapped.uidMappings, mapped.gidMappings) = (mount.uidMappings, mount.gidMappings) }
        if mapped.uidMappings.isEmpty { throw RuntimeError(.invalidArgument, "mount \(mount.label): idmap without mappings") }
        let holder = try attempt { () throws(SystemError) in
            try Processes.clone(namespaces: [.user], subject: "id mapping") { while true { Processes.pause() } }
        }
        defer {
            try? Processes.signal(9, to: holder.pidfd, name: "id mapping")
            _ = try? Processes.wait(for: holder.pid)
        }
        try NamespaceJoining.writeMaps(of: holder.pid, mapped)
        try during("idmap \(mount.label)") { () throws(SystemError) in
            let namespace = try Files.open("/proc/\(holder.pid)/ns/user")
            try Mounts.change(tree, set: .idmap, recursive: mount.options.idmapRecursive, userNamespace: namespace.rawValue, name: mount.label)
        }
    }
}
