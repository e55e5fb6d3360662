import BerthDefaults
import Glibc
import LinuxSystem
import OCISpec

/// Entering namespaces by path, and being root in a user namespace.
enum NamespaceJoining {
    static func enter(_ namespace: NamespacePlan.Joined) throws(RuntimeError) {
        try attempt { () throws(SystemError) in
            let file = try Files.open(namespace.path)
            try Namespaces.enter(namespace.kind, at: namespace.path, through: file)
        }
    }

    /// Becomes user and group 0 of the user namespace the caller is in, with no other groups where that is allowed.
    ///
    /// The change of ids clears the parent death signal and, once more, dumpability; the former is set again.
    static func becomeRoot() throws(RuntimeError) {
        try during("become root in the user namespace") { () throws(SystemError) in
            try ProcessAttributes.setGroup(0)
            try ProcessAttributes.setUser(0)
            do throws(SystemError) { try ProcessAttributes.setGroups([]) } catch { if error.errno != .notPermitted { throw error } }
            try ProcessAttributes.setParentDeathSignal(SIGKILL)
        }
    }

    /// Writes the id maps of a process in a new user namespace.
    ///
    /// Without privileges of its own the runtime may map only itself, and only after giving up setgroups; more goes through newuidmap and newgidmap.
    static func writeMaps(of pid: pid_t, _ linux: RuntimeSpec.Linux) throws(RuntimeError) {
        let uidMap = text(linux.uidMappings)
        let gidMap = text(linux.gidMappings)
        if !ProcessAttributes.isRoot() {
            if linux.gidMappings.count == 1 && linux.gidMappings[0].size == 1 {
                try attempt { () throws(SystemError) in try Files.write("deny", toExisting: "/proc/\(pid)/setgroups") }
            } else {
                return try writeMapsWithHelpers(of: pid, linux)
            }
        }
        try attempt { () throws(SystemError) in
            try Files.write(gidMap, toExisting: "/proc/\(pid)/gid_map")
            try Files.write(uidMap, toExisting: "/proc/\(pid)/uid_map")
        }
    }

    private static func text(_ mappings: [RuntimeSpec.IDMapping]) -> String {
        mappings.map { "\($0.containerID) \($0.hostID) \($0.size)\n" }.joined()
    }

    private static func writeMapsWithHelpers(of pid: pid_t, _ linux: RuntimeSpec.Linux) throws(RuntimeError) {
        for (program, mappings) in [("newgidmap", linux.gidMappings), ("newuidmap", linux.uidMappings)] {
            let arguments = ["\(pid)"] + mappings.flatMap { ["\($0.containerID)", "\($0.hostID)", "\($0.size)"] }
            let path = "/usr/bin/\(program)"
            let child = try attempt { () throws(SystemError) in
                try Processes.clone(subject: program) {
                    _ = Processes.execute(path, arguments: [program] + arguments, environment: [])
                    Processes.leave(127)
                }
            }
            let status = try attempt { () throws(SystemError) in try Processes.wait(for: child.pid) }
            if status != .exited(0) { throw RuntimeError(.permissionDenied, "\(program) failed: \(status)") }
        }
    }
}
