import Glibc
import LinuxSystem

extension LimitsPlan {
    /// The writes for v2, with what the specification says in terms of v1 translated.
    /// - Parameter isNew: the cgroup was made just now, so what equals the kernel's default need not be written.
    static func v2(_ limits: CgroupLimits, isNew: Bool) throws(CgroupError) -> [CgroupWrite] {
        try check(limits)
        var writes = try cpu(limits.cpu) + memory(limits.memory, isNew: isNew)
        if let pids = limits.pids, pids >= 0 || !isNew {
            writes.append(CgroupWrite(controller: "pids", file: "pids.max", value: pids < 0 ? "max" : "\(max(pids, 1))"))
        }
        writes += try blockIO(limits.blockIO)
        for hugepages in limits.hugepages {
            let prefix = "hugetlb.\(hugepages.pageSize)"
            writes.append(CgroupWrite(controller: "hugetlb", file: "\(prefix).max", value: "\(hugepages.limit)"))
            writes.append(CgroupWrite(controller: "hugetlb", file: "\(prefix).rsvd.max", value: "\(hugepages.limit)", isOptional: true))
        }
        if let networkClass = limits.networkClass, networkClass != 0 {
            throw .invalid("linux.resources.network.classID: cgroup v2 has no network classes")
        }
        if !limits.networkPriorities.isEmpty { throw .invalid("linux.resources.network.priorities: cgroup v2 has no interface priorities") }
        writes += rdma(limits)
        for (file, value) in limits.unified.sorted(by: { $0.key < $1.key }) {
            let controller = String(file.prefix { $0 != "." })
            // Several lines are several values, and the kernel takes one at a time.
            for line in value.fields(by: "\n") { writes.append(CgroupWrite(controller: controller, file: file, value: String(line))) }
        }
        return writes
    }

    private static func cpu(_ cpu: CgroupLimits.CPU) throws(CgroupError) -> [CgroupWrite] {
        var writes: [CgroupWrite] = []
        func add(_ file: String, _ value: String, swapped: Bool = false, controller: String = "cpu") {
            writes.append(CgroupWrite(controller: controller, file: file, value: value, mayNeedNextFirst: swapped))
        }
        if let idle = cpu.idle { add("cpu.idle", "\(idle)") }
        // An idle group has no weight, and writing one fails.
        if let shares = cpu.shares, shares != 0, cpu.idle != 1 { add("cpu.weight", "\(weight(shares: shares))") }
        let quota = cpu.quota.flatMap { $0 == 0 ? nil : $0 }, period = cpu.period.flatMap { $0 == 0 ? nil : $0 }
        if quota != nil || period != nil {
            let first = quota.map { $0 > 0 ? "\($0)" : "max" } ?? "max"
            add("cpu.max", "\(first) \(period ?? 100_000)", swapped: cpu.burst != nil)
        }
        if let burst = cpu.burst { add("cpu.max.burst", "\(burst)") }
        if cpu.realtimeRuntime ?? 0 != 0 || cpu.realtimePeriod ?? 0 != 0 {
            throw .invalid("linux.resources.cpu.realtimeRuntime and realtimePeriod: cgroup v2 cannot limit real-time processes")
        }
        if let cpus = cpu.cpus, !cpus.isEmpty { add("cpuset.cpus", cpus, controller: "cpuset") }
        if let mems = cpu.mems, !mems.isEmpty { add("cpuset.mems", mems, controller: "cpuset") }
        return writes
    }

    private static func memory(_ memory: CgroupLimits.Memory, isNew: Bool) throws(CgroupError) -> [CgroupWrite] {
        var writes: [CgroupWrite] = []
        func add(_ file: String, _ bytes: Int64, isOptional: Bool = false) {
            writes.append(CgroupWrite(controller: "memory", file: file, value: bytes < 0 ? "max" : "\(bytes)", isOptional: isOptional))
        }
        let limit = memory.limit.flatMap { $0 == 0 ? nil : $0 }
        if memory.disableOOMKiller == true { throw .invalid("linux.resources.memory.disableOOMKiller: cgroup v2 cannot do without the OOM killer") }
        if memory.swappiness != nil { throw .invalid("linux.resources.memory.swappiness: cgroup v2 cannot set it") }
        // Swap first: raising both, either order is good, and lowering the memory limit then finds room to swap out.
        if let swap = memory.swap, swap != 0 {
            if swap > 0, limit == nil {
                throw .invalid("linux.resources.memory.swap: \(swap) includes the memory limit, which is not given")
            }
            // v1 counts both together, v2 swap alone. A machine without swap accounting has no such file, and allows none or any.
            let alone = swap < 0 || limit == -1 ? swap : swap - (limit ?? 0)
            add("memory.swap.max", alone, isOptional: alone <= 0)
        } else if memory.swap == 0, limit == nil {
            // No swap at all; with a memory limit zero means that there is nothing to say.
            add("memory.swap.max", 0, isOptional: true)
        } else if limit == -1, !isNew {
            add("memory.swap.max", -1, isOptional: true)
        }
        if let limit { add("memory.max", limit) }
        if let reservation = memory.reservation, reservation != 0 { add("memory.low", reservation) }
        return writes
    }

    private static func blockIO(_ io: CgroupLimits.BlockIO) throws(CgroupError) -> [CgroupWrite] {
        if io.leafWeight ?? 0 != 0 || io.deviceWeights.contains(where: { $0.leafWeight ?? 0 != 0 }) {
            throw .invalid("linux.resources.blockIO.leafWeight: cgroup v2 has no leaf weights")
        }
        var writes: [CgroupWrite] = []
        func add(_ file: String, _ value: String) { writes.append(CgroupWrite(controller: "io", file: file, value: value)) }
        // BFQ has the range of v1, and its file exists where BFQ is in use.
        func addWeight(_ prefix: String, _ weight: UInt16) {
            let converted = CgroupWrite(controller: "io", file: "io.weight", value: "\(prefix)\(ioWeight(weight))")
            writes.append(CgroupWrite(controller: "io", file: "io.bfq.weight", value: "\(prefix)\(weight)", alternatives: [converted]))
        }
        if let weight = io.weight, weight != 0 { addWeight("", weight) }
        for device in io.deviceWeights { if let weight = device.weight { addWeight("\(device.major):\(device.minor) ", weight) } }
        for (rates, key) in [(io.readBytes, "rbps"), (io.writeBytes, "wbps"), (io.readOperations, "riops"), (io.writeOperations, "wiops")] {
            for rate in rates { add("io.max", Self.device(rate.major, rate.minor, "\(key)=\(rate.rate)")) }
        }
        return writes
    }

    /// `cpu.shares` (2…262144, default 1024) as `cpu.weight` (1…10000, default 100).
    ///
    /// The curve goes through both ends and through the default, which a straight line does not.
    static func weight(shares: UInt64) -> UInt64 {
        if shares <= 2 { return 1 }
        if shares >= 262_144 { return 10_000 }
        let logarithm = log2(Double(shares))
        return UInt64(pow(10, (logarithm * logarithm + 125 * logarithm) / 612 - 7.0 / 34).rounded(.up))
    }

    /// `blkio.weight` (10…1000) as `io.weight` (1…10000).
    static func ioWeight(_ weight: UInt16) -> UInt64 { 1 + (UInt64(max(weight, 10)) - 10) * 9999 / 990 }
}
