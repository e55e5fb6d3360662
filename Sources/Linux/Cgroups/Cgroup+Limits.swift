import Glibc
import LinuxSystem

extension Cgroup {
    /// Sets limits. With `isNew` the cgroup was made just now, and what equals the kernel's default is not written.
    ///
    /// Each limit goes to v1 where the machine has the controller there, and to v2 otherwise.
    package func apply(_ limits: CgroupLimits, isNew: Bool) throws(CgroupError) {
        try checkUse(limits)
        let (onV1, onV2) = divide(limits)
        try carryOut(try LimitsPlan.v1(onV1, isNew: isNew)) { self.v1Directory(of: $0) }
        if onV2 != CgroupLimits() { try carryOut(try LimitsPlan.v2(onV2, isNew: isNew)) { _ in self.v2 } }
        if let rules = limits.devices { try apply(devices: rules, isNew: isNew) }
    }

    /// The part of the limits whose controllers are on v1, and the rest.
    private func divide(_ limits: CgroupLimits) -> (v1: CgroupLimits, v2: CgroupLimits) {
        func isOnV1(_ controller: String) -> Bool { v2 == nil || v1Directory(of: controller) != nil }
        var onV1 = limits, onV2 = limits
        onV1.devices = nil
        onV2.devices = nil
        if isOnV1("memory") { onV2.memory = .init() } else { onV1.memory = .init() }
        if isOnV1("pids") { onV2.pids = nil } else { onV1.pids = nil }
        if isOnV1("blkio") { onV2.blockIO = .init() } else { onV1.blockIO = .init() }
        if isOnV1("hugetlb") { onV2.hugepages = [] } else { onV1.hugepages = [] }
        if isOnV1("rdma") { onV2.rdma = [:] } else { onV1.rdma = [:] }
        if isOnV1("net_cls") { onV2.networkClass = nil } else { onV1.networkClass = nil }
        if isOnV1("net_prio") { onV2.networkPriorities = [:] } else { onV1.networkPriorities = [:] }
        let cpu = limits.cpu
        if isOnV1("cpu") { onV2.cpu = .init() } else { onV1.cpu = .init() }
        let cpusetOnV1 = isOnV1("cpuset")
        (onV1.cpu.cpus, onV1.cpu.mems) = cpusetOnV1 ? (cpu.cpus, cpu.mems) : (nil, nil)
        (onV2.cpu.cpus, onV2.cpu.mems) = cpusetOnV1 ? (nil, nil) : (cpu.cpus, cpu.mems)
        // A v2 beside v1 that has no controller cannot have their files either: v1's answer is the clearer one.
        let v2HasControllers = v1.isEmpty || !(v2.flatMap { CgroupFiles.value("\($0.path)/cgroup.controllers") } ?? "").isEmpty
        if limits.unified.isEmpty || v2HasControllers { onV1.unified = [:] } else { onV2.unified = [:] }
        return (onV1, onV2)
    }

    private func carryOut(_ writes: [CgroupWrite], in directory: (String) -> Directory?) throws(CgroupError) {
        var index = 0
        while index < writes.count {
            let write = writes[index]
            do throws(CgroupError) { try carryOut(write, in: directory) } catch {
                guard write.mayNeedNextFirst, index + 1 < writes.count, error.errno == .invalid || error.errno == .busy else { throw error }
                try carryOut(writes[index + 1], in: directory)
                try carryOut(write, in: directory)
                index += 1
            }
            index += 1
        }
    }

    private func carryOut(_ write: CgroupWrite, in directory: (String) -> Directory?) throws(CgroupError) {
        guard let path = directory(write.controller)?.path else {
            // The words runc has for it, which others look for.
            if isNone { throw .invalid("cannot set \(write.controller) limit: container could not join or create cgroup") }
            throw .invalid("\(write.file) cannot be set to \(write.value): this machine has no \(write.controller) controller")
        }
        do throws(CgroupError) { try CgroupFiles.write(write.value, to: "\(path)/\(write.file)") } catch {
            if error.errno == .noSuchFile {
                if let alternative = write.alternatives.first { return try carryOut(alternative, in: directory) }
                if write.isOptional { return }
                if isAvailable(write.controller, at: path) { throw .invalid("\(write.file) cannot be set to \(write.value): no such file or directory in \(path)") }
                // The words crun has for it, which others look for.
                throw .invalid("\(write.file) cannot be set to \(write.value): the requested cgroup controller `\(write.controller)` is not available at \(path)")
            }
            if error.errno == .busy, write.controller == "memory", let use = CgroupFiles.value("\(path)/memory.usage_in_bytes") {
                throw .invalid("\(error); \(use) bytes are in use and cannot be reclaimed")
            }
            throw error
        }
    }

    /// Whether a controller of v2 has been handed down to here, so that it is its file that does not exist.
    private func isAvailable(_ controller: String, at path: String) -> Bool {
        guard let list = CgroupFiles.value("\(path)/cgroup.controllers") else { return false }
        return controller == "cgroup" || list.fields(by: " ").contains { $0 == controller }
    }

    /// What `memory.checkBeforeUpdate` asks for, before anything is changed.
    package func checkUse(_ limits: CgroupLimits) throws(CgroupError) { if limits.memory.checkBeforeUpdate { try checkMemory(limits.memory) } }

    /// The kernel would reclaim and in the end kill: with this the caller prefers an error.
    private func checkMemory(_ memory: CgroupLimits.Memory) throws(CgroupError) {
        let usage: UInt64?
        if let directory = v1Directory(of: "memory") {
            usage = CgroupFiles.number("\(directory.path)/memory.usage_in_bytes")
        } else {
            usage = v2.flatMap { CgroupFiles.number("\($0.path)/memory.current") }
        }
        guard let usage else { return }
        if let limit = memory.swap, limit > 0, UInt64(limit) < usage { throw .invalid("linux.resources.memory.swap: rejecting memory+swap limit \(limit) < usage \(usage)") }
        if let limit = memory.limit, limit > 0, UInt64(limit) < usage { throw .invalid("linux.resources.memory.limit: rejecting memory limit \(limit) < usage \(usage)") }
    }

    /// Without a rule for it, a device is refused. That no hierarchy could do this is an error: it would open every device of the host.
    private func apply(devices rules: [DeviceRule], isNew: Bool) throws(CgroupError) {
        let policy = try DevicePolicy(rules)
        guard let directory = v1Directory(of: "devices") else {
            guard let v2 else { throw .invalid("linux.resources.devices: this machine has no devices controller") }
            // Nothing to restrict, and nothing that was restricted before.
            if isNew, policy.allowsByDefault, policy.exceptions.isEmpty { return }
            return try DeviceProgram(policy).attach(to: v2.path)
        }
        let writes = policy.writesV1
        if isNew, policy.allowsByDefault, writes.values.isEmpty, CgroupFiles.value("\(directory.path)/devices.list") == "a *:* rwm" { return }
        try CgroupFiles.write(writes.reset.value, to: "\(directory.path)/\(writes.reset.file)")
        if writes.values.isEmpty { return }
        let path = "\(directory.path)/\(writes.file)"
        do throws(SystemError) {
            let file = try Files.open(path, O_WRONLY)
            for value in writes.values { try CgroupFiles.write(value, to: file, path: path) }
        } catch {
            throw .kernel(error)
        }
    }
}
