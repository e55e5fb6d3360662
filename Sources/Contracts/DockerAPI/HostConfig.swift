/// `HostConfig`: what ties a container to its host. In requests every field may be missing; answers carry them all.
package struct HostConfig: Codable, Sendable, Equatable {
    @Nullable package var Binds: [String]?
    package var ContainerIDFile: String?
    package var LogConfig: LogConfig?
    /// default bridge none host container:NAME or the name of a network
    package var NetworkMode: String?
    /// Keys are `PORT/PROTO`; a null value means any port on any address.
    @Nullable package var PortBindings: [String: [PortBinding]?]?
    package var RestartPolicy: RestartPolicy?
    package var AutoRemove: Bool?
    package var VolumeDriver: String?
    @Nullable package var VolumesFrom: [String]?
    /// Height, width.
    package var ConsoleSize: [UInt]?
    package var Annotations: [String: String]?

    @Nullable package var CapAdd: [String]?
    @Nullable package var CapDrop: [String]?
    package var CgroupnsMode: String?
    @Nullable package var Dns: [String]?
    @Nullable package var DnsOptions: [String]?
    @Nullable package var DnsSearch: [String]?
    @Nullable package var ExtraHosts: [String]?
    @Nullable package var GroupAdd: [String]?
    package var IpcMode: String?
    package var Cgroup: String?
    @Nullable package var Links: [String]?
    package var OomScoreAdj: Int?
    package var PidMode: String?
    package var Privileged: Bool?
    package var PublishAllPorts: Bool?
    package var ReadonlyRootfs: Bool?
    @Nullable package var SecurityOpt: [String]?
    package var StorageOpt: [String: String]?
    /// Destination → comma-separated mount options.
    package var Tmpfs: [String: String]?
    package var UTSMode: String?
    package var UsernsMode: String?
    /// Bytes.
    package var ShmSize: Int64?
    package var Sysctls: [String: String]?
    package var Runtime: String?
    package var Isolation: String?

    package var CpuShares: Int64?
    /// Bytes.
    package var Memory: Int64?
    /// Billionths of one CPU.
    package var NanoCpus: Int64?
    package var CgroupParent: String?
    package var BlkioWeight: UInt16?
    @Nullable package var BlkioWeightDevice: [WeightDevice]?
    @Nullable package var BlkioDeviceReadBps: [ThrottleDevice]?
    @Nullable package var BlkioDeviceWriteBps: [ThrottleDevice]?
    @Nullable package var BlkioDeviceReadIOps: [ThrottleDevice]?
    @Nullable package var BlkioDeviceWriteIOps: [ThrottleDevice]?
    /// Microseconds.
    package var CpuPeriod: Int64?
    package var CpuQuota: Int64?
    package var CpuRealtimePeriod: Int64?
    package var CpuRealtimeRuntime: Int64?
    package var CpusetCpus: String?
    package var CpusetMems: String?
    @Nullable package var Devices: [DeviceMapping]?
    @Nullable package var DeviceCgroupRules: [String]?
    @Nullable package var DeviceRequests: [DeviceRequest]?
    package var KernelMemory: Int64?
    package var KernelMemoryTCP: Int64?
    package var MemoryReservation: Int64?
    /// Memory and swap together in bytes; -1 unlimited.
    package var MemorySwap: Int64?
    @Nullable package var MemorySwappiness: Int64?
    @Nullable package var OomKillDisable: Bool?
    /// 0 and -1 are unlimited.
    @Nullable package var PidsLimit: Int64?
    @Nullable package var Ulimits: [Ulimit]?
    package var CpuCount: Int64?
    package var CpuPercent: Int64?
    package var IOMaximumIOps: UInt64?
    package var IOMaximumBandwidth: UInt64?

    package var Mounts: [Mount]?
    /// Missing: the engine's list. Empty: none.
    @Nullable package var MaskedPaths: [String]?
    @Nullable package var ReadonlyPaths: [String]?
    package var Init: Bool?

    package init() {}
}

package struct LogConfig: Codable, Sendable, Equatable {
    package var `Type`: String?
    @Nullable package var Config: [String: String]?
    package init(Type: String? = nil, Config: [String: String]? = nil) {
        self.Type = Type
        self.Config = Config
    }
}

package struct PortBinding: Codable, Sendable, Equatable {
    @NumberAsText package var HostIp: String?
    /// A port, a range `8000-8010` or empty for any free one.
    @NumberAsText package var HostPort: String?
    package init(HostIp: String? = nil, HostPort: String? = nil) {
        self.HostIp = HostIp
        self.HostPort = HostPort
    }
}

/// `Name`: "" or no, always, on-failure, unless-stopped.
package struct RestartPolicy: Codable, Sendable, Equatable {
    package var Name: String?
    package var MaximumRetryCount: Int?
    package init(Name: String? = nil, MaximumRetryCount: Int? = nil) {
        self.Name = Name
        self.MaximumRetryCount = MaximumRetryCount
    }
}

package struct WeightDevice: Codable, Sendable, Equatable {
    package var Path: String?
    package var Weight: UInt16?
    package init(Path: String, Weight: UInt16) {
        self.Path = Path
        self.Weight = Weight
    }
}

package struct ThrottleDevice: Codable, Sendable, Equatable {
    package var Path: String?
    /// Bytes or operations per second.
    package var Rate: UInt64?
    package init(Path: String, Rate: UInt64) {
        self.Path = Path
        self.Rate = Rate
    }
}

package struct DeviceMapping: Codable, Sendable, Equatable {
    package var PathOnHost: String?
    package var PathInContainer: String?
    /// Any of `rwm`.
    package var CgroupPermissions: String?
    package init(PathOnHost: String, PathInContainer: String, CgroupPermissions: String) {
        self.PathOnHost = PathOnHost
        self.PathInContainer = PathInContainer
        self.CgroupPermissions = CgroupPermissions
    }
}

package struct DeviceRequest: Codable, Sendable, Equatable {
    package var Driver: String?
    package var Count: Int?
    @Nullable package var DeviceIDs: [String]?
    @Nullable package var Capabilities: [[String]]?
    @Nullable package var Options: [String: String]?
    package init() {}
}

package struct Ulimit: Codable, Sendable, Equatable {
    package var Name: String?
    package var Hard: Int64?
    package var Soft: Int64?
    package init(Name: String, Hard: Int64, Soft: Int64) {
        self.Name = Name
        self.Hard = Hard
        self.Soft = Soft
    }
}

/// One `--mount`.
package struct Mount: Codable, Sendable, Equatable {
    package struct BindOptionsSpec: Codable, Sendable, Equatable {
        package var Propagation: String?
        package var NonRecursive: Bool?
        package var CreateMountpoint: Bool?
        package var ReadOnlyNonRecursive: Bool?
        package var ReadOnlyForceRecursive: Bool?
        package init() {}
    }
    package struct VolumeOptionsSpec: Codable, Sendable, Equatable {
        package struct Driver: Codable, Sendable, Equatable {
            package var Name: String?
            package var Options: [String: String]?
            package init() {}
        }
        package var NoCopy: Bool?
        package var Labels: [String: String]?
        package var Subpath: String?
        package var DriverConfig: Driver?
        package init() {}
    }
    package struct ImageOptionsSpec: Codable, Sendable, Equatable {
        package var Subpath: String?
        package init() {}
    }
    package struct TmpfsOptionsSpec: Codable, Sendable, Equatable {
        package var SizeBytes: Int64?
        package var Mode: UInt32?
        package var Options: [[String]]?
        package init() {}
    }

    /// bind volume tmpfs image npipe cluster
    package var `Type`: String?
    package var Source: String?
    package var Target: String?
    package var ReadOnly: Bool?
    package var Consistency: String?
    package var BindOptions: BindOptionsSpec?
    package var VolumeOptions: VolumeOptionsSpec?
    package var ImageOptions: ImageOptionsSpec?
    package var TmpfsOptions: TmpfsOptionsSpec?

    package init() {}
}

/// POST /containers/{id}/update. A missing or zero field stays as it is.
package struct ContainerUpdateRequest: Codable, Sendable, Equatable {
    package var CpuShares: Int64?
    package var Memory: Int64?
    package var NanoCpus: Int64?
    package var CgroupParent: String?
    package var BlkioWeight: UInt16?
    package var BlkioWeightDevice: [WeightDevice]?
    package var BlkioDeviceReadBps: [ThrottleDevice]?
    package var BlkioDeviceWriteBps: [ThrottleDevice]?
    package var BlkioDeviceReadIOps: [ThrottleDevice]?
    package var BlkioDeviceWriteIOps: [ThrottleDevice]?
    package var CpuPeriod: Int64?
    package var CpuQuota: Int64?
    package var CpuRealtimePeriod: Int64?
    package var CpuRealtimeRuntime: Int64?
    package var CpusetCpus: String?
    package var CpusetMems: String?
    package var Devices: [DeviceMapping]?
    package var DeviceCgroupRules: [String]?
    package var DeviceRequests: [DeviceRequest]?
    package var KernelMemory: Int64?
    package var KernelMemoryTCP: Int64?
    package var MemoryReservation: Int64?
    package var MemorySwap: Int64?
    package var MemorySwappiness: Int64?
    package var OomKillDisable: Bool?
    package var PidsLimit: Int64?
    package var Ulimits: [Ulimit]?
    package var RestartPolicy: RestartPolicy?

    package init() {}
}
