extension RuntimeSpec.Linux {
    /// Limits enforced through cgroups. Also the document of `update --resources`.
    ///
    /// Spec: config-linux.md#control-groups. Names and units are those of cgroup v1; `Cgroups` translates for v2.
    package struct Resources: Codable, Sendable, Equatable {
        /// Applied in order; what no rule names is refused.
        package var devices: [DeviceRule]
        package var memory: Memory?
        package var cpu: CPU?
        package var pids: Pids?
        package var blockIO: BlockIO?
        package var hugepageLimits: [HugepageLimit]
        package var network: Network?
        /// By the device's name ("mlx5_1").
        package var rdma: [String: Rdma]
        /// Files of cgroup v2 with the values written to them, after everything else.
        package var unified: [String: String]

        package init(
            devices: [DeviceRule] = [], memory: Memory? = nil, cpu: CPU? = nil, pids: Pids? = nil, blockIO: BlockIO? = nil,
            hugepageLimits: [HugepageLimit] = [], network: Network? = nil, rdma: [String: Rdma] = [:], unified: [String: String] = [:]
        ) {
            self.devices = devices
            self.memory = memory
            self.cpu = cpu
            self.pids = pids
            self.blockIO = blockIO
            self.hugepageLimits = hugepageLimits
            self.network = network
            self.rdma = rdma
            self.unified = unified
        }
    }
}


extension RuntimeSpec.Linux.Resources {
    /// One line of the device list.
    package struct DeviceRule: Codable, Sendable, Equatable {
        package var allow: Bool
        /// "a" (all, the default), "c" or "b".
        package var type: String?
        /// Unset or -1: every one.
        package var major: Int64?
        package var minor: Int64?
        /// Of "r", "w" and "m" (mknod).
        package var access: String?

        package init(allow: Bool = false, type: String? = nil, major: Int64? = nil, minor: Int64? = nil, access: String? = nil) {
            self.allow = allow
            self.type = type
            self.major = major
            self.minor = minor
            self.access = access
        }
    }

    /// Bytes; -1 lifts a limit.
    package struct Memory: Codable, Sendable, Equatable {
        package var limit: Int64?
        package var reservation: Int64?
        /// Memory and swap together, as in v1.
        package var swap: Int64?
        /// Ignored by the kernel since 5.16 and by us.
        package var kernel: Int64?
        package var kernelTCP: Int64?
        /// 0 to 100.
        package var swappiness: UInt64?
        package var disableOOMKiller: Bool?
        package var useHierarchy: Bool?
        /// Refuse an `update` to a limit below the present use.
        package var checkBeforeUpdate: Bool?

        package init(
            limit: Int64? = nil, reservation: Int64? = nil, swap: Int64? = nil, kernel: Int64? = nil, kernelTCP: Int64? = nil,
            swappiness: UInt64? = nil, disableOOMKiller: Bool? = nil, useHierarchy: Bool? = nil, checkBeforeUpdate: Bool? = nil
        ) {
            self.limit = limit
            self.reservation = reservation
            self.swap = swap
            self.kernel = kernel
            self.kernelTCP = kernelTCP
            self.swappiness = swappiness
            self.disableOOMKiller = disableOOMKiller
            self.useHierarchy = useHierarchy
            self.checkBeforeUpdate = checkBeforeUpdate
        }
    }

    package struct CPU: Codable, Sendable, Equatable {
        /// Weight, 2 to 262144; 1024 is the default of v1.
        package var shares: UInt64?
        /// Microseconds of CPU time per `period`; -1 is no limit.
        package var quota: Int64?
        /// Microseconds that may be saved up beyond the quota.
        package var burst: UInt64?
        /// Microseconds.
        package var period: UInt64?
        package var realtimeRuntime: Int64?
        package var realtimePeriod: UInt64?
        /// List, "0-3,7".
        package var cpus: String?
        package var mems: String?
        /// 1 makes the whole group SCHED_IDLE.
        package var idle: Int64?

        package init(
            shares: UInt64? = nil, quota: Int64? = nil, burst: UInt64? = nil, period: UInt64? = nil, realtimeRuntime: Int64? = nil,
            realtimePeriod: UInt64? = nil, cpus: String? = nil, mems: String? = nil, idle: Int64? = nil
        ) {
            self.shares = shares
            self.quota = quota
            self.burst = burst
            self.period = period
            self.realtimeRuntime = realtimeRuntime
            self.realtimePeriod = realtimePeriod
            self.cpus = cpus
            self.mems = mems
            self.idle = idle
        }
    }

    package struct Pids: Codable, Sendable, Equatable {
        /// 0 and below: no limit.
        package var limit: Int64?

        package init(limit: Int64? = nil) {
            self.limit = limit
        }
    }

    package struct BlockIO: Codable, Sendable, Equatable {
        /// 10 to 1000.
        package var weight: UInt16?
        package var leafWeight: UInt16?
        package var weightDevice: [WeightDevice]
        /// Bytes per second.
        package var throttleReadBpsDevice: [ThrottleDevice]
        package var throttleWriteBpsDevice: [ThrottleDevice]
        /// Operations per second.
        package var throttleReadIOPSDevice: [ThrottleDevice]
        package var throttleWriteIOPSDevice: [ThrottleDevice]

        package init(
            weight: UInt16? = nil, leafWeight: UInt16? = nil, weightDevice: [WeightDevice] = [], throttleReadBpsDevice: [ThrottleDevice] = [],
            throttleWriteBpsDevice: [ThrottleDevice] = [], throttleReadIOPSDevice: [ThrottleDevice] = [],
            throttleWriteIOPSDevice: [ThrottleDevice] = []
        ) {
            self.weight = weight
            self.leafWeight = leafWeight
            self.weightDevice = weightDevice
            self.throttleReadBpsDevice = throttleReadBpsDevice
            self.throttleWriteBpsDevice = throttleWriteBpsDevice
            self.throttleReadIOPSDevice = throttleReadIOPSDevice
            self.throttleWriteIOPSDevice = throttleWriteIOPSDevice
        }
    }

    package struct WeightDevice: Codable, Sendable, Equatable {
        package var major: Int64
        package var minor: Int64
        package var weight: UInt16?
        package var leafWeight: UInt16?

        package init(major: Int64, minor: Int64, weight: UInt16? = nil, leafWeight: UInt16? = nil) {
            self.major = major
            self.minor = minor
            self.weight = weight
            self.leafWeight = leafWeight
        }
    }

    package struct ThrottleDevice: Codable, Sendable, Equatable {
        package var major: Int64
        package var minor: Int64
        package var rate: UInt64

        package init(major: Int64, minor: Int64, rate: UInt64) {
            self.major = major
            self.minor = minor
            self.rate = rate
        }
    }

    package struct HugepageLimit: Codable, Sendable, Equatable {
        /// As in the file's name: "2MB", "1GB".
        package var pageSize: String
        /// Bytes.
        package var limit: UInt64

        package init(pageSize: String, limit: UInt64) {
            self.pageSize = pageSize
            self.limit = limit
        }

        private enum CodingKeys: String, CodingKey { case pageSize, pagesize, limit }

        /// Go reads names in any case, and "pagesize" is what one finds in the field.
        package init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            if let other = try values.decodeIfPresent(String.self, forKey: .pagesize) { pageSize = other } else { pageSize = try values.decode(String.self, forKey: .pageSize) }
            limit = try values.decode(UInt64.self, forKey: .limit)
        }

        package func encode(to encoder: any Encoder) throws {
            var values = encoder.container(keyedBy: CodingKeys.self)
            try values.encode(pageSize, forKey: .pageSize)
            try values.encode(limit, forKey: .limit)
        }
    }

    package struct Network: Codable, Sendable, Equatable {
        /// Of net_cls, v1 only.
        package var classID: UInt32?
        package var priorities: [InterfacePriority]

        package init(classID: UInt32? = nil, priorities: [InterfacePriority] = []) {
            self.classID = classID
            self.priorities = priorities
        }
    }

    package struct InterfacePriority: Codable, Sendable, Equatable {
        package var name: String
        package var priority: UInt32

        package init(name: String, priority: UInt32) {
            self.name = name
            self.priority = priority
        }
    }

    package struct Rdma: Codable, Sendable, Equatable {
        package var hcaHandles: UInt32?
        package var hcaObjects: UInt32?

        package init(hcaHandles: UInt32? = nil, hcaObjects: UInt32? = nil) {
            self.hcaHandles = hcaHandles
            self.hcaObjects = hcaObjects
        }
    }
}
