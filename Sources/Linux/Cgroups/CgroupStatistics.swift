/// What a cgroup uses, read at one moment. Where a controller is missing its part is nil.
///
/// Bytes and nanoseconds throughout; `UInt64.max` is "no limit".
package struct CgroupStatistics: Sendable, Equatable {
    /// Shares of time in which processes waited for a resource. Kernel: Documentation/accounting/psi.rst.
    package struct Pressure: Sendable, Equatable {
        package struct Line: Sendable, Equatable {
            /// Percent over the last 10, 60 and 300 seconds.
            package var average10 = 0.0, average60 = 0.0, average300 = 0.0
            /// Microseconds.
            package var total: UInt64 = 0
        }
        /// At least one process waited.
        package var some = Line()
        /// All of them did.
        package var full = Line()
    }

    package struct Usage: Sendable, Equatable {
        package var usage: UInt64 = 0
        package var maximum: UInt64 = 0
        package var limit: UInt64 = 0
        package var failures: UInt64 = 0
    }

    package struct Memory: Sendable, Equatable {
        package var usage = Usage()
        /// v1: memory and swap together; v2: swap alone.
        package var swap: Usage?
        package var kernel: Usage?
        package var kernelTCP: Usage?
        package var cache: UInt64 = 0
        /// memory.stat as it is.
        package var details: [String: UInt64] = [:]
        package var outOfMemoryKills: UInt64 = 0
        package var pressure: Pressure?
        package init() {}
    }

    package struct CPU: Sendable, Equatable {
        package var total: UInt64 = 0
        package var user: UInt64 = 0
        package var system: UInt64 = 0
        /// v1 only.
        package var perProcessor: [UInt64] = []
        package var periods: UInt64 = 0
        package var throttledPeriods: UInt64 = 0
        package var throttledTime: UInt64 = 0
        package var pressure: Pressure?
        package init() {}
    }

    package struct Pids: Sendable, Equatable {
        package var current: UInt64 = 0
        package var limit: UInt64 = 0
    }

    /// A count for one device and one kind of operation ("Read").
    package struct BlockIOEntry: Sendable, Equatable {
        package var major: UInt64
        package var minor: UInt64
        package var operation: String
        package var value: UInt64
    }

    package struct BlockIO: Sendable, Equatable {
        package var bytes: [BlockIOEntry] = []
        package var operations: [BlockIOEntry] = []
        package var pressure: Pressure?
    }

    package struct Rdma: Sendable, Equatable {
        package var device: String
        package var handles: UInt64
        package var objects: UInt64
    }

    package var memory: Memory?
    package var cpu: CPU?
    package var pids: Pids?
    package var blockIO: BlockIO?
    /// By page size ("2MB").
    package var hugepages: [String: Usage] = [:]
    package var rdmaCurrent: [Rdma] = []
    package var rdmaLimit: [Rdma] = []

    init() {}
}
