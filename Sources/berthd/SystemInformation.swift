import BerthDefaults
import DockerAPI
import Glibc
import LinuxSystem

/// `/version` and `/info`.
struct SystemInformation: Sendable {
    let environment: ContainerEnvironment
    let engineID: String
    private var config: DaemonConfig { environment.config }

    func version() async throws -> SystemVersion {
        var version = SystemVersion()
        let details = [
            "ApiVersion": APIVersion.newest.description, "MinAPIVersion": APIVersion.oldest.description, "Arch": HostFacts.architecture, "Os": "linux", "Experimental": "false",
            "KernelVersion": HostFacts.kernelVersion, "GitCommit": "", "GoVersion": "", "BuildTime": "",
        ]
        version.Platform = .init(Name: "Berth")
        version.Components = [.init(Name: "Engine", Version: Defaults.version, Details: details)]
        if let supervisor = try? await environment.supervisor.version() {
            version.Components?.append(.init(Name: config.containerd.isEmpty ? "berth-supervisor" : "containerd", Version: supervisor.version, Details: ["GitCommit": supervisor.revision]))
        }
        version.Version = Defaults.version
        version.ApiVersion = APIVersion.newest.description
        version.MinAPIVersion = APIVersion.oldest.description
        version.GitCommit = ""
        version.GoVersion = ""
        version.Os = "linux"
        version.Arch = HostFacts.architecture
        version.KernelVersion = HostFacts.kernelVersion
        version.BuildTime = ""
        return version
    }

    func info(version: APIVersion) async throws -> SystemInfo {
        var info = SystemInfo()
        let containers = environment.store.all
        let lifecycles = containers.filter { !$0.isAtRest }.map(\.lifecycle)
        info.ID = engineID
        info.Containers = containers.count
        info.ContainersRunning = lifecycles.count { $0.isRunning && !$0.isPaused }
        info.ContainersPaused = lifecycles.count { $0.isPaused }
        info.ContainersStopped = containers.count - lifecycles.count { $0.isRunning }
        info.Images = try await environment.images.count()
        info.Driver = environment.supervisor.snapshotter
        info.DriverStatus = [["driver-type", "io.containerd.snapshotter.v1"]]
        var plugins = SystemInfo.PluginsInfo()
        plugins.Volume = ["local"]
        plugins.Network = ["bridge", "host", "null"]
        plugins.Log = ["json-file", "local", "none"]
        info.Plugins = plugins
        fillLimits(&info)
        info.IPv4Forwarding = (try? Files.readText("/proc/sys/net/ipv4/ip_forward"))?.hasPrefix("1") ?? false
        if version < .v(50) { (info.BridgeNfIptables, info.BridgeNfIp6tables) = (false, false) }
        info.Debug = config.debug
        info.NFd = (try? Files.entries(of: "/proc/self/fd"))?.count ?? 0
        info.NGoroutines = (try? Files.entries(of: "/proc/self/task"))?.count ?? 0
        info.SystemTime = WallClock.now().rfc3339
        info.LoggingDriver = config.logDriver
        info.CgroupDriver = "cgroupfs"
        info.CgroupVersion = HostFacts.hasUnifiedCgroups ? "2" : "1"
        info.NEventsListener = environment.events.readerCount
        info.KernelVersion = HostFacts.kernelVersion
        info.OperatingSystem = HostFacts.operatingSystem.name
        info.OSVersion = HostFacts.operatingSystem.version
        info.OSType = "linux"
        info.Architecture = HostFacts.machine
        info.IndexServerAddress = "https://index.docker.io/v1/"
        info.RegistryConfig = registries
        info.NCPU = HostFacts.cpuCount
        info.MemTotal = HostFacts.memoryTotalBytes
        info.DockerRootDir = config.dataRoot
        info.HttpProxy = Self.proxy("HTTP_PROXY")
        info.HttpsProxy = Self.proxy("HTTPS_PROXY")
        info.NoProxy = Self.proxy("NO_PROXY")
        info.Name = HostFacts.hostname
        info.Labels = config.labels
        info.ExperimentalBuild = false
        info.ServerVersion = Defaults.version
        info.Runtimes = runtimes
        info.DefaultRuntime = config.defaultRuntime
        var swarm = SystemInfo.SwarmInfo()
        (swarm.NodeID, swarm.NodeAddr, swarm.LocalNodeState, swarm.ControlAvailable, swarm.Error) = ("", "", "inactive", false, "")
        info.Swarm = swarm
        info.LiveRestoreEnabled = true
        info.Isolation = ""
        info.InitBinary = (try? InitProgram.find(configured: config.initPath)).map { $0.split(separator: "/").last.map(String.init) ?? "" } ?? ""
        func commit(_ id: String) -> SystemInfo.Commit {
            var commit = SystemInfo.Commit(ID: id)
            if version < .v(49) { commit.Expected = id }
            return commit
        }
        info.ContainerdCommit = commit((try? await environment.supervisor.version())?.revision ?? "")
        info.RuncCommit = commit(Defaults.version)
        info.InitCommit = commit("")
        info.Warnings = warnings
        info.SecurityOptions = ["name=seccomp,profile=\(config.seccompProfile.isEmpty ? "builtin" : config.seccompProfile)", "name=cgroupns"]
        if config.noNewPrivileges { info.SecurityOptions?.append("name=no-new-privileges") }
        info.DefaultAddressPools = config.defaultAddressPools.isEmpty ? nil : config.defaultAddressPools.map { .init(Base: $0.base, Size: $0.size) }
        info.FirewallBackend = .init(Driver: "nftables")
        var containerd = SystemInfo.ContainerdInfo()
        containerd.Address = config.supervisorSocket
        containerd.Namespaces = .init()
        containerd.Namespaces?.Containers = config.containerdNamespace
        containerd.Namespaces?.Plugins = "plugins.\(config.containerdNamespace)"
        info.Containerd = containerd
        return info
    }

    private func fillLimits(_ info: inout SystemInfo) {
        let v2 = HostFacts.hasUnifiedCgroups
        func has(_ controller: String, _ file: String) -> Bool {
            v2 ? ((try? Files.readText("/sys/fs/cgroup/cgroup.controllers"))?.contains(controller) ?? false) : Files.exists("/sys/fs/cgroup/\(controller)/\(file)")
        }
        info.MemoryLimit = has("memory", "memory.limit_in_bytes")
        info.SwapLimit = v2 ? info.MemoryLimit : Files.exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
        info.CpuCfsPeriod = has("cpu", "cpu.cfs_period_us")
        info.CpuCfsQuota = has("cpu", "cpu.cfs_quota_us")
        info.CPUShares = has("cpu", "cpu.shares")
        info.CPUSet = has("cpuset", "cpuset.cpus")
        info.PidsLimit = has("pids", "cgroup.procs")
        info.OomKillDisable = !v2 && Files.exists("/sys/fs/cgroup/memory/memory.oom_control")
    }

    /// What `docker info` prints at its end.
    private var warnings: [String] {
        config.hosts.compactMap { host in
            guard host.hasPrefix("tcp://"), !config.tlsVerify else { return nil }
            let address = host.dropFirst("tcp://".count)
            let how = config.tls ? "https://\(address) without TLS client verification" : "http://\(address) without encryption"
            return "[DEPRECATION NOTICE]: API is accessible on \(how).\n         Access to the remote API is equivalent to root access on the host."
        }
    }

    private var registries: SystemInfo.RegistryServiceConfig {
        var result = SystemInfo.RegistryServiceConfig()
        result.InsecureRegistryCIDRs = ["127.0.0.0/8", "::1/128"] + config.insecureRegistries.filter { $0.contains("/") }
        var hub = SystemInfo.RegistryServiceConfig.Index()
        (hub.Name, hub.Mirrors, hub.Secure, hub.Official) = ("docker.io", config.registryMirrors, true, true)
        result.IndexConfigs = ["docker.io": hub]
        for host in config.insecureRegistries where !host.contains("/") {
            var index = SystemInfo.RegistryServiceConfig.Index()
            (index.Name, index.Mirrors, index.Secure, index.Official) = (host, [], false, false)
            result.IndexConfigs?[host] = index
        }
        result.Mirrors = config.registryMirrors
        return result
    }

    private var runtimes: [String: SystemInfo.RuntimeInfo] {
        var result: [String: SystemInfo.RuntimeInfo] = [:]
        var own = SystemInfo.RuntimeInfo()
        own.path = "berth-runtime"
        result["berth"] = own
        for (name, runtime) in config.runtimes {
            var info = SystemInfo.RuntimeInfo()
            if !runtime.path.isEmpty { info.path = runtime.path }
            if !runtime.type.isEmpty { info.runtimeType = runtime.type }
            if !runtime.arguments.isEmpty { info.runtimeArgs = runtime.arguments }
            result[name] = info
        }
        return result
    }

    private static func proxy(_ name: String) -> String { (getenv(name) ?? getenv(name.lowercased())).map { String(cString: $0) } ?? "" }
}
