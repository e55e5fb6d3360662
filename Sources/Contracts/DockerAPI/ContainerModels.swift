/// `ContainerConfig`: what belongs to the program, portable between hosts. In requests every field may be missing.
package struct ContainerConfig: Codable, Sendable, Equatable {
    package var Hostname: String?
    package var Domainname: String?
    package var User: String?
    package var AttachStdin: Bool?
    package var AttachStdout: Bool?
    package var AttachStderr: Bool?
    /// Keys are `PORT/PROTO`.
    package var ExposedPorts: [String: EmptyObject]?
    package var Tty: Bool?
    package var OpenStdin: Bool?
    package var StdinOnce: Bool?
    /// `NAME=value`; a bare `NAME` takes the variable of the image away.
    @Nullable package var Env: [String]?
    @Words package var Cmd: [String]?
    package var Healthcheck: HealthConfig?
    package var ArgsEscaped: Bool?
    package var Image: String?
    @Nullable package var Volumes: [String: EmptyObject]?
    package var WorkingDir: String?
    @Words package var Entrypoint: [String]?
    package var NetworkDisabled: Bool?
    /// Up to API 1.43 here, later in the endpoint's settings.
    package var MacAddress: String?
    @Nullable package var OnBuild: [String]?
    package var Labels: [String: String]?
    package var StopSignal: String?
    /// Seconds.
    package var StopTimeout: Int?
    package var Shell: [String]?

    package init() {}
}

/// How to find out whether a container is healthy. Durations are in nanoseconds; 0 means inherit, otherwise at least 1 ms.
package struct HealthConfig: Codable, Sendable, Equatable {
    /// `[]` inherit, `["NONE"]` disable, `["CMD", args…]` exec, `["CMD-SHELL", command]` through the shell.
    package var Test: [String]?
    package var Interval: Int64?
    package var Timeout: Int64?
    package var StartPeriod: Int64?
    package var StartInterval: Int64?
    package var Retries: Int?

    package init() {}
}

/// POST /containers/create: the fields of `ContainerConfig` with two more beside them.
package struct ContainerCreateRequest: Codable, Sendable, Equatable {
    package var config: ContainerConfig
    package var HostConfig: HostConfig?
    package var NetworkingConfig: NetworkingConfig?

    package init(config: ContainerConfig, HostConfig: HostConfig? = nil, NetworkingConfig: NetworkingConfig? = nil) {
        self.config = config
        self.HostConfig = HostConfig
        self.NetworkingConfig = NetworkingConfig
    }

    private enum CodingKeys: String, CodingKey { case HostConfig, NetworkingConfig }

    package init(from decoder: any Decoder) throws {
        config = try ContainerConfig(from: decoder)
        let container = try decoder.container(keyedBy: CodingKeys.self)
        HostConfig = try container.decodeIfPresent(DockerAPI.HostConfig.self, forKey: .HostConfig)
        NetworkingConfig = try container.decodeIfPresent(DockerAPI.NetworkingConfig.self, forKey: .NetworkingConfig)
    }

    package func encode(to encoder: any Encoder) throws {
        try config.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encodeIfPresent(HostConfig, forKey: .HostConfig)
        try container.encodeIfPresent(NetworkingConfig, forKey: .NetworkingConfig)
    }
}

package struct ContainerCreateResponse: Codable, Sendable, Equatable {
    package var Id: String
    package var Warnings: [String]?
    package init(Id: String, Warnings: [String]) {
        self.Id = Id
        self.Warnings = Warnings
    }
}

/// One element of GET /containers/json.
package struct ContainerSummary: Codable, Sendable, Equatable {
    package struct HostConfigSummary: Codable, Sendable, Equatable {
        package var NetworkMode: String?
        package var Annotations: [String: String]?
        package init() {}
    }
    package struct NetworkSettingsSummary: Codable, Sendable, Equatable {
        package var Networks: [String: EndpointSettings]?
        package init() {}
    }

    package var Id: String = ""
    @Nullable package var Names: [String]?
    package var Image: String?
    package var ImageID: String?
    package var ImageManifestDescriptor: Descriptor?
    package var Command: String?
    /// Seconds since 1970.
    package var Created: Int64?
    @Nullable package var Ports: [PortSummary]?
    /// Bytes; only with `size=1`.
    package var SizeRw: Int64?
    package var SizeRootFs: Int64?
    @Nullable package var Labels: [String: String]?
    package var State: String?
    /// For people: `Up 3 minutes (healthy)`.
    package var Status: String?
    package var HostConfig: HostConfigSummary?
    package var NetworkSettings: NetworkSettingsSummary?
    @Nullable package var Mounts: [MountPoint]?

    package init() {}
}

package struct PortSummary: Codable, Sendable, Equatable {
    package var IP: String?
    package var PrivatePort: UInt16
    package var PublicPort: UInt16?
    package var `Type`: String

    package init(IP: String? = nil, PrivatePort: UInt16, PublicPort: UInt16? = nil, Type: String) {
        self.IP = IP
        self.PrivatePort = PrivatePort
        self.PublicPort = PublicPort
        self.Type = Type
    }
}

/// A mount as inspect and list show it.
package struct MountPoint: Codable, Sendable, Equatable {
    package var `Type`: String?
    package var Name: String?
    package var Source: String?
    package var Destination: String?
    package var Driver: String?
    package var Mode: String?
    package var RW: Bool?
    package var Propagation: String?

    package init() {}
}

/// GET /containers/{id}/json.
package struct ContainerInspect: Codable, Sendable, Equatable {
    package var Id: String = ""
    package var Created: String?
    package var Path: String?
    package var Args: [String]?
    package var State: ContainerState?
    /// The image's ID.
    package var Image: String?
    package var ResolvConfPath: String?
    package var HostnamePath: String?
    package var HostsPath: String?
    package var LogPath: String?
    package var Name: String?
    package var RestartCount: Int?
    package var Driver: String?
    package var Platform: String?
    package var MountLabel: String?
    package var ProcessLabel: String?
    package var AppArmorProfile: String?
    @Nullable package var ExecIDs: [String]?
    package var HostConfig: HostConfig?
    package var GraphDriver: DriverData?
    package var SizeRw: Int64?
    package var SizeRootFs: Int64?
    package var Mounts: [MountPoint]?
    package var Config: ContainerConfig?
    package var NetworkSettings: NetworkSettings?
    package var ImageManifestDescriptor: Descriptor?

    package init() {}
}

/// The `State` of inspect. `Status` is one of created running paused restarting removing exited dead.
package struct ContainerState: Codable, Sendable, Equatable {
    package var Status: String?
    package var Running: Bool?
    package var Paused: Bool?
    package var Restarting: Bool?
    package var OOMKilled: Bool?
    package var Dead: Bool?
    package var Pid: Int?
    package var ExitCode: Int?
    package var Error: String?
    /// RFC 3339 with nanoseconds; `0001-01-01T00:00:00Z` when it did not happen.
    package var StartedAt: String?
    package var FinishedAt: String?
    package var Health: Health?

    package init() {}
}

package struct Health: Codable, Sendable, Equatable {
    /// none starting healthy unhealthy
    package var Status: String?
    package var FailingStreak: Int?
    /// The last five, oldest first.
    @Nullable package var Log: [HealthcheckResult]?

    package init() {}
}

package struct HealthcheckResult: Codable, Sendable, Equatable {
    package var Start: String?
    package var End: String?
    package var ExitCode: Int?
    package var Output: String?

    package init() {}
}

package struct DriverData: Codable, Sendable, Equatable {
    @Nullable package var Data: [String: String]?
    package var Name: String?

    package init(Name: String, Data: [String: String]?) {
        self.Name = Name
        self.Data = Data
    }
}

/// GET /containers/{id}/top.
package struct ContainerTop: Codable, Sendable, Equatable {
    package var Processes: [[String]]?
    package var Titles: [String]?
    package init(Titles: [String], Processes: [[String]]) {
        self.Titles = Titles
        self.Processes = Processes
    }
}

/// POST /containers/{id}/wait.
package struct ContainerWaitResponse: Codable, Sendable, Equatable {
    package struct ExitError: Codable, Sendable, Equatable {
        package var Message: String?
        package init(Message: String) { self.Message = Message }
    }
    package var Error: ExitError?
    package var StatusCode: Int64

    package init(StatusCode: Int64, Error: ExitError? = nil) {
        self.StatusCode = StatusCode
        self.Error = Error
    }
}

package struct ContainerUpdateResponse: Codable, Sendable, Equatable {
    @Nullable package var Warnings: [String]?
    package init(Warnings: [String]?) { self.Warnings = Warnings }
}

package struct ContainersPruneReport: Codable, Sendable, Equatable {
    @Nullable package var ContainersDeleted: [String]?
    package var SpaceReclaimed: UInt64?
    package init(ContainersDeleted: [String]?, SpaceReclaimed: UInt64) {
        self.ContainersDeleted = ContainersDeleted
        self.SpaceReclaimed = SpaceReclaimed
    }
}

/// GET /containers/{id}/changes. `Kind`: 0 modified, 1 added, 2 deleted.
package struct FilesystemChange: Codable, Sendable, Equatable {
    package var Path: String
    package var Kind: Int
    package init(Path: String, Kind: Int) {
        self.Path = Path
        self.Kind = Kind
    }
}

/// The header `X-Docker-Container-Path-Stat`, base64 of this object. `mode` is Go's os.FileMode.
package struct PathStat: Codable, Sendable, Equatable {
    package var name: String
    package var size: Int64
    package var mode: UInt32
    package var mtime: String
    package var linkTarget: String

    package init(name: String, size: Int64, mode: UInt32, mtime: String, linkTarget: String) {
        self.name = name
        self.size = size
        self.mode = mode
        self.mtime = mtime
        self.linkTarget = linkTarget
    }
}
