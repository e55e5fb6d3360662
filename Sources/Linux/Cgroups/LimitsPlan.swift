/// One value to be written to one file of a cgroup.
struct CgroupWrite: Equatable {
    /// The controller whose directory has the file; on v2 there is only one directory.
    var controller: String
    var file: String
    var value: String
    /// What does the same on kernels where this file does not exist: at most one.
    var alternatives: [CgroupWrite] = []
    /// The kernel checks two values against each other and the order depends on the old ones: when it refuses this write, the next one is done first.
    var mayNeedNextFirst = false
    /// Nothing is lost when the file does not exist: the value is what the kernel does without it.
    var isOptional = false
}

/// Turns limits into writes. Pure, so that every rule can be tested without a kernel.
enum LimitsPlan {
    /// "8:0 1000".
    static func device(_ major: Int64, _ minor: Int64, _ value: String) -> String { "\(major):\(minor) \(value)" }

    /// What both versions refuse.
    static func check(_ limits: CgroupLimits) throws(CgroupError) {
        if let shares = limits.cpu.shares, shares != 0 {
            if shares < 2 { throw .invalid("linux.resources.cpu.shares: \(shares) is below the minimum of 2") }
            if shares > 262_144 { throw .invalid("linux.resources.cpu.shares: \(shares) is above the maximum of 262144") }
        }
        if let swappiness = limits.memory.swappiness, swappiness > 100 {
            throw .invalid("linux.resources.memory.swappiness: \(swappiness) is not between 0 and 100")
        }
        // One by one: an array of pairs of a kind of its own is a type to be made known at every start.
        try checkSize("limit", limits.memory.limit)
        try checkSize("swap", limits.memory.swap)
        try checkSize("reservation", limits.memory.reservation)
        if let limit = limits.memory.limit, let swap = limits.memory.swap, limit > 0, swap > 0, swap < limit {
            throw .invalid("linux.resources.memory.swap: \(swap) is below the memory limit of \(limit), which it includes")
        }
        try checkWeight("weight", limits.blockIO.weight)
        try checkWeight("leafWeight", limits.blockIO.leafWeight)
        for hugepages in limits.hugepages where hugepages.pageSize.isEmpty || hugepages.pageSize.contains("/") {
            throw .invalid("linux.resources.hugepageLimits: \(hugepages.pageSize.debugDescription) is no page size")
        }
        for name in limits.unified.keys where !name.contains(".") {
            throw .invalid("linux.resources.unified: the specified key has not the form CONTROLLER.VALUE `\(name)`")
        }
        for name in limits.unified.keys where name.contains("/") {
            throw .invalid("linux.resources.unified: \(name.debugDescription) is no file of a cgroup")
        }
    }

    private static func checkSize(_ field: String, _ value: Int64?) throws(CgroupError) {
        if let value, value < -1 { throw .invalid("linux.resources.memory.\(field): \(value) is neither -1 nor a size") }
    }

    private static func checkWeight(_ field: String, _ weight: UInt16?) throws(CgroupError) {
        if let weight, weight != 0, !(10...1000).contains(weight) { throw .invalid("linux.resources.blockIO.\(field): \(weight) is not between 10 and 1000") }
    }

    static func rdma(_ limits: CgroupLimits) -> [CgroupWrite] {
        limits.rdma.sorted { $0.key < $1.key }.map { name, limit in
            let parts = [name] + [limit.handles.map { "hca_handle=\($0)" }, limit.objects.map { "hca_object=\($0)" }].compactMap(\.self)
            return CgroupWrite(controller: "rdma", file: "rdma.max", value: parts.joined(separator: " "))
        }
    }
}
