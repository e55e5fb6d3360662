/// One line of GET /containers/{id}/stats. Counters are totals since the container started; times in nanoseconds, sizes in bytes.
package struct ContainerStats: Codable, Sendable, Equatable {
    package struct CPUUsage: Codable, Sendable, Equatable {
        package var total_usage: UInt64?
        package var percpu_usage: [UInt64]?
        package var usage_in_kernelmode: UInt64?
        package var usage_in_usermode: UInt64?
        package init() {}
    }
    package struct ThrottlingData: Codable, Sendable, Equatable {
        package var periods: UInt64 = 0
        package var throttled_periods: UInt64 = 0
        package var throttled_time: UInt64 = 0
        package init() {}
    }
    package struct CPUStats: Codable, Sendable, Equatable {
        package var cpu_usage: CPUUsage?
        /// CPU time of the whole host.
        package var system_cpu_usage: UInt64?
        package var online_cpus: UInt32?
        package var throttling_data: ThrottlingData?
        package init() {}
    }
    package struct MemoryStats: Codable, Sendable, Equatable {
        package var usage: UInt64?
        package var max_usage: UInt64?
        package var stats: [String: UInt64]?
        package var failcnt: UInt64?
        package var limit: UInt64?
        package init() {}
    }
    package struct BlkioEntry: Codable, Sendable, Equatable {
        package var major: UInt64
        package var minor: UInt64
        package var op: String
        package var value: UInt64
        package init(major: UInt64, minor: UInt64, op: String, value: UInt64) {
            self.major = major
            self.minor = minor
            self.op = op
            self.value = value
        }
    }
    package struct BlkioStats: Codable, Sendable, Equatable {
        @Nullable package var io_service_bytes_recursive: [BlkioEntry]?
        @Nullable package var io_serviced_recursive: [BlkioEntry]?
        @Nullable package var io_queue_recursive: [BlkioEntry]?
        @Nullable package var io_service_time_recursive: [BlkioEntry]?
        @Nullable package var io_wait_time_recursive: [BlkioEntry]?
        @Nullable package var io_merged_recursive: [BlkioEntry]?
        @Nullable package var io_time_recursive: [BlkioEntry]?
        @Nullable package var sectors_recursive: [BlkioEntry]?
        package init() {}
    }
    package struct PidsStats: Codable, Sendable, Equatable {
        package var current: UInt64?
        package var limit: UInt64?
        package init() {}
    }
    package struct NetworkStats: Codable, Sendable, Equatable {
        package var rx_bytes: UInt64 = 0
        package var rx_packets: UInt64 = 0
        package var rx_errors: UInt64 = 0
        package var rx_dropped: UInt64 = 0
        package var tx_bytes: UInt64 = 0
        package var tx_packets: UInt64 = 0
        package var tx_errors: UInt64 = 0
        package var tx_dropped: UInt64 = 0
        package init() {}
    }

    package var id: String?
    package var name: String?
    package var read: String?
    package var preread: String?
    package var pids_stats: PidsStats?
    package var blkio_stats: BlkioStats?
    package var num_procs: UInt32?
    package var storage_stats: EmptyObject?
    package var cpu_stats: CPUStats?
    package var precpu_stats: CPUStats?
    package var memory_stats: MemoryStats?
    /// By interface name.
    package var networks: [String: NetworkStats]?

    package init() {}
}
