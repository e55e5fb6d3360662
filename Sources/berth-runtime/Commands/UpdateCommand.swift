import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import OCISpec

/// `update`: changes the limits of a container that exists.
///
/// What is not named stays as it is. The new limits are kept in the container's own config.json, so that a later `update` of one half of a pair
/// (quota and period, memory and swap) knows the other.
enum UpdateCommand {
    typealias Resources = RuntimeSpec.Linux.Resources

    static var specs: [OptionSpec] {
        [
            OptionSpec("resources", "r", .value, "file with a resources document, - for standard input; instead of the options here"),
            OptionSpec("blkio-weight", nil, .value, "weight of the container's I/O, 10 to 1000"),
            OptionSpec("cpu-period", nil, .value, "length of a CPU period in microseconds"),
            OptionSpec("cpu-quota", nil, .value, "CPU time in a period, microseconds"),
            OptionSpec("cpu-burst", nil, .value, "CPU time that may be saved up beyond the quota, microseconds"),
            OptionSpec("cpu-share", nil, .value, "CPU weight relative to other containers"),
            OptionSpec("cpu-rt-period", nil, .value, "length of a realtime period in microseconds"),
            OptionSpec("cpu-rt-runtime", nil, .value, "realtime CPU time in a period, microseconds"),
            OptionSpec("cpuset-cpus", nil, .value, "processors, as in 0-3,7"),
            OptionSpec("cpuset-mems", nil, .value, "memory nodes"),
            OptionSpec("kernel-memory", nil, .value, nil),
            OptionSpec("kernel-memory-tcp", nil, .value, nil),
            OptionSpec("memory", nil, .value, "memory limit in bytes, -1 for none"),
            OptionSpec("cpu-idle", nil, .value, "1: run only when nobody else wants to"),
            OptionSpec("memory-reservation", nil, .value, "soft limit in bytes"),
            OptionSpec("memory-swap", nil, .value, "limit of memory and swap together in bytes, -1 for none"),
            OptionSpec("pids-limit", nil, .value, "most processes at a time"),
            OptionSpec("l3-cache-schema", nil, .value, "L3 cache schema of resctrl"),
            OptionSpec("mem-bw-schema", nil, .value, "memory bandwidth schema of resctrl"),
        ]
    }

    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        let id = try soleArgument(options, "update")
        let file = options["resources"] ?? ""
        let changes = file.isEmpty ? try parse(options) : try read(file)
        if changes.memory?.kernel != nil || changes.memory?.kernelTCP != nil {
            global.diagnostics.warn("kernel memory settings are ignored")
        }
        let directory = try ContainerDirectory.open(root: global.root, id: id, locked: true)
        let record = try directory.record()
        guard directory.status(record).hasInit else { throw .notRunning }
        var spec = try directory.spec()
        let schemas = try schemas(options, record, &spec)
        let before = spec.linux?.resources ?? Resources()
        let after = before.updated(by: changes)
        let cgroup = record.cgroup
        var new = try limits(changes.completed(from: after))
        let scope = try record.systemd.map { unit throws(RuntimeError) in try SystemdScope(unit) }
        try withCgroup { () throws(CgroupError) in try cgroup.checkUse(new) }
        do throws(RuntimeError) {
            try scope?.update(&new, isUnified: cgroup.v1.isEmpty)
            try withCgroup { () throws(CgroupError) in try cgroup.apply(new, isNew: false) }
        } catch {
            // What was written before the failure is taken back as far as possible.
            if var old = try? limits(before) {
                try? scope?.update(&old, isUnified: cgroup.v1.isEmpty)
                try? cgroup.apply(old, isNew: false)
            }
            throw error
        }
        if let group = record.resctrl, !schemas.isEmpty { try group.write(schemas) }
        if spec.linux == nil { spec.linux = RuntimeSpec.Linux() }
        spec.linux?.resources = after
        let path = directory.configPath
        let bytes = try ConfigLoader.encode(spec)
        try attempt { () throws(SystemError) in try Files.replace(path, with: bytes) }
        return 0
    }

    /// The schemas for resctrl, and the spec with them in it.
    private static func schemas(_ options: ParsedOptions, _ record: ContainerRecord, _ spec: inout RuntimeSpec) throws(RuntimeError) -> [String] {
        let cache = options["l3-cache-schema"] ?? "", bandwidth = options["mem-bw-schema"] ?? ""
        if cache.isEmpty && bandwidth.isEmpty { return [] }
        guard record.resctrl != nil, var config = spec.linux?.intelRdt else {
            throw RuntimeError(.failedPrecondition, "updating a non-existent Intel RDT configuration is not supported")
        }
        if !cache.isEmpty { config.l3CacheSchema = cache }
        if !bandwidth.isEmpty { config.memBwSchema = bandwidth }
        try ResctrlGroup.check(config, id: record.id)
        spec.linux?.intelRdt = config
        return [cache, bandwidth].filter { !$0.isEmpty }
    }

    /// Devices stay: another program may have added some, for a GPU.
    private static func limits(_ resources: Resources) throws(RuntimeError) -> CgroupLimits {
        var resources = resources
        resources.memory?.kernel = nil
        resources.memory?.kernelTCP = nil
        return try CgroupLimits(resources, canSetDevices: false)
    }

    // MARK: Reading

    private static func read(_ path: String) throws(RuntimeError) -> Resources {
        let bytes = try attempt { () throws(SystemError) in
            if path != "-" { return try Files.readAll(path, limit: ConfigLoader.limitBytes) }
            return try Files.readAll("/proc/self/fd/0", limit: ConfigLoader.limitBytes)
        }
        return try ConfigLoader.decode(bytes, name: path == "-" ? "standard input" : path)
    }

    private static func parse(_ options: ParsedOptions) throws(RuntimeError) -> Resources {
        func number<Value: FixedWidthInteger>(_ name: String) throws(RuntimeError) -> Value? {
            guard let text = options[name], !text.isEmpty else { return nil }
            guard let value = Value(text) else { throw RuntimeError(.invalidArgument, "invalid value for \(name): \"\(text)\"") }
            return value
        }
        func bytes(_ name: String) throws(RuntimeError) -> Int64? {
            guard let text = options[name], !text.isEmpty else { return nil }
            if text == "-1" { return -1 }
            guard let value = ByteSize.parse(text) else { throw RuntimeError(.invalidArgument, "invalid value for \(name): invalid size: '\(text)'") }
            return value
        }
        func text(_ name: String) -> String? { options[name].flatMap { $0.isEmpty ? nil : $0 } }
        let memory = Resources.Memory(
            limit: try bytes("memory"), reservation: try bytes("memory-reservation"), swap: try bytes("memory-swap"),
            kernel: try bytes("kernel-memory"), kernelTCP: try bytes("kernel-memory-tcp"))
        let cpu = Resources.CPU(
            shares: try number("cpu-share"), quota: try number("cpu-quota"), burst: try number("cpu-burst"), period: try number("cpu-period"),
            realtimeRuntime: try number("cpu-rt-runtime"), realtimePeriod: try number("cpu-rt-period"), cpus: text("cpuset-cpus"),
            mems: text("cpuset-mems"), idle: try number("cpu-idle"))
        return Resources(
            memory: memory, cpu: cpu, pids: Resources.Pids(limit: try number("pids-limit")),
            blockIO: Resources.BlockIO(weight: try number("blkio-weight")))
    }
}

extension RuntimeSpec.Linux.Resources {
    /// These resources with what `changes` names in place of what was there.
    func updated(by changes: Self) -> Self {
        var result = self
        if let new = changes.memory {
            var memory = result.memory ?? Memory()
            memory.limit = new.limit ?? memory.limit
            memory.reservation = new.reservation ?? memory.reservation
            // Lifting the memory limit alone lifts that of swap, which includes it.
            memory.swap = new.swap ?? (new.limit == -1 ? -1 : memory.swap)
            memory.swappiness = new.swappiness ?? memory.swappiness
            memory.disableOOMKiller = new.disableOOMKiller ?? memory.disableOOMKiller
            result.memory = memory
        }
        if let new = changes.cpu {
            var cpu = result.cpu ?? CPU()
            cpu.shares = new.shares ?? cpu.shares
            cpu.quota = new.quota ?? cpu.quota
            cpu.period = new.period ?? cpu.period
            cpu.burst = new.burst ?? cpu.burst
            cpu.realtimeRuntime = new.realtimeRuntime ?? cpu.realtimeRuntime
            cpu.realtimePeriod = new.realtimePeriod ?? cpu.realtimePeriod
            cpu.cpus = new.cpus ?? cpu.cpus
            cpu.mems = new.mems ?? cpu.mems
            cpu.idle = new.idle ?? cpu.idle
            result.cpu = cpu
        }
        if let limit = changes.pids?.limit { result.pids = Pids(limit: limit) }
        if let new = changes.blockIO { result.blockIO = (result.blockIO ?? BlockIO()).updated(by: new) }
        for limit in changes.hugepageLimits {
            result.hugepageLimits.removeAll { $0.pageSize == limit.pageSize }
            result.hugepageLimits.append(limit)
        }
        result.network = changes.network ?? result.network
        result.rdma.merge(changes.rdma) { $1 }
        result.unified.merge(changes.unified) { $1 }
        return result
    }

    /// Only what these changes name, and the other half of each pair that the kernel takes together.
    func completed(from all: Self) -> Self {
        var result = self
        if memory?.limit != nil || memory?.swap != nil {
            result.memory?.limit = all.memory?.limit
            result.memory?.swap = all.memory?.swap
        }
        if cpu?.quota != nil || cpu?.period != nil {
            result.cpu?.quota = all.cpu?.quota
            result.cpu?.period = all.cpu?.period
        }
        return result
    }
}

extension RuntimeSpec.Linux.Resources.BlockIO {
    fileprivate func updated(by changes: Self) -> Self {
        func merged<Device>(_ old: [Device], _ new: [Device], _ same: (Device, Device) -> Bool) -> [Device] {
            old.filter { device in !new.contains { same(device, $0) } } + new
        }
        func rates(_ old: [RuntimeSpec.Linux.Resources.ThrottleDevice], _ new: [RuntimeSpec.Linux.Resources.ThrottleDevice])
            -> [RuntimeSpec.Linux.Resources.ThrottleDevice]
        { merged(old, new) { $0.major == $1.major && $0.minor == $1.minor } }
        var result = self
        result.weight = changes.weight ?? weight
        result.leafWeight = changes.leafWeight ?? leafWeight
        result.weightDevice = merged(weightDevice, changes.weightDevice) { $0.major == $1.major && $0.minor == $1.minor }
        result.throttleReadBpsDevice = rates(throttleReadBpsDevice, changes.throttleReadBpsDevice)
        result.throttleWriteBpsDevice = rates(throttleWriteBpsDevice, changes.throttleWriteBpsDevice)
        result.throttleReadIOPSDevice = rates(throttleReadIOPSDevice, changes.throttleReadIOPSDevice)
        result.throttleWriteIOPSDevice = rates(throttleWriteIOPSDevice, changes.throttleWriteIOPSDevice)
        return result
    }
}

/// Sizes as people write them: "512m", "1.5g", "64 MiB". All prefixes are powers of 1024.
enum ByteSize {
    static func parse(_ text: String) -> Int64? {
        let digits = text.prefix { $0.isDigit || $0 == "." }
        guard let number = Double(digits), number.isFinite, !digits.hasPrefix("."), !digits.hasSuffix(".") else { return nil }
        var suffix = text.dropFirst(digits.count).drop { $0 == " " }.lowercased()
        if suffix.hasSuffix("b") { suffix.removeLast() }
        if suffix.count == 2, suffix.hasSuffix("i") { suffix.removeLast() }
        let prefixes = ["", "k", "m", "g", "t", "p"]
        guard let power = prefixes.firstIndex(of: suffix) else { return nil }
        let bytes = number * Double(UInt64(1) << (10 * UInt64(power)))
        return bytes < 9.2e18 ? Int64(bytes) : nil
    }
}
