import DockerAPI
import Glibc
import LinuxSystem
import OCISpec

/// Limits of HostConfig in the spec's terms. Used for the spec and for `update`.
struct ResourceLimits: Sendable {
    private let host: HostConfig
    init(_ host: HostConfig) { self.host = host }

    /// Docker's period for `--cpus`, microseconds.
    private static let cpuPeriod: Int64 = 100_000

    func resources() throws -> RuntimeSpec.Linux.Resources {
        var resources = RuntimeSpec.Linux.Resources()
        resources.memory = memory
        resources.cpu = cpu
        // 0 of an update takes a limit away, which the runtime calls -1.
        if let limit = host.PidsLimit { resources.pids = .init(limit: limit <= 0 ? -1 : limit) }
        resources.blockIO = try blockIO()
        return resources
    }

    private var memory: RuntimeSpec.Linux.Resources.Memory? {
        var memory = RuntimeSpec.Linux.Resources.Memory()
        if let limit = host.Memory, limit > 0 { memory.limit = limit }
        if let reservation = host.MemoryReservation, reservation > 0 { memory.reservation = reservation }
        if let swap = host.MemorySwap, swap != 0 { memory.swap = swap }
        if let swappiness = host.MemorySwappiness, swappiness >= 0 { memory.swappiness = UInt64(swappiness) }
        if host.OomKillDisable == true { memory.disableOOMKiller = true }
        return memory == .init() ? nil : memory
    }

    private var cpu: RuntimeSpec.Linux.Resources.CPU? {
        var cpu = RuntimeSpec.Linux.Resources.CPU()
        if let shares = host.CpuShares, shares > 0 { cpu.shares = UInt64(shares) }
        if let nano = host.NanoCpus, nano > 0 {
            cpu.period = UInt64(Self.cpuPeriod)
            cpu.quota = nano * Self.cpuPeriod / 1_000_000_000
        }
        if let period = host.CpuPeriod, period > 0 { cpu.period = UInt64(period) }
        if let quota = host.CpuQuota, quota != 0 { cpu.quota = quota }
        if let cpus = host.CpusetCpus, !cpus.isEmpty { cpu.cpus = cpus }
        if let mems = host.CpusetMems, !mems.isEmpty { cpu.mems = mems }
        if let period = host.CpuRealtimePeriod, period != 0 { cpu.realtimePeriod = UInt64(clamping: period) }
        if let runtime = host.CpuRealtimeRuntime, runtime != 0 { cpu.realtimeRuntime = runtime }
        return cpu == .init() ? nil : cpu
    }

    private func blockIO() throws -> RuntimeSpec.Linux.Resources.BlockIO? {
        var io = RuntimeSpec.Linux.Resources.BlockIO()
        if let weight = host.BlkioWeight, weight > 0 { io.weight = weight }
        io.weightDevice = try (host.BlkioWeightDevice ?? []).map { device in
            let (major, minor) = try Self.numbers(device.Path ?? "")
            return .init(major: major, minor: minor, weight: device.Weight)
        }
        io.throttleReadBpsDevice = try Self.throttle(host.BlkioDeviceReadBps)
        io.throttleWriteBpsDevice = try Self.throttle(host.BlkioDeviceWriteBps)
        io.throttleReadIOPSDevice = try Self.throttle(host.BlkioDeviceReadIOps)
        io.throttleWriteIOPSDevice = try Self.throttle(host.BlkioDeviceWriteIOps)
        return io == .init() ? nil : io
    }

    private static func throttle(_ devices: [ThrottleDevice]?) throws -> [RuntimeSpec.Linux.Resources.ThrottleDevice] {
        try (devices ?? []).map { device in
            let (major, minor) = try numbers(device.Path ?? "")
            return .init(major: major, minor: minor, rate: device.Rate ?? 0)
        }
    }

    private static func numbers(_ path: String) throws -> (Int64, Int64) {
        guard let status = try? Files.status(path) else { throw DaemonError.invalid("stat \(path): no such file or directory") }
        return (Int64(DeviceNumber.major(status.st_rdev)), Int64(DeviceNumber.minor(status.st_rdev)))
    }
}
