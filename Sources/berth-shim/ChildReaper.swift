import Glibc
import LinuxSystem

/// Reaps every child: helpers that the shim started, and containers' processes, which become its children because it is their subreaper.
///
/// A container's process may end before the shim has learned its pid from the runtime's pid file. While such a launch is under way the ends of
/// unknown processes are kept, and `adopt` finds them there.
final class ChildReaper {
    private var handlers: [pid_t: (ChildExit) -> Void] = [:]
    private var launches = 0
    private var unclaimed: [pid_t: ChildExit] = [:]

    /// `handler` is called once, when the child `pid` has ended. For children started by this very process: they cannot have been reaped yet.
    func expect(_ pid: pid_t, _ handler: @escaping (ChildExit) -> Void) { handlers[pid] = handler }

    /// From here to `endLaunch`, unknown children may be wanted later.
    func beginLaunch() { launches += 1 }

    func endLaunch() {
        launches -= 1
        if launches == 0 { unclaimed = [:] }
    }

    /// Takes a process that a runtime has started. Calls `handler` at once when it has ended already. Within a launch.
    func adopt(_ pid: pid_t, _ handler: @escaping (ChildExit) -> Void) {
        if let exit = unclaimed.removeValue(forKey: pid) { handler(exit) } else { handlers[pid] = handler }
    }

    /// Reaps all that have ended. One SIGCHLD may stand for many.
    func reapAll() {
        while let exit = Children.reap() {
            if let handler = handlers.removeValue(forKey: exit.pid) { handler(exit) }
            else if launches > 0 { unclaimed[exit.pid] = exit }
        }
    }
}
