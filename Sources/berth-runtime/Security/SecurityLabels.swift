import BerthDefaults
import LinuxSystem

/// AppArmor profile and SELinux label of the program to come. Where the kernel has no such module runc refuses the one and the other; so does this.
///
/// Kernel: /proc/self/attr. The files are the host's procfs, never the container's.
enum SecurityLabels {
    static var hasAppArmor: Bool { (try? Files.readText("/sys/module/apparmor/parameters/enabled"))?.hasPrefix("Y") == true }
    static var hasSELinux: Bool { Files.exists("/sys/fs/selinux/enforce") }

    /// Before the root changes, while the host's /sys can be seen.
    static func check(_ process: ProcessPlan) throws(RuntimeError) {
        if process.apparmorProfile != nil && !hasAppArmor { throw RuntimeError(.failedPrecondition, "apparmor is not enabled on the host, but the config has a profile") }
        if process.selinuxLabel != nil && !hasSELinux {
            throw RuntimeError(.failedPrecondition, "selinux label is specified in config, but selinux is disabled or not supported")
        }
    }

    static func applyAppArmor(_ profile: String, _ proc: borrowing ProcHandle) throws(RuntimeError) {
        do throws(SystemError) {
            do throws(SystemError) { try proc.write("exec \(profile)", to: "self/attr/apparmor/exec") } catch {
                if error.errno != .noSuchFile { throw error }
                try proc.write("exec \(profile)", to: "self/attr/exec")
            }
        } catch { throw RuntimeError(error, while: "unable to apply apparmor profile") }
    }

    static func applySELinux(_ label: String, _ proc: borrowing ProcHandle) throws(RuntimeError) {
        do throws(SystemError) { try proc.write(label, to: "self/attr/exec") } catch { throw RuntimeError(error, while: "can't set process label") }
    }
}
