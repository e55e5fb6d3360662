import BerthDefaults
import LinuxSystem
import OCISpec

/// A new time namespace is made for the caller's next children; its clocks can be set until somebody is in it. A process with one thread may enter it itself.
///
/// Spec: config-linux.md#offset-for-time-namespace. Kernel: time_namespaces(7).
enum TimeNamespace {
    /// By the init, which has the right to in a user namespace of its own.
    static func enter(_ plan: LaunchPlan) throws(RuntimeError) {
        guard plan.namespaces.creates(.time) else { return }
        try attempt { () throws(SystemError) in
            try Namespaces.unshare([.time])
            for (clock, offset) in plan.linux.timeOffsets {
                try Files.write("\(clock) \(offset.secs ?? 0) \(offset.nanosecs ?? 0)\n", toExisting: "/proc/self/timens_offsets")
            }
            try Namespaces.enter(.time, at: "new", through: try Files.open("/proc/self/ns/time_for_children"))
        }
    }
}
