/// GET /info.
package struct SystemInfo: Codable, Sendable, Equatable {
    package struct PluginsInfo: Codable, Sendable, Equatable {
        @Nullable package var Volume: [String]?
        @Nullable package var Network: [String]?
        @Nullable package var Authorization: [String]?
        @Nullable package var Log: [String]?
        package init() {}
    }
    package struct RegistryServiceConfig: Codable, Sendable, Equatable {
        package struct Index: Codable, Sendable, Equatable {
            package var Name: String?
            package var Mirrors: [String]?
            package var Secure: Bool?
            package var Official: Bool?
            package init() {}
        }
        package var AllowNondistributableArtifactsCIDRs: [String]?
        package var AllowNondistributableArtifactsHostnames: [String]?
        package var InsecureRegistryCIDRs: [String]?
        package var IndexConfigs: [String: Index]?
        package var Mirrors: [String]?
        package init() {}
    }
    package struct RuntimeInfo: Codable, Sendable, Equatable {
        package var path: String?
        package var runtimeArgs: [String]?
        package var runtimeType: String?
        package var status: [String: String]?
        package init() {}
    }
    package struct SwarmInfo: Codable, Sendable, Equatable {
        package var NodeID: String?
        package var NodeAddr: String?
        package var LocalNodeState: String?
        package var ControlAvailable: Bool?
        package var Error: String?
        @Nullable package var RemoteManagers: [EmptyObject]?
        package init() {}
    }
    package struct Commit: Codable, Sendable, Equatable {
        package var ID: String?
        package var Expected: String?
        package init(ID: String) { self.ID = ID }
    }
    package struct AddressPool: Codable, Sendable, Equatable {
        package var Base: String?
        package var Size: Int?
        package init(Base: String, Size: Int) {
            self.Base = Base
            self.Size = Size
        }
    }
    package struct Firewall: Codable, Sendable, Equatable {
        package var Driver: String?
        package var Info: [[String]]?
        package init(Driver: String) { self.Driver = Driver }
    }
    package struct ContainerdInfo: Codable, Sendable, Equatable {
        package struct NamespacesInfo: Codable, Sendable, Equatable {
            package var Containers: String?
            package var Plugins: String?
            package init() {}
        }
        package var Address: String?
        package var Namespaces: NamespacesInfo?
        package init() {}
    }

    package var ID: String?
    package var Containers: Int?
    package var ContainersRunning: Int?
    package var ContainersPaused: Int?
    package var ContainersStopped: Int?
    package var Images: Int?
    package var Driver: String?
    package var DriverStatus: [[String]]?
    package var SystemStatus: [[String]]?
    package var Plugins: PluginsInfo?
    package var MemoryLimit: Bool?
    package var SwapLimit: Bool?
    package var KernelMemoryTCP: Bool?
    package var CpuCfsPeriod: Bool?
    package var CpuCfsQuota: Bool?
    package var CPUShares: Bool?
    package var CPUSet: Bool?
    package var PidsLimit: Bool?
    package var IPv4Forwarding: Bool?
    package var BridgeNfIptables: Bool?
    package var BridgeNfIp6tables: Bool?
    package var Debug: Bool?
    package var NFd: Int?
    package var OomKillDisable: Bool?
    package var NGoroutines: Int?
    package var SystemTime: String?
    package var LoggingDriver: String?
    package var CgroupDriver: String?
    package var CgroupVersion: String?
    package var NEventsListener: Int?
    package var KernelVersion: String?
    package var OperatingSystem: String?
    package var OSVersion: String?
    package var OSType: String?
    package var Architecture: String?
    package var IndexServerAddress: String?
    package var RegistryConfig: RegistryServiceConfig?
    package var NCPU: Int?
    package var MemTotal: Int64?
    @Nullable package var GenericResources: [EmptyObject]?
    package var DockerRootDir: String?
    package var HttpProxy: String?
    package var HttpsProxy: String?
    package var NoProxy: String?
    package var Name: String?
    package var Labels: [String]?
    package var ExperimentalBuild: Bool?
    package var ServerVersion: String?
    package var Runtimes: [String: RuntimeInfo]?
    package var DefaultRuntime: String?
    package var Swarm: SwarmInfo?
    package var LiveRestoreEnabled: Bool?
    package var Isolation: String?
    package var InitBinary: String?
    package var ContainerdCommit: Commit?
    package var RuncCommit: Commit?
    package var InitCommit: Commit?
    package var SecurityOptions: [String]?
    package var ProductLicense: String?
    package var DefaultAddressPools: [AddressPool]?
    package var FirewallBackend: Firewall?
    @Nullable package var CDISpecDirs: [String]?
    package var Containerd: ContainerdInfo?
    @Nullable package var Warnings: [String]?

    package init() {}
}

/// GET /version.
package struct SystemVersion: Codable, Sendable, Equatable {
    package struct PlatformInfo: Codable, Sendable, Equatable {
        package var Name: String?
        package init(Name: String) { self.Name = Name }
    }
    package struct Component: Codable, Sendable, Equatable {
        package var Name: String?
        package var Version: String?
        package var Details: [String: String]?
        package init(Name: String, Version: String, Details: [String: String]?) {
            self.Name = Name
            self.Version = Version
            self.Details = Details
        }
    }

    package var Platform: PlatformInfo?
    package var Components: [Component]?
    package var Version: String?
    package var ApiVersion: String?
    package var MinAPIVersion: String?
    package var GitCommit: String?
    package var GoVersion: String?
    package var Os: String?
    package var Arch: String?
    package var KernelVersion: String?
    package var Experimental: Bool?
    package var BuildTime: String?

    package init() {}
}

/// GET /system/df, up to API 1.51.
package struct DiskUsage: Codable, Sendable, Equatable {
    package struct BuildCacheRecord: Codable, Sendable, Equatable {
        package var ID: String?
        package var `Type`: String?
        package var Description: String?
        package var InUse: Bool?
        package var Shared: Bool?
        package var Size: Int64?
        package var CreatedAt: String?
        package var LastUsedAt: String?
        package var UsageCount: Int?
        package init() {}
    }
    /// Bytes of all layers, each counted once.
    package var LayersSize: Int64?
    package var Images: [ImageSummary]?
    package var Containers: [ContainerSummary]?
    package var Volumes: [Volume]?
    package var BuildCache: [BuildCacheRecord]?

    package init() {}
}

/// One line of GET /events.
package struct EventMessage: Codable, Sendable, Equatable {
    package struct EventActor: Codable, Sendable, Equatable {
        package var ID: String?
        package var Attributes: [String: String]?
        package init(ID: String, Attributes: [String: String]) {
            self.ID = ID
            self.Attributes = Attributes
        }
    }

    /// `status`, `id` and `from` are the shape of old clients; containers and images carry them still.
    package var status: String?
    package var id: String?
    package var from: String?
    package var `Type`: String?
    package var Action: String?
    package var Actor: EventActor?
    package var scope: String?
    /// Seconds since 1970.
    package var time: Int64?
    package var timeNano: Int64?

    package init() {}
}
