import BerthDefaults
import Glibc
import LinuxSystem

/// The process between runtime and init, only where one clone cannot do it (`NamespacePlan.needsIntermediate`).
///
/// On entry: a copy of the runtime in the runtime's namespaces. It joins what can be joined with the runtime's rights, then the user namespace, then what
/// belongs to that one; creates the new ones and clones the init as its sibling, so that the runtime is the init's parent. On leaving: it has ended.
enum IntermediateStage {
    static func run(_ plan: NamespacePlan, channel: borrowing SyncChannel, runtimesEnd: CInt, _ initStage: () -> Never) -> Never {
        // As in the init: both would wait for ever for a runtime that has died.
        close(runtimesEnd)
        ProcessAttributes.setName("berth[0:JOIN]")
        do throws(RuntimeError) {
            try attempt { () throws(SystemError) in try ProcessAttributes.setParentDeathSignal(SIGKILL) }
            try join(plan)
            if plan.creates(.user) {
                try attempt { () throws(SystemError) in
                    try Namespaces.unshare([.user])
                    try channel.send(.mapping)
                    _ = try channel.expect(.go)
                }
            }
            if plan.hasUserNamespace { try NamespaceJoining.becomeRoot() }
            let child = try attempt { () throws(SystemError) in
                try Processes.clone(namespaces: plan.atClone.filter { $0 != .user }, asSibling: true, subject: "init", initStage)
            }
            try attempt { () throws(SystemError) in try channel.send(.pid, "\(child.pid)", descriptors: [child.pidfd.rawValue]) }
        } catch { channel.fail(error) }
        Processes.leave(0)
    }

    /// Those of an outer user namespace must be joined before the inner one is entered, those of the inner one afterwards. Which is which shows in EPERM.
    private static func join(_ plan: NamespacePlan) throws(RuntimeError) {
        var later: [NamespacePlan.Joined] = []
        let user = plan.joined.first { $0.kind == .user }
        for namespace in plan.joined where namespace.kind != .user {
            do throws(RuntimeError) { try NamespaceJoining.enter(namespace) } catch {
                if user == nil || error.code != .permissionDenied { throw error }
                later.append(namespace)
            }
        }
        if let user { try NamespaceJoining.enter(user) }
        for namespace in later { try NamespaceJoining.enter(namespace) }
    }
}
