import BerthDefaults
import LinuxSystem

/// Keeps a container from reaching the runtime's own binary (CVE-2019-5736).
enum ExecutableSeal {
    /// Nobody but a holder of CAP_SYS_PTRACE in the host's user namespace may open /proc/PID/exe, fd or mem of this process and of its copies, until they
    /// become another program.
    static func hide() throws(RuntimeError) { try attempt { () throws(SystemError) in try ProcessAttributes.setDumpable(false) } }
}
