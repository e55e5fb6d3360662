import BerthDefaults
import Cgroups
import LinuxSystem
import OCISpec

extension RuntimeError {
    init(_ error: CgroupError) {
        switch error {
        case .kernel(let failure): self.init(failure)
        case .invalid(let message): self.init(.invalidArgument, message)
        }
    }
}

/// Runs `body` with its cgroup errors as runtime errors.
func withCgroup<Result: ~Copyable>(_ body: () throws(CgroupError) -> Result) throws(RuntimeError) -> Result {
    do throws(CgroupError) { return try body() } catch { throw RuntimeError(error) }
}

/// Choosing and dividing a container's cgroup.
enum ContainerCgroup {
    /// Where the container's cgroup will be. Without a path it is the container's id beside or below the runtime's own; who has no privileges then gets what was
    /// delegated to them, which may be nothing. A path that is asked for has to be made, in every hierarchy that can set a limit.
    static func plan(path: String?, id: String) throws(RuntimeError) -> Cgroup {
        try withCgroup { () throws(CgroupError) in
            let layout = try CgroupLayout.current()
            let given = path.flatMap { $0.isEmpty ? nil : $0 }
            let wanted = try Cgroup(layout: layout, path: given ?? id)
            if ProcessAttributes.isPrivileged { return wanted }
            if given == nil { return wanted.permitted() }
            // Beside version 1 the other has no controllers: it may be missing.
            return wanted.v1.isEmpty ? wanted : Cgroup(v1: wanted.v1, v2: wanted.permitted().v2)
        }
    }

    /// The part of version 2, which the init is born in, and that of version 1, which it enters: they are made before and after the clone.
    static func divide(_ cgroup: Cgroup) -> (beforeClone: Cgroup?, afterClone: Cgroup?) {
        (cgroup.v2.map { Cgroup(v1: [], v2: $0) }, cgroup.v1.isEmpty ? nil : Cgroup(v1: cgroup.v1, v2: nil))
    }

    /// The directory of version 2 for clone3, owned by the caller.
    static func openForClone(_ cgroup: Cgroup) throws(RuntimeError) -> CInt? {
        try withCgroup { () throws(CgroupError) in
            guard let directory = try cgroup.openForClone() else { return nil }
            return directory.release()
        }
    }

    /// Which cgroup an exec'd process enters: the container's, or below it what `--cgroup [CONTROLLER[,…]:]PATH` says.
    static func forExec(_ cgroup: Cgroup, _ arguments: [String]) throws(RuntimeError) -> Cgroup {
        var v1 = cgroup.v1
        for argument in arguments {
            if RootedPath.leavesRoot(argument.fields(by: ":", limit: 2).last.map(String.init) ?? argument) {
                throw RuntimeError(.invalidArgument, "bad sub cgroup path: \(argument) is not a sub cgroup path")
            }
            let parts = argument.fields(by: ":", limit: 2, keepsEmpty: true)
            guard parts.count == 2 else {
                guard arguments.count == 1 else { throw RuntimeError(.invalidArgument, "invalid --cgroup argument: \(argument) (missing <controller>: prefix)") }
                return try withCgroup { () throws(CgroupError) in try cgroup.child(argument) }
            }
            let child = try withCgroup { () throws(CgroupError) in try cgroup.child(String(parts[1])) }
            for name in parts[0].fields(by: ",", keepsEmpty: true) {
                if name.isEmpty { throw RuntimeError(.invalidArgument, "invalid --cgroup argument: \(argument) (empty <controller> prefix)") }
                guard let position = v1.firstIndex(where: { $0.controllers.contains(String(name)) || $0.controllers.contains("name=\(name)") }) else {
                    throw RuntimeError(.invalidArgument, "invalid --cgroup argument: \(argument) (unknown controller \(name))")
                }
                v1[position] = child.v1[position]
            }
        }
        return Cgroup(v1: v1, v2: cgroup.v2)
    }
}

extension CgroupLimits {
    /// The spec's resources. Devices: the config's rules, then those every container needs; none at all where they cannot be set.
    init(_ resources: RuntimeSpec.Linux.Resources?, canSetDevices: Bool) throws(RuntimeError) {
        self.init()
        let resources = resources ?? RuntimeSpec.Linux.Resources()
        if canSetDevices { devices = try resources.devices.enumerated().map(Self.rule) + DeviceRule.defaults }
        if let memory = resources.memory { self.memory = Self.memory(memory) }
        if let cpu = resources.cpu { self.cpu = Self.cpu(cpu) }
        pids = resources.pids?.limit
        if let io = resources.blockIO { blockIO = Self.blockIO(io) }
        hugepages = resources.hugepageLimits.map { Hugepages(pageSize: $0.pageSize, limit: $0.limit) }
        networkClass = resources.network?.classID
        for entry in resources.network?.priorities ?? [] { networkPriorities[entry.name] = entry.priority }
        if !resources.rdma.isEmpty { rdma = resources.rdma.mapValues { Rdma(handles: $0.hcaHandles, objects: $0.hcaObjects) } }
        unified = resources.unified
    }

    private static func rule(_ index: Int, _ rule: RuntimeSpec.Linux.Resources.DeviceRule) throws(RuntimeError) -> DeviceRule {
        func refused(_ problem: String) -> RuntimeError { RuntimeError(.invalidArgument, "linux.resources.devices[\(index)]: \(problem)") }
        let kind: DeviceRule.Kind
        switch rule.type ?? "a" {
        case "a", "": kind = .all
        case "c", "u": kind = .character
        case "b": kind = .block
        case let other: throw refused("invalid device type \"\(other)\"")
        }
        var access: DeviceRule.Access = rule.access.map { $0.isEmpty } ?? true ? .all : []
        for letter in rule.access ?? "" {
            switch letter {
            case "r": access.insert(.read)
            case "w": access.insert(.write)
            case "m": access.insert(.mknod)
            // No access of the kernel's, and in the configs of the field.
            case "a": continue
            default: throw refused("invalid access \"\(rule.access ?? "")\"")
            }
        }
        func number(_ value: Int64?) throws(RuntimeError) -> UInt32? {
            guard let value, value != -1 else { return nil }
            guard let small = UInt32(exactly: value) else { throw refused("device number \(value) is out of range") }
            return small
        }
        return DeviceRule(allow: rule.allow, kind: kind, major: try number(rule.major), minor: try number(rule.minor), access: access)
    }

    private static func memory(_ source: RuntimeSpec.Linux.Resources.Memory) -> Memory {
        var memory = Memory()
        (memory.limit, memory.swap, memory.reservation, memory.kernelTCP) = (source.limit, source.swap, source.reservation, source.kernelTCP)
        (memory.swappiness, memory.disableOOMKiller, memory.checkBeforeUpdate) = (source.swappiness, source.disableOOMKiller, source.checkBeforeUpdate ?? false)
        return memory
    }

    private static func cpu(_ source: RuntimeSpec.Linux.Resources.CPU) -> CPU {
        var cpu = CPU()
        (cpu.shares, cpu.quota, cpu.period, cpu.burst) = (source.shares, source.quota, source.period, source.burst)
        (cpu.realtimeRuntime, cpu.realtimePeriod, cpu.idle) = (source.realtimeRuntime, source.realtimePeriod, source.idle)
        (cpu.cpus, cpu.mems) = (source.cpus.flatMap { $0.isEmpty ? nil : $0 }, source.mems.flatMap { $0.isEmpty ? nil : $0 })
        return cpu
    }

    private static func blockIO(_ source: RuntimeSpec.Linux.Resources.BlockIO) -> BlockIO {
        func rates(_ devices: [RuntimeSpec.Linux.Resources.ThrottleDevice]) -> [DeviceRate] {
            devices.map { DeviceRate(major: $0.major, minor: $0.minor, rate: $0.rate) }
        }
        var io = BlockIO()
        (io.weight, io.leafWeight) = (source.weight, source.leafWeight)
        io.deviceWeights = source.weightDevice.map { DeviceWeight(major: $0.major, minor: $0.minor, weight: $0.weight, leafWeight: $0.leafWeight) }
        (io.readBytes, io.writeBytes) = (rates(source.throttleReadBpsDevice), rates(source.throttleWriteBpsDevice))
        (io.readOperations, io.writeOperations) = (rates(source.throttleReadIOPSDevice), rates(source.throttleWriteIOPSDevice))
        return io
    }
}
