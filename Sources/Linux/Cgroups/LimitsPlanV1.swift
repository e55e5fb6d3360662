extension LimitsPlan {
    /// The writes for v1.
    /// - Parameter isNew: the cgroup was made just now, so what equals the kernel's default need not be written.
    static func v1(_ limits: CgroupLimits, isNew: Bool) throws(CgroupError) -> [CgroupWrite] {
        try check(limits)
        if !limits.unified.isEmpty { throw .invalid("linux.resources.unified: invalid configuration: only cgroup v2 has such files, this machine runs v1") }
        var writes = cpu(limits.cpu) + memory(limits.memory, isNew: isNew)
        if let pids = limits.pids, pids >= 0 || !isNew {
            writes.append(CgroupWrite(controller: "pids", file: "pids.max", value: pids < 0 ? "max" : "\(max(pids, 1))"))
        }
        writes += blockIO(limits.blockIO)
        for hugepages in limits.hugepages {
            let prefix = "hugetlb.\(hugepages.pageSize)"
            writes.append(CgroupWrite(controller: "hugetlb", file: "\(prefix).limit_in_bytes", value: "\(hugepages.limit)"))
            writes.append(CgroupWrite(controller: "hugetlb", file: "\(prefix).rsvd.limit_in_bytes", value: "\(hugepages.limit)", isOptional: true))
        }
        if let networkClass = limits.networkClass, networkClass != 0 || !isNew {
            writes.append(CgroupWrite(controller: "net_cls", file: "net_cls.classid", value: "\(networkClass)"))
        }
        for (name, priority) in limits.networkPriorities.sorted(by: { $0.key < $1.key }) {
            writes.append(CgroupWrite(controller: "net_prio", file: "net_prio.ifpriomap", value: "\(name) \(priority)"))
        }
        return writes + rdma(limits)
    }

    private static func cpu(_ cpu: CgroupLimits.CPU) -> [CgroupWrite] {
        var writes: [CgroupWrite] = []
        func add(_ file: String, _ value: some CustomStringConvertible, swapped: Bool = false, controller: String = "cpu") {
            writes.append(CgroupWrite(controller: controller, file: file, value: value.description, mayNeedNextFirst: swapped))
        }
        if let shares = cpu.shares, shares != 0 { add("cpu.shares", shares) }
        let quota = cpu.quota.flatMap { $0 == 0 ? nil : $0 }
        // A quota may not exceed its period by more than the parent allows, and a burst not the quota: whichever shrinks goes first.
        if let period = cpu.period, period != 0 { add("cpu.cfs_period_us", period, swapped: quota != nil) }
        if let quota { add("cpu.cfs_quota_us", quota, swapped: cpu.burst != nil) }
        if let burst = cpu.burst { add("cpu.cfs_burst_us", burst) }
        if let period = cpu.realtimePeriod, period != 0 { add("cpu.rt_period_us", period, swapped: cpu.realtimeRuntime != nil) }
        if let runtime = cpu.realtimeRuntime, runtime != 0 { add("cpu.rt_runtime_us", runtime) }
        if let idle = cpu.idle { add("cpu.idle", idle) }
        if let cpus = cpu.cpus, !cpus.isEmpty { add("cpuset.cpus", cpus, controller: "cpuset") }
        if let mems = cpu.mems, !mems.isEmpty { add("cpuset.mems", mems, controller: "cpuset") }
        return writes
    }

    private static func memory(_ memory: CgroupLimits.Memory, isNew: Bool) -> [CgroupWrite] {
        var writes: [CgroupWrite] = []
        let limit = memory.limit.flatMap { $0 == 0 ? nil : $0 }
        // Lifting the limit lifts that of swap as well, unless it is given: memory alone can never be above both together.
        let swap = memory.swap.flatMap { $0 == 0 ? nil : $0 } ?? (limit == -1 && !isNew ? -1 : nil)
        if let limit {
            writes.append(CgroupWrite(controller: "memory", file: "memory.limit_in_bytes", value: "\(limit)", mayNeedNextFirst: swap != nil))
        }
        if let swap {
            writes.append(CgroupWrite(controller: "memory", file: "memory.memsw.limit_in_bytes", value: "\(swap)", isOptional: swap == -1))
        }
        if let reservation = memory.reservation, reservation != 0 {
            writes.append(CgroupWrite(controller: "memory", file: "memory.soft_limit_in_bytes", value: "\(reservation)"))
        }
        // Kernel memory alone cannot be limited any more; the kernel ignores it since 5.16, so do the others and so do we.
        if let tcp = memory.kernelTCP, tcp != 0 {
            writes.append(CgroupWrite(controller: "memory", file: "memory.kmem.tcp.limit_in_bytes", value: "\(tcp)"))
        }
        if let disabled = memory.disableOOMKiller, disabled || !isNew {
            writes.append(CgroupWrite(controller: "memory", file: "memory.oom_control", value: disabled ? "1" : "0", isOptional: !disabled))
        }
        if let swappiness = memory.swappiness {
            writes.append(CgroupWrite(controller: "memory", file: "memory.swappiness", value: "\(swappiness)"))
        }
        return writes
    }

    private static func blockIO(_ io: CgroupLimits.BlockIO) -> [CgroupWrite] {
        var writes: [CgroupWrite] = []
        func add(_ file: String, _ value: String, or other: String? = nil) {
            let alternatives = other.map { [CgroupWrite(controller: "blkio", file: $0, value: value)] } ?? []
            writes.append(CgroupWrite(controller: "blkio", file: file, value: value, alternatives: alternatives))
        }
        // CFQ had the plain names until 5.0; BFQ has its own.
        if let weight = io.weight, weight != 0 { add("blkio.weight", "\(weight)", or: "blkio.bfq.weight") }
        if let weight = io.leafWeight, weight != 0 { add("blkio.leaf_weight", "\(weight)") }
        for device in io.deviceWeights {
            if let weight = device.weight {
                add("blkio.weight_device", Self.device(device.major, device.minor, "\(weight)"), or: "blkio.bfq.weight_device")
            }
            if let weight = device.leafWeight { add("blkio.leaf_weight_device", Self.device(device.major, device.minor, "\(weight)")) }
        }
        func add(_ rates: [CgroupLimits.DeviceRate], _ file: String) {
            for rate in rates { add("blkio.throttle.\(file)_device", Self.device(rate.major, rate.minor, "\(rate.rate)")) }
        }
        add(io.readBytes, "read_bps")
        add(io.writeBytes, "write_bps")
        add(io.readOperations, "read_iops")
        add(io.writeOperations, "write_iops")
        return writes
    }
}
