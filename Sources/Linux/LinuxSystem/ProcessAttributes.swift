package import CLinux
import Glibc

/// Properties of the calling process that the next program inherits. Each function is one system call.
package enum ProcessAttributes {
    /// The name `ps` shows; cut at 15 bytes.
    package static func setName(_ name: String) {
        _ = name.withCString { berth_prctl(PR_SET_NAME, UInt(bitPattern: $0), 0, 0, 0) }
    }

    /// A process that is not dumpable cannot be traced, nor its /proc/PID/{exe,fd,mem,environ} be opened, by others without CAP_SYS_PTRACE in the
    /// namespace the program was started in.
    package static func setDumpable(_ dumpable: Bool) throws(SystemError) {
        try syscall("prctl", on: "PR_SET_DUMPABLE") { berth_prctl(PR_SET_DUMPABLE, dumpable ? 1 : 0, 0, 0, 0) }
    }

    /// Sent to the caller when its parent ends; 0 for none. Execve of a set-id program and changes of ids clear it.
    package static func setParentDeathSignal(_ number: CInt) throws(SystemError) {
        try syscall("prctl", on: "PR_SET_PDEATHSIG") { berth_prctl(PR_SET_PDEATHSIG, UInt(number), 0, 0, 0) }
    }

    /// Orphans among the descendants become children of the caller.
    package static func becomeSubreaper() throws(SystemError) {
        try syscall("prctl", on: "PR_SET_CHILD_SUBREAPER") { berth_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }
    }

    package static func setNoNewPrivileges() throws(SystemError) {
        try syscall("prctl", on: "PR_SET_NO_NEW_PRIVS") { berth_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }
    }

    /// Keeps the permitted capabilities over a change from root to another user.
    package static func setKeepCapabilities(_ keep: Bool) throws(SystemError) {
        try syscall("prctl", on: "PR_SET_KEEPCAPS") { berth_prctl(PR_SET_KEEPCAPS, keep ? 1 : 0, 0, 0, 0) }
    }

    package static func setGroups(_ groups: [gid_t]) throws(SystemError) {
        try syscall("setgroups", on: groups.map { "\($0)" }.joined(separator: ",")) { berth_setgroups(groups.count, groups) }
    }

    /// Real, effective and saved group id.
    package static func setGroup(_ gid: gid_t) throws(SystemError) { try syscall("setresgid", on: "\(gid)") { berth_setresgid(gid) } }

    /// Real, effective and saved user id.
    package static func setUser(_ uid: uid_t) throws(SystemError) { try syscall("setresuid", on: "\(uid)") { berth_setresuid(uid) } }

    package static func setHostname(_ name: String) throws(SystemError) {
        try syscall("sethostname", on: name) { sethostname(name, name.utf8.count) }
    }

    package static func setDomainname(_ name: String) throws(SystemError) {
        try syscall("setdomainname", on: name) { setdomainname(name, name.utf8.count) }
    }

    /// `resource` is one of RLIMIT_…; UInt64.max is unlimited; `pid` 0 is the caller.
    package static func setLimit(of pid: pid_t = 0, _ resource: CInt, name: String, soft: UInt64, hard: UInt64) throws(SystemError) {
        var limit = rlimit(rlim_cur: rlim_t(soft), rlim_max: rlim_t(hard))
        try syscall("prlimit", on: "\(name) soft \(soft) hard \(hard)") { berth_prlimit(pid, resource, &limit) }
    }

    /// A session of the caller's own, without a controlling terminal. Being the leader of one already is fine.
    package static func startSession() throws(SystemError) {
        do throws(SystemError) { try syscall("setsid", on: "") { setsid() } } catch { if error.errno != .notPermitted { throw error } }
    }

    package static func setUmask(_ mask: mode_t) { _ = umask(mask) }

    /// Takes the loopback interface of the caller's network namespace up.
    package static func raiseLoopback() throws(SystemError) {
        let file = OwnedFD(adopting: try syscall("socket", on: "lo") { socket(AF_INET, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0) })
        let fd = file.rawValue
        var request = berth_ifreq()
        withUnsafeMutableBytes(of: &request.name) { $0.copyBytes(from: "lo".utf8) }
        request.flags = 0x1 | 0x40  // IFF_UP, IFF_RUNNING
        try syscall("ioctl", on: "SIOCSIFFLAGS lo") { berth_ioctl(fd, 0x8914, &request) }
    }

    /// - Parameters:
    ///   - level: 0 (highest) to 7
    ///   - class: 1 real time, 2 best effort, 3 idle
    package static func setIOPriority(class: CInt, level: CInt) throws(SystemError) {
        try syscall("ioprio_set", on: "class \(`class`) priority \(level)") { berth_ioprio_set(1, 0, `class` << 13 | level) }
    }

    /// Arguments as sched_setattr(2) names them; times in nanoseconds.
    package static func setScheduler(
        policy: UInt32, nice: Int32, priority: UInt32, flags: UInt64, runtime: UInt64, deadline: UInt64, period: UInt64
    ) throws(SystemError) {
        var attr = sched_attr()
        attr.size = UInt32(MemoryLayout<sched_attr>.size)
        (attr.sched_policy, attr.sched_nice, attr.sched_priority, attr.sched_flags) = (policy, nice, priority, flags)
        (attr.sched_runtime, attr.sched_deadline, attr.sched_period) = (runtime, deadline, period)
        try syscall("sched_setattr", on: "policy \(policy)") { berth_sched_setattr(&attr) }
    }

    /// Restricts the caller to these CPUs.
    package static func setAffinity(cpus: [Int]) throws(SystemError) {
        var mask = [UInt](repeating: 0, count: (cpus.max() ?? 0) / 64 + 1)
        for cpu in cpus { mask[cpu / 64] |= 1 << UInt(cpu % 64) }
        try syscall("sched_setaffinity", on: cpus.map { "\($0)" }.joined(separator: ",")) { berth_sched_setaffinity(mask, mask.count * 8) }
    }

    /// Lets the caller run on every CPU that its cpuset has, whatever was asked for the process it is a copy of. Best effort.
    package static func resetAffinity() {
        let all = [UInt](repeating: .max, count: 8192 / 64)
        _ = berth_sched_setaffinity(all, all.count * 8)
    }

    package static func setMemoryPolicy(mode: CInt, nodes: [Int]) throws(SystemError) {
        var mask = [UInt](repeating: 0, count: (nodes.max() ?? 0) / 64 + 1)
        for node in nodes { mask[node / 64] |= 1 << UInt(node % 64) }
        let bits = UInt(mask.count * 64 + 1)
        try syscall("set_mempolicy", on: "mode \(mode)") { berth_set_mempolicy(mode, nodes.isEmpty ? nil : mask, nodes.isEmpty ? 0 : bits) }
    }

    package static func setPersonality(_ persona: UInt) throws(SystemError) {
        try syscall("personality", on: "\(persona)") { personality(persona) }
    }

    /// A session keyring of its own, so that the container does not possess the host's keys. `name` joins the keyring of that name.
    package static func joinSessionKeyring(_ name: String) throws(SystemError) {
        try syscall("keyctl", on: "join session keyring \(name)") { name.withCString { berth_keyctl(1, UInt(bitPattern: $0), 0, 0) } }
    }

    package static func isRoot() -> Bool { geteuid() == 0 }

    /// Root of the machine's first user namespace, not of one that somebody made.
    package static let isPrivileged = isRoot() && !isInUserNamespace

    /// The inode of the first user namespace is always the same. Kernel: include/linux/proc_ns.h.
    package static var isInUserNamespace: Bool { (try? Files.readLink("/proc/self/ns/user")).map { $0 != "user:[4026531837]" } ?? false }

    package static func userAndGroup() -> (user: UInt32, group: UInt32) { (geteuid(), getegid()) }
}
