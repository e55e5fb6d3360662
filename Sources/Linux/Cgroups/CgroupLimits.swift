/// What a cgroup may use, in the names and units of the runtime specification (those of cgroup v1). nil and empty leave things as they are.
///
/// Spec: OCI runtime-spec, config-linux.md#control-groups.
package struct CgroupLimits: Sendable, Equatable {
    package struct Memory: Sendable, Equatable {
        /// Bytes; -1 is no limit. `swap` counts memory and swap together; 0 is unset.
        package var limit: Int64?
        package var swap: Int64?
        package var reservation: Int64?
        package var kernelTCP: Int64?
        package var swappiness: UInt64?
        package var disableOOMKiller: Bool?
        /// Refuse a limit below the present use instead of letting the kernel reclaim or kill.
        package var checkBeforeUpdate = false
        package init() {}
    }

    package struct CPU: Sendable, Equatable {
        package var shares: UInt64?
        /// Microseconds per period; -1 is no limit.
        package var quota: Int64?
        package var period: UInt64?
        package var burst: UInt64?
        package var realtimeRuntime: Int64?
        package var realtimePeriod: UInt64?
        /// Lists such as "0-3,7".
        package var cpus: String?
        package var mems: String?
        package var idle: Int64?
        package init() {}
    }

    /// Of a block device.
    package struct DeviceWeight: Sendable, Equatable {
        package var major: Int64, minor: Int64
        package var weight: UInt16?, leafWeight: UInt16?
        package init(major: Int64, minor: Int64, weight: UInt16? = nil, leafWeight: UInt16? = nil) {
            self.major = major
            self.minor = minor
            self.weight = weight
            self.leafWeight = leafWeight
        }
    }

    package struct DeviceRate: Sendable, Equatable {
        package var major: Int64, minor: Int64
        package var rate: UInt64
        package init(major: Int64, minor: Int64, rate: UInt64) {
            self.major = major
            self.minor = minor
            self.rate = rate
        }
    }

    package struct BlockIO: Sendable, Equatable {
        package var weight: UInt16?
        package var leafWeight: UInt16?
        package var deviceWeights: [DeviceWeight] = []
        /// Bytes per second.
        package var readBytes: [DeviceRate] = [], writeBytes: [DeviceRate] = []
        /// Operations per second.
        package var readOperations: [DeviceRate] = [], writeOperations: [DeviceRate] = []
        package init() {}
    }

    package var memory = Memory()
    package var cpu = CPU()
    /// Below 0: no limit. 0 means 1, for systemd cannot say less, and a container has one process at least.
    package var pids: Int64?
    package var blockIO = BlockIO()
    package var hugepages: [Hugepages] = []
    package var networkClass: UInt32?
    /// By interface.
    package var networkPriorities: [String: UInt32] = [:]
    /// Handles and objects by device.
    package var rdma: [String: Rdma] = [:]
    /// Files of v2 and what to write to them, at the end.
    package var unified: [String: String] = [:]
    /// `cpu.shares` as v2's `cpu.weight`.
    package static func weight(shares: UInt64) -> UInt64 { LimitsPlan.weight(shares: shares) }

    /// In order. nil leaves the cgroup's devices alone (nested in a user namespace, where they cannot be set).
    package var devices: [DeviceRule]?

    package struct Hugepages: Sendable, Equatable {
        /// As in the files' names: "2MB".
        package var pageSize: String
        /// Bytes.
        package var limit: UInt64
        package init(pageSize: String, limit: UInt64) {
            self.pageSize = pageSize
            self.limit = limit
        }
    }

    package struct Rdma: Sendable, Equatable {
        package var handles: UInt32?, objects: UInt32?
        package init(handles: UInt32? = nil, objects: UInt32? = nil) {
            self.handles = handles
            self.objects = objects
        }
    }

    package init() {}
}
