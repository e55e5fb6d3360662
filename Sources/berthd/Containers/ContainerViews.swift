import DockerAPI
import LinuxSystem

/// The record as `inspect` and `ps` show it: the only place where records become wire types.
struct ContainerViews: Sendable {
    let environment: ContainerEnvironment

    // MARK: Inspect

    func inspect(_ nameOrID: String, size: Bool, version: APIVersion) async throws -> ContainerInspect {
        let container = try environment.store.find(nameOrID)
        let record = container.record
        let directory = environment.directory(of: record.id)
        var view = ContainerInspect()
        view.Id = record.id
        view.Created = record.created.rfc3339
        view.Path = record.path
        view.Args = record.args
        view.State = state(of: container)
        view.Image = record.image.id
        view.ResolvConfPath = directory + "/resolv.conf"
        view.HostnamePath = directory + "/hostname"
        view.HostsPath = directory + "/hosts"
        view.LogPath = record.hostConfig.LogConfig?.Type == "json-file" ? record.logPath : ""
        view.Name = "/" + record.name
        view.RestartCount = record.lifecycle.restartCount
        view.Driver = record.snapshotter
        view.Platform = "linux"
        view.MountLabel = ""
        view.ProcessLabel = ""
        view.AppArmorProfile = (try? SecurityOptions(record.hostConfig.SecurityOpt ?? []))?.appArmorProfile ?? ""
        let execs = container.execIDs
        view.ExecIDs = execs.isEmpty ? nil : execs
        view.HostConfig = record.hostConfig.complete
        view.HostConfig?.Links = links(of: record)
        view.GraphDriver = DriverData(Name: record.snapshotter, Data: nil)
        view.Mounts = record.mounts.compactMap { mountPoint($0) }
        view.Config = record.config.complete
        view.NetworkSettings = networkSettings(record)
        if version >= .v(48) { view.ImageManifestDescriptor = record.image.manifest }
        if size {
            let sizes = try await environment.sizes(of: record)
            (view.SizeRw, view.SizeRootFs) = (sizes.own, sizes.whole)
        }
        if version < .v(44) { view.Config?.MacAddress = record.endpoints[record.networkMode]?.MacAddress ?? "" }
        return view
    }

    /// `/OTHER:/OWN/ALIAS`, with the names of today; what was removed is left out.
    private func links(of record: ContainerRecord) -> [String]? {
        let links = record.legacyLinks.compactMap { link in (try? environment.store.find(link.name)).map { "/\($0.record.name):/\(record.name)/\(link.alias)" } }
        return links.isEmpty ? nil : links
    }

    private func state(of container: ManagedContainer) -> ContainerState {
        let lifecycle = container.lifecycle
        var state = ContainerState()
        state.Status = lifecycle.statusName
        // A container that waits for its restart counts as running, as in Docker.
        state.Running = lifecycle.isRunning || lifecycle.isRestarting
        state.Paused = lifecycle.isPaused
        state.Restarting = lifecycle.isRestarting
        state.OOMKilled = lifecycle.oomKilled
        state.Dead = lifecycle.phase == .dead
        state.Pid = Int(lifecycle.pid)
        state.ExitCode = lifecycle.exitCode
        state.Error = lifecycle.error
        state.StartedAt = lifecycle.startedAt?.rfc3339 ?? WallClock.never
        state.FinishedAt = lifecycle.finishedAt?.rfc3339 ?? WallClock.never
        if let health = container.health {
            var view = Health()
            view.Status = health.status
            view.FailingStreak = health.failingStreak
            view.Log = health.log
            state.Health = view
        }
        return state
    }

    /// tmpfs of `--tmpfs` does not show, as in Docker.
    private func mountPoint(_ mount: ContainerRecord.MountRecord) -> MountPoint? {
        if mount.kind == .tmpfs, !mount.fromMountsAPI { return nil }
        var point = MountPoint()
        point.Type = mount.kind.rawValue
        point.Name = mount.volumeName
        point.Source = mount.source
        point.Destination = mount.destination
        point.Driver = mount.kind == .volume ? mount.driver : nil
        point.Mode = mount.mode
        point.RW = !mount.readOnly
        point.Propagation = mount.propagation
        return point
    }

    private func networkSettings(_ record: ContainerRecord) -> NetworkSettings {
        let running = record.lifecycle.isRunning
        var settings = NetworkSettings()
        settings.Bridge = ""
        settings.SandboxID = running ? record.attachment.sandboxID : ""
        settings.SandboxKey = running && record.lifecycle.pid > 0 && record.networkMode != "host" ? "/proc/\(record.lifecycle.pid)/ns/net" : ""
        settings.Ports = running ? record.attachment.ports : [:]
        settings.HairpinMode = false
        settings.LinkLocalIPv6Address = ""
        settings.LinkLocalIPv6PrefixLen = 0
        let networks = running && !record.attachment.endpoints.isEmpty ? record.attachment.endpoints : record.endpoints
        settings.Networks = networks.mapValues(\.complete)
        let bridge = networks["bridge"]
        settings.EndpointID = bridge?.EndpointID ?? ""
        settings.Gateway = bridge?.Gateway ?? ""
        settings.GlobalIPv6Address = bridge?.GlobalIPv6Address ?? ""
        settings.GlobalIPv6PrefixLen = bridge?.GlobalIPv6PrefixLen ?? 0
        settings.IPAddress = bridge?.IPAddress ?? ""
        settings.IPPrefixLen = bridge?.IPPrefixLen ?? 0
        settings.IPv6Gateway = bridge?.IPv6Gateway ?? ""
        settings.MacAddress = running ? bridge?.MacAddress ?? "" : ""
        return settings
    }

    // MARK: List

    func summary(_ record: ContainerRecord, _ look: ListedContainer.Look) -> ContainerSummary {
        let version = look.version
        var view = ContainerSummary()
        view.Id = record.id
        view.Names = ["/" + record.name] + look.linkNames
        view.Image = look.image
        view.ImageID = record.image.id
        if version >= .v(48) { view.ImageManifestDescriptor = record.image.manifest }
        view.Command = Self.commandText(record)
        view.Created = record.created.seconds
        (view.SizeRw, view.SizeRootFs) = (look.sizes?.own, look.sizes?.whole)
        view.Ports = record.lifecycle.isRunning ? Self.ports(record.attachment.ports) : []
        view.Labels = record.config.Labels ?? [:]
        view.State = record.lifecycle.statusName
        view.Status = look.status
        view.HostConfig = .init()
        view.HostConfig?.NetworkMode = record.networkMode
        if version >= .v(46) { view.HostConfig?.Annotations = record.hostConfig.Annotations }
        var networks = ContainerSummary.NetworkSettingsSummary()
        networks.Networks = networkSettings(record).Networks
        view.NetworkSettings = networks
        view.Mounts = record.mounts.compactMap { mountPoint($0) }
        return view
    }

    /// Path and arguments, those with a space quoted, as `ps` shows them.
    private static func commandText(_ record: ContainerRecord) -> String {
        ([record.path] + record.args.map { $0.contains(" ") ? "'\($0)'" : $0 }).joined(separator: " ")
    }

    static func ports(_ ports: [String: [PortBinding]?]) -> [PortSummary] {
        var list: [PortSummary] = []
        for (key, bindings) in ports.sorted(by: { $0.key < $1.key }) {
            let parts = key.split(separator: "/")
            guard let port = UInt16(parts[0]) else { continue }
            let type = parts.count > 1 ? String(parts[1]) : "tcp"
            guard let bindings, !bindings.isEmpty else {
                list.append(PortSummary(PrivatePort: port, Type: type))
                continue
            }
            for binding in bindings { list.append(PortSummary(IP: binding.HostIp, PrivatePort: port, PublicPort: binding.HostPort.flatMap { UInt16($0) }, Type: type)) }
        }
        return list
    }

    static func statusText(_ lifecycle: ContainerLifecycle, health: String?, now: WallClock) -> String {
        func since(_ time: WallClock?) -> String { HumanDuration.text(seconds: now.seconds - (time ?? now).seconds) }
        switch lifecycle.phase {
        case .paused: return "Up \(since(lifecycle.startedAt)) (Paused)"
        case .running:
            guard let health else { return "Up \(since(lifecycle.startedAt))" }
            return "Up \(since(lifecycle.startedAt)) (\(health == "starting" ? "health: starting" : health))"
        case .restarting: return "Restarting (\(lifecycle.exitCode)) \(since(lifecycle.finishedAt)) ago"
        case .removing: return "Removal In Progress"
        case .dead: return "Dead"
        case .created: return "Created"
        case .exited: return lifecycle.finishedAt == nil ? "" : "Exited (\(lifecycle.exitCode)) \(since(lifecycle.finishedAt)) ago"
        }
    }
}

/// Durations as Docker words them.
enum HumanDuration {
    static func text(seconds: Int64) -> String {
        let minutes = seconds / 60
        let hours = Int64((Double(seconds) / 3600).rounded())
        switch seconds {
        case ..<1: return "Less than a second"
        case 1: return "1 second"
        case ..<60: return "\(seconds) seconds"
        case _ where minutes == 1: return "About a minute"
        case _ where minutes < 60: return "\(minutes) minutes"
        case _ where hours == 1: return "About an hour"
        case _ where hours < 48: return "\(hours) hours"
        case _ where hours < 24 * 7 * 2: return "\(hours / 24) days"
        case _ where hours < 24 * 30 * 2: return "\(hours / 24 / 7) weeks"
        case _ where hours < 24 * 365 * 2: return "\(hours / 24 / 30) months"
        default: return "\(hours / 24 / 365) years"
        }
    }
}

extension HostConfig {
    /// With zero where nothing was said: answers carry every field, as Go writes them.
    var complete: HostConfig {
        var host = self
        host.ContainerIDFile = host.ContainerIDFile ?? ""
        host.AutoRemove = host.AutoRemove ?? false
        host.VolumeDriver = host.VolumeDriver ?? ""
        host.CgroupnsMode = host.CgroupnsMode ?? ""
        host.IpcMode = host.IpcMode ?? ""
        host.Cgroup = host.Cgroup ?? ""
        host.OomScoreAdj = host.OomScoreAdj ?? 0
        host.PidMode = host.PidMode ?? ""
        host.Privileged = host.Privileged ?? false
        host.PublishAllPorts = host.PublishAllPorts ?? false
        host.ReadonlyRootfs = host.ReadonlyRootfs ?? false
        host.UTSMode = host.UTSMode ?? ""
        host.UsernsMode = host.UsernsMode ?? ""
        host.ShmSize = host.ShmSize ?? 0
        host.Isolation = host.Isolation ?? ""
        host.CpuShares = host.CpuShares ?? 0
        host.Memory = host.Memory ?? 0
        host.NanoCpus = host.NanoCpus ?? 0
        host.CgroupParent = host.CgroupParent ?? ""
        host.BlkioWeight = host.BlkioWeight ?? 0
        host.BlkioWeightDevice = host.BlkioWeightDevice ?? []
        host.BlkioDeviceReadBps = host.BlkioDeviceReadBps ?? []
        host.BlkioDeviceWriteBps = host.BlkioDeviceWriteBps ?? []
        host.BlkioDeviceReadIOps = host.BlkioDeviceReadIOps ?? []
        host.BlkioDeviceWriteIOps = host.BlkioDeviceWriteIOps ?? []
        host.CpuPeriod = host.CpuPeriod ?? 0
        host.CpuQuota = host.CpuQuota ?? 0
        host.CpuRealtimePeriod = host.CpuRealtimePeriod ?? 0
        host.CpuRealtimeRuntime = host.CpuRealtimeRuntime ?? 0
        host.CpusetCpus = host.CpusetCpus ?? ""
        host.CpusetMems = host.CpusetMems ?? ""
        host.Devices = host.Devices ?? []
        host.MemoryReservation = host.MemoryReservation ?? 0
        host.MemorySwap = host.MemorySwap ?? 0
        host.CpuCount = host.CpuCount ?? 0
        host.CpuPercent = host.CpuPercent ?? 0
        host.IOMaximumIOps = host.IOMaximumIOps ?? 0
        host.IOMaximumBandwidth = host.IOMaximumBandwidth ?? 0
        host.Ulimits = host.Ulimits ?? []
        return host
    }
}

extension ContainerConfig {
    /// As `HostConfig.complete`.
    var complete: ContainerConfig {
        var config = self
        config.Hostname = config.Hostname ?? ""
        config.Domainname = config.Domainname ?? ""
        config.User = config.User ?? ""
        config.AttachStdin = config.AttachStdin ?? false
        config.AttachStdout = config.AttachStdout ?? false
        config.AttachStderr = config.AttachStderr ?? false
        config.Tty = config.Tty ?? false
        config.OpenStdin = config.OpenStdin ?? false
        config.StdinOnce = config.StdinOnce ?? false
        config.Image = config.Image ?? ""
        config.WorkingDir = config.WorkingDir ?? ""
        config.Labels = config.Labels ?? [:]
        if config.Volumes?.isEmpty == true { config.Volumes = nil }
        if config.ExposedPorts?.isEmpty == true { config.ExposedPorts = nil }
        if config.StopSignal?.isEmpty == true { config.StopSignal = nil }
        if config.Entrypoint?.isEmpty == true { config.Entrypoint = nil }
        return config
    }
}

extension EndpointSettings {
    /// As `HostConfig.complete`.
    var complete: EndpointSettings {
        var endpoint = self
        endpoint.MacAddress = endpoint.MacAddress ?? ""
        endpoint.GwPriority = endpoint.GwPriority ?? 0
        endpoint.NetworkID = endpoint.NetworkID ?? ""
        endpoint.EndpointID = endpoint.EndpointID ?? ""
        endpoint.Gateway = endpoint.Gateway ?? ""
        endpoint.IPAddress = endpoint.IPAddress ?? ""
        endpoint.IPPrefixLen = endpoint.IPPrefixLen ?? 0
        endpoint.IPv6Gateway = endpoint.IPv6Gateway ?? ""
        endpoint.GlobalIPv6Address = endpoint.GlobalIPv6Address ?? ""
        endpoint.GlobalIPv6PrefixLen = endpoint.GlobalIPv6PrefixLen ?? 0
        return endpoint
    }
}
