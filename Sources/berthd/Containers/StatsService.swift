import ContainerdAPI
import DockerAPI
import Glibc
import LinuxSystem
import SwiftProtobuf

/// `docker stats`: the cgroup's counters from the supervisor, the network's from procfs.
struct StatsService: Sendable {
    let environment: ContainerEnvironment

    /// One sample. A container that does not run gives zeros, as in Docker.
    func sample(_ container: ManagedContainer, previous: ContainerStats?) async throws -> ContainerStats {
        let record = container.record
        var stats = ContainerStats()
        stats.id = record.id
        stats.name = "/" + record.name
        stats.read = WallClock.now().rfc3339
        stats.preread = previous?.read ?? WallClock.never
        stats.num_procs = 0
        stats.storage_stats = EmptyObject()
        stats.blkio_stats = .init()
        stats.pids_stats = .init()
        stats.memory_stats = .init()
        stats.cpu_stats = Self.emptyCPU
        stats.precpu_stats = previous?.cpu_stats ?? Self.emptyCPU
        guard record.lifecycle.isRunning else { return stats }
        let metrics = try await environment.supervisor.metrics(id: record.id)
        if metrics.typeURL.hasSuffix("cgroups.v2.Metrics") {
            Self.fill(&stats, from: try CgroupsV2_Metrics(serializedBytes: [UInt8](metrics.value)))
        } else {
            Self.fill(&stats, from: try CgroupsV1_Metrics(serializedBytes: [UInt8](metrics.value)))
        }
        if let limit = stats.memory_stats?.limit, limit == 0 || limit > UInt64(HostFacts.memoryTotalBytes) { stats.memory_stats?.limit = UInt64(HostFacts.memoryTotalBytes) }
        stats.cpu_stats?.system_cpu_usage = Self.hostCPUNanoseconds()
        stats.cpu_stats?.online_cpus = UInt32(HostFacts.cpuCount)
        if record.networkMode != "host" { stats.networks = Self.networks(pid: record.lifecycle.pid) }
        return stats
    }

    private static let emptyCPU: ContainerStats.CPUStats = {
        var cpu = ContainerStats.CPUStats()
        cpu.cpu_usage = .init()
        cpu.cpu_usage?.total_usage = 0
        cpu.cpu_usage?.usage_in_kernelmode = 0
        cpu.cpu_usage?.usage_in_usermode = 0
        cpu.throttling_data = .init()
        return cpu
    }()

    private static func fill(_ stats: inout ContainerStats, from metrics: CgroupsV1_Metrics) {
        var usage = ContainerStats.CPUUsage()
        usage.total_usage = metrics.cpu.usage.total
        usage.usage_in_kernelmode = metrics.cpu.usage.kernel
        usage.usage_in_usermode = metrics.cpu.usage.user
        usage.percpu_usage = metrics.cpu.usage.perCpu.isEmpty ? nil : metrics.cpu.usage.perCpu
        stats.cpu_stats?.cpu_usage = usage
        var throttling = ContainerStats.ThrottlingData()
        throttling.periods = metrics.cpu.throttling.periods
        throttling.throttled_periods = metrics.cpu.throttling.throttledPeriods
        throttling.throttled_time = metrics.cpu.throttling.throttledTime
        stats.cpu_stats?.throttling_data = throttling
        stats.memory_stats?.usage = metrics.memory.usage.usage
        stats.memory_stats?.max_usage = metrics.memory.usage.max
        stats.memory_stats?.failcnt = metrics.memory.usage.failcnt
        stats.memory_stats?.limit = metrics.memory.usage.limit
        stats.memory_stats?.stats = [
            "cache": metrics.memory.cache, "rss": metrics.memory.rss, "mapped_file": metrics.memory.mappedFile, "pgfault": metrics.memory.pgFault, "pgmajfault": metrics.memory.pgMajFault,
            "inactive_file": metrics.memory.inactiveFile, "active_file": metrics.memory.activeFile, "inactive_anon": metrics.memory.inactiveAnon, "active_anon": metrics.memory.activeAnon,
            "total_inactive_file": metrics.memory.totalInactiveFile, "total_active_file": metrics.memory.totalActiveFile, "total_cache": metrics.memory.totalCache,
            "total_rss": metrics.memory.totalRss, "unevictable": metrics.memory.unevictable,
        ]
        stats.pids_stats?.current = metrics.pids.current
        stats.pids_stats?.limit = metrics.pids.limit == 0 ? UInt64.max : metrics.pids.limit
        stats.blkio_stats?.io_service_bytes_recursive = metrics.blkio.ioServiceBytesRecursive.map { .init(major: $0.major, minor: $0.minor, op: $0.op, value: $0.value) }
        stats.blkio_stats?.io_serviced_recursive = metrics.blkio.ioServicedRecursive.map { .init(major: $0.major, minor: $0.minor, op: $0.op, value: $0.value) }
    }

    private static func fill(_ stats: inout ContainerStats, from metrics: CgroupsV2_Metrics) {
        var usage = ContainerStats.CPUUsage()
        // Microseconds there, nanoseconds here.
        usage.total_usage = metrics.cpu.usageUsec * 1000
        usage.usage_in_kernelmode = metrics.cpu.systemUsec * 1000
        usage.usage_in_usermode = metrics.cpu.userUsec * 1000
        stats.cpu_stats?.cpu_usage = usage
        var throttling = ContainerStats.ThrottlingData()
        throttling.periods = metrics.cpu.nrPeriods
        throttling.throttled_periods = metrics.cpu.nrThrottled
        throttling.throttled_time = metrics.cpu.throttledUsec * 1000
        stats.cpu_stats?.throttling_data = throttling
        stats.memory_stats?.usage = metrics.memory.usage
        stats.memory_stats?.limit = metrics.memory.usageLimit
        stats.memory_stats?.stats = [
            "anon": metrics.memory.anon, "file": metrics.memory.file, "inactive_file": metrics.memory.inactiveFile, "active_file": metrics.memory.activeFile,
            "inactive_anon": metrics.memory.inactiveAnon, "active_anon": metrics.memory.activeAnon, "pgfault": metrics.memory.pgfault, "pgmajfault": metrics.memory.pgmajfault,
            "slab": metrics.memory.slab, "sock": metrics.memory.sock, "shmem": metrics.memory.shmem, "unevictable": metrics.memory.unevictable, "kernel_stack": metrics.memory.kernelStack,
        ]
        stats.pids_stats?.current = metrics.pids.current
        stats.pids_stats?.limit = metrics.pids.limit == 0 ? UInt64.max : metrics.pids.limit
        stats.blkio_stats?.io_service_bytes_recursive = metrics.io.usage.flatMap { entry -> [ContainerStats.BlkioEntry] in
            [.init(major: entry.major, minor: entry.minor, op: "read", value: entry.rbytes), .init(major: entry.major, minor: entry.minor, op: "write", value: entry.wbytes)]
        }
    }

    /// CPU time of the whole machine from /proc/stat: user to steal.
    private static func hostCPUNanoseconds() -> UInt64 {
        guard let line = try? Files.readText("/proc/stat").split(separator: "\n").first else { return 0 }
        let ticks = line.split(separator: " ").dropFirst().prefix(8).compactMap { UInt64($0) }.reduce(0, +)
        return ticks * 1_000_000_000 / UInt64(max(1, sysconf(CInt(_SC_CLK_TCK))))
    }

    /// /proc/PID/net/dev of the container's network namespace, without lo.
    private static func networks(pid: Int32) -> [String: ContainerStats.NetworkStats]? {
        guard let text = try? Files.readText("/proc/\(pid)/net/dev") else { return nil }
        var result: [String: ContainerStats.NetworkStats] = [:]
        for line in text.split(separator: "\n").dropFirst(2) {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let name = parts[0].trimmed()
            let values = parts[1].split(separator: " ").compactMap { UInt64($0) }
            guard name != "lo", values.count >= 12 else { continue }
            var network = ContainerStats.NetworkStats()
            (network.rx_bytes, network.rx_packets, network.rx_errors, network.rx_dropped) = (values[0], values[1], values[2], values[3])
            (network.tx_bytes, network.tx_packets, network.tx_errors, network.tx_dropped) = (values[8], values[9], values[10], values[11])
            result[name] = network
        }
        return result.isEmpty ? nil : result
    }
}
