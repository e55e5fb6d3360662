import BerthDefaults
import LinuxSystem
import OCISpec

/// Refuses what can be refused before the first system call, by the rules of runc's validator.
enum ConfigValidator {
    static func check(_ plan: LaunchPlan) throws(RuntimeError) {
        try checkVersion(plan.spec.ociVersion)
        try checkName("hostname", plan.spec.hostname, plan)
        try checkName("domainname", plan.spec.domainname, plan)
        try checkUserNamespace(plan)
        for (name, value) in plan.linux.sysctl { try checkSysctl(name, value, plan) }
        try checkPaths("maskedPaths", plan.linux.maskedPaths)
        try checkPaths("readonlyPaths", plan.linux.readonlyPaths)
        try checkHooks(plan.hooks)
        try NetworkDevices.check(plan)
        if let rdt = plan.linux.intelRdt { try ResctrlGroup.check(rdt, id: plan.id) }
        try checkPersonality(plan.linux.personality)
        if let policy = plan.linux.memoryPolicy { try MemoryPolicy.check(policy) }
        if let name = plan.linux.rootfsPropagation, !name.isEmpty, !propagations.contains(name) {
            throw RuntimeError(.invalidArgument, "rootfsPropagation=\(name) is not supported")
        }
    }

    private static let propagations = ["shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable", "runbindable"]

    private static func checkVersion(_ version: String) throws(RuntimeError) {
        let parts = version.fields(by: "-", limit: 2).first?.fields(by: ".") ?? []
        guard parts.count == 3, parts.allSatisfy({ Int($0) != nil }) else { throw RuntimeError(.invalidArgument, "ociVersion \"\(version)\" is not a version") }
        guard parts[0] == "1" else { throw RuntimeError(.invalidArgument, "unsupported ociVersion \(version)") }
    }

    private static func checkPersonality(_ personality: RuntimeSpec.Linux.Personality?) throws(RuntimeError) {
        guard let personality else { return }
        guard ["LINUX", "LINUX32"].contains(personality.domain) else {
            throw RuntimeError(.invalidArgument, "linux.personality.domain: unknown domain \"\(personality.domain)\"")
        }
        if let flag = personality.flags.first { throw RuntimeError(.invalidArgument, "linux.personality.flags: unknown flag \"\(flag)\"") }
    }

    // Fields are named one by one and not in a list to go through: an array of a kind of its own is a type that has to be made known at every start, 3 µs.

    private static func checkName(_ field: String, _ value: String?, _ plan: LaunchPlan) throws(RuntimeError) {
        guard let value, !value.isEmpty else { return }
        if !plan.namespaces.separates(.uts) { throw RuntimeError(.invalidArgument, "unable to set \(field) without a private UTS namespace") }
        if value.utf8.count > 64 || value.contains(byte: 0) { throw RuntimeError(.invalidArgument, "\(field): longer than 64 bytes") }
    }

    private static func checkUserNamespace(_ plan: LaunchPlan) throws(RuntimeError) {
        let hasMappings = !plan.linux.uidMappings.isEmpty || !plan.linux.gidMappings.isEmpty
        if plan.namespaces.creates(.user) && plan.linux.uidMappings.isEmpty != plan.linux.gidMappings.isEmpty {
            throw RuntimeError(.invalidArgument, "user namespaces enabled, but no \(plan.linux.uidMappings.isEmpty ? "uid" : "gid") mappings found")
        }
        if !plan.namespaces.hasUserNamespace && hasMappings {
            throw RuntimeError(.invalidArgument, "user namespace mappings specified, but user namespace isn't enabled in the config")
        }
        if !plan.linux.timeOffsets.isEmpty && !plan.namespaces.creates(.time) {
            throw RuntimeError(.invalidArgument, "time namespace offsets specified, but time namespace isn't enabled in the config")
        }
        for name in plan.linux.timeOffsets.keys where name != "monotonic" && name != "boottime" {
            throw RuntimeError(.invalidArgument, "linux.timeOffsets: unknown clock \"\(name)\"")
        }
        if !plan.namespaces.separates(.mount) && (!plan.linux.maskedPaths.isEmpty || !plan.linux.readonlyPaths.isEmpty) {
            throw RuntimeError(.invalidArgument, "unable to restrict sys entries without a private MNT namespace")
        }
    }

    /// Of the ipc namespace; those below fs.mqueue too.
    private static let ipcSysctls = [
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
    ]

    /// Only what belongs to a namespace of the container's own: everything else would change the host.
    private static func checkSysctl(_ rawName: String, _ value: String, _ plan: LaunchPlan) throws(RuntimeError) {
        let name = SysctlName.dotted(rawName)
        func plain(_ text: String) -> Bool { !text.utf8.contains { $0 < 0x20 && $0 != 0x09 } }
        guard plain(rawName), !rawName.isEmpty, !name.contains(text: "..") else { throw RuntimeError(.invalidArgument, "sysctl \"\(rawName)\": not a name") }
        guard plain(value) else { throw RuntimeError(.invalidArgument, "sysctl \"\(rawName)\": the value has control characters") }
        if ipcSysctls.contains(name) || name.begins(with: "fs.mqueue.") {
            if plan.namespaces.separates(.ipc) { return }
            throw RuntimeError(.invalidArgument, "sysctl \"\(rawName)\" is not allowed in the hosts ipc namespace")
        }
        if name.begins(with: "net.") {
            if plan.namespaces.separates(.network) { return }
            throw RuntimeError(.invalidArgument, "sysctl \"\(rawName)\" not allowed in host network namespace")
        }
        if name == "kernel.domainname" {
            if plan.namespaces.separates(.uts) { return }
            throw RuntimeError(.invalidArgument, "sysctl \"\(rawName)\" is not allowed in the hosts UTS namespace")
        }
        if name == "kernel.hostname" {
            throw RuntimeError(.invalidArgument, "sysctl \"\(rawName)\" is not allowed as it conflicts with the OCI hostname field")
        }
        throw RuntimeError(.invalidArgument, "sysctl \"\(rawName)\" is not in a separate kernel namespace")
    }

    private static func checkPaths(_ field: String, _ paths: [String]) throws(RuntimeError) {
        for path in paths where !path.isAbsolutePath || path.contains(byte: 0) {
            throw RuntimeError(.invalidArgument, "linux.\(field): \"\(path)\" is not an absolute path")
        }
    }

    private static func checkHooks(_ hooks: RuntimeSpec.Hooks) throws(RuntimeError) {
        try checkHooks("prestart", hooks.prestart)
        try checkHooks("createRuntime", hooks.createRuntime)
        try checkHooks("createContainer", hooks.createContainer)
        try checkHooks("startContainer", hooks.startContainer)
        try checkHooks("poststart", hooks.poststart)
        try checkHooks("poststop", hooks.poststop)
    }

    private static func checkHooks(_ name: String, _ list: [RuntimeSpec.Hook]) throws(RuntimeError) {
        for (index, hook) in list.enumerated() {
            if !hook.path.isAbsolutePath { throw RuntimeError(.invalidArgument, "invalid hook path \"\(hook.path)\" for hooks.\(name)[\(index)]: not absolute") }
            if let timeout = hook.timeout, timeout <= 0 { throw RuntimeError(.invalidArgument, "hooks.\(name)[\(index)].timeout: \(timeout) is not greater than zero") }
        }
    }
}
