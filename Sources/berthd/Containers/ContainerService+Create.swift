import BerthDefaults
import DockerAPI
import Glibc
import LinuxSystem
import NIOCore
import NIOPosix

extension ContainerService {
    /// Makes a container: checks everything, takes the name, prepares the writable layer and the volumes, and commits once. What fails leaves nothing behind.
    ///
    /// - Parameter known: the image, where it was looked up already; a build's may be an empty one, which has no name.
    func create(
        _ request: ContainerCreateRequest, name wantedName: String?, platform: String?, version: APIVersion, image known: ResolvedImage? = nil
    ) async throws -> (id: String, warnings: [String]) {
        var config = request.config
        var host = request.HostConfig ?? HostConfig()
        let validation = CreateValidation(daemon: environment.config)
        var warnings = try RequestCompatibility.adapt(&config, &host, request.NetworkingConfig, version: version)
        try validation.validate(&config)
        let reference = config.Image ?? ""
        guard !reference.isEmpty || known != nil else {
            // Go's clients send the field in any case: then a configuration is there, with nothing in it.
            throw DaemonError.invalid(config.Image == nil ? "config cannot be empty in order to create a container" : "no command specified")
        }
        try validation.validateSharing(config, host)
        try resolveSharedNamespaces(&host)
        warnings += try validation.settle(&host)
        try settleLinks(&host)
        _ = try environment.runtime(named: host.Runtime ?? "")
        let image: ResolvedImage
        if let known { image = known } else { image = try await environment.images.resolve(reference, platform: platform) }
        try ImageMerge.apply(image.config, to: &config)
        try validation.validate(&config)
        let command = (config.Entrypoint ?? []) + (config.Cmd ?? [])
        guard let path = command.first, !command.isEmpty else { throw DaemonError.invalid("no command specified") }
        let settlement = try MountSettlement(
            host, volumes: config.Volumes ?? [:], others: try inheritedMounts(host.VolumesFrom ?? []), dataRoot: environment.config.dataRoot,
            defaultReadOnlyNonRecursive: version < .v(44))

        let id = Identifier.random()
        if (config.Hostname ?? "").isEmpty { config.Hostname = host.NetworkMode == "host" ? HostFacts.hostname : String(id.prefix(12)) }
        if host.UTSMode == "host" { config.Hostname = HostFacts.hostname }
        let mode = host.NetworkMode ?? "bridge"
        var endpoints = try RequestCompatibility.endpoints(request.NetworkingConfig, containerWideMAC: config.MacAddress, mode: mode, version: version)
        if let warning = try RequestCompatibility.moveInterfaceSysctls(&host, to: &endpoints, mode: mode, version: version) { warnings.append(warning) }
        config.MacAddress = nil
        let name = try reserveName(wantedName, for: id)
        var record = ContainerRecord(
            id: id, name: name, created: .now(), config: config, hostConfig: host, image: image, path: path, args: Array(command.dropFirst()), mounts: settlement.mounts,
            endpoints: endpoints, logPath: host.LogConfig?.Type == "none" ? "" : "\(environment.directory(of: id))/\(id)-json.log",
            maskedPaths: host.MaskedPaths ?? SecurityOptions.maskedPaths, readonlyPaths: host.ReadonlyPaths ?? SecurityOptions.readonlyPaths)
        record.driver = supervisor.snapshotter
        if host.Privileged ?? false { (record.maskedPaths, record.readonlyPaths) = (nil, nil) }
        record.hostConfig.MaskedPaths = record.maskedPaths
        record.hostConfig.ReadonlyPaths = record.readonlyPaths
        if record.logPath.isEmpty == false, host.LogConfig?.Type == "local" { record.logPath = "\(environment.directory(of: id))/local-logs/container.log" }

        do {
            record.endpoints = try await environment.networks.validate(record.networkContainer)
            try await makeFiles(of: record)
            let size = try StorageOptions.size(host.StorageOpt)
            guard size == nil || environment.config.containerd.isEmpty else { throw DaemonError.unimplemented("--storage-opt size with a containerd that is not ours") }
            let mounts = try await supervisor.prepareSnapshot(key: id, parent: image.chainID, sizeLimit: size)
            try await acquireVolumes(for: &record, rootfs: mounts)
            // One that the image names came with it; what the user names can be copied from and to before the first start, as with dockerd.
            if let directory = request.config.WorkingDir, RootedPath.cleaned(directory) != "/" { try await makeWorkingDirectory(RootedPath.cleaned(directory), in: mounts) }
            try await store.save(record)
        } catch {
            await undoCreate(record)
            throw error
        }
        store.add(ManagedContainer(record, mayHaveTask: false))
        environment.publish("create", record)
        return (id, warnings)
    }

    private func reserveName(_ wanted: String?, for id: String) throws -> String {
        if let wanted, !wanted.isEmpty {
            let name = try CreateValidation.name(wanted)
            try store.reserve(name: name, for: id)
            return name
        }
        for attempt in 0..<6 {
            let name = NameGenerator.name(attempt: attempt)
            if (try? store.reserve(name: name, for: id)) != nil { return name }
        }
        let name = String(id.prefix(12))
        try store.reserve(name: name, for: id)
        return name
    }

    /// `container:NAME` → `container:ID`: the link survives a rename.
    private func resolveSharedNamespaces(_ host: inout HostConfig) throws(DaemonError) {
        func resolved(_ mode: String?) throws(DaemonError) -> String? {
            guard let mode, mode.hasPrefix("container:"), mode.utf8.count > 10 else { return mode }
            // Not 404: clients take that for a missing image and pull.
            do { return "container:" + (try store.find(String(mode.dropFirst(10))).id) } catch { throw .invalid(error.message) }
        }
        // That of the network may come into being before the start, as in dockerd.
        host.NetworkMode = (try? resolved(host.NetworkMode)) ?? host.NetworkMode
        host.PidMode = try resolved(host.PidMode)
        host.IpcMode = try resolved(host.IpcMode)
    }

    private func inheritedMounts(_ sources: [String]) throws -> [(mounts: [ContainerRecord.MountRecord], readOnly: Bool?)] {
        try sources.map { source in
            let parts = source.split(separator: ":", maxSplits: 1).map(String.init)
            let readOnly: Bool?
            switch parts.count > 1 ? parts[1] : "" {
            case "": readOnly = nil
            case "ro": readOnly = true
            case "rw", "z", "Z": readOnly = nil
            default: throw DaemonError.invalid("invalid mode: \(parts[1])")
            }
            // Not 404: clients take that for a missing image and pull.
            do { return (try store.find(parts.first ?? "").record.mounts, readOnly) } catch { throw DaemonError.invalid("\(error)") }
        }
    }

    /// hostname, hosts and resolv.conf as first drafts, and the place for the log.
    private func makeFiles(of record: ContainerRecord) async throws {
        let directory = environment.directory(of: record.id)
        do {
            // The parent belongs to root alone; the container reaches its three files through mounts, not through this path.
            try Files.makeDirectories(directory, mode: 0o710)
            if record.hostConfig.LogConfig?.Type == "local" { try Files.makeDirectories(directory + "/local-logs", mode: 0o700) }
            var hostname = record.config.Hostname ?? ""
            if let domain = record.config.Domainname, !domain.isEmpty { hostname += "." + domain }
            for (name, text) in [("hostname", hostname + "\n"), ("hosts", ""), ("resolv.conf", "")] { try write(text, to: "\(directory)/\(name)") }
        } catch let error as SystemError where error.errno == .noSpace {
            throw DaemonError.internalError("no space left on device: \(directory)")
        }
    }

    /// In place: the file is bind-mounted, a new one would not be seen.
    func write(_ text: String, to path: String) throws {
        let file = try Files.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: 0o644)
        try Files.writeAll(Array(text.utf8), to: file, name: path)
    }

    private func acquireVolumes(for record: inout ContainerRecord, rootfs: [RootfsMount]) async throws {
        var detached: DetachedRootfs?
        for index in record.mounts.indices {
            var mount = record.mounts[index]
            if mount.kind == .bind, mount.createsSource, !Files.exists(mount.source) {
                try Files.makeDirectories(mount.source)
            }
            guard mount.kind == .volume else { continue }
            let api = record.hostConfig.Mounts?.first { $0.Target.map(RootedPath.cleaned) == mount.destination }
            let name = mount.volumeName ?? ""
            if name.isEmpty { mount.isAnonymous = true }
            let volume = try await environment.volumes.acquire(
                name: name.isEmpty ? nil : name, isAnonymous: mount.isAnonymous ?? false, driver: mount.driver, options: api?.VolumeOptions?.DriverConfig?.Options ?? [:], labels: api?.VolumeOptions?.Labels ?? [:], containerID: record.id)
            mount.volumeName = volume.name
            mount.driver = volume.driver
            mount.source = volume.source
            record.mounts[index] = mount
            if volume.isEmpty, !mount.noCopy, mount.subpath == nil {
                let root = try detached ?? RootfsAccess.readOnly(rootfs)
                detached = root
                if name.isEmpty { try await refuseFile(at: mount.destination, in: root) }
                try await environment.volumes.populate(volume, from: root, path: mount.destination)
            }
        }
    }

    /// A volume that nobody named stands for a directory of the image, or for a new one.
    private func refuseFile(at path: String, in rootfs: DetachedRootfs) async throws {
        let isFile = try await NIOThreadPool.singleton.runIfActive {
            let root = RootedPath(try rootfs.root.duplicate())
            do throws(SystemError) { return try root.open(path, O_PATH).status(on: path).kind != .directory } catch {
                guard error.errno == .noSuchFile || error.errno == .notDirectory else { throw error }
                return false
            }
        }
        if isFile { throw DaemonError.internalError("cannot mount volume over existing file, file exists \(path)") }
    }

    private func makeWorkingDirectory(_ path: String, in mounts: [RootfsMount]) async throws {
        let layers = try RootfsLayers(mounts)
        let place = environment.config.execRoot
        do {
            try await NIOThreadPool.singleton.runIfActive {
                let files = try ContainerFilesystem(.layers(layers, writable: true), placing: [], at: place)
                _ = try files.root.makeDirectories(path)
            }
        } catch let error as SystemError where error.errno == .notDirectory {
            throw DaemonError.invalid("Cannot mkdir: \(path) is not a directory")
        }
    }

    private func undoCreate(_ record: ContainerRecord) async {
        store.release(name: record.name, of: record.id)
        await environment.volumes.release(containerID: record.id, removingAnonymous: true)
        do { try await supervisor.removeSnapshot(key: record.id, in: record.snapshotter) } catch { Log.warning("a failed create left the layer \(record.id) behind: \(error)") }
        DirectoryRemoval.remove(environment.directory(of: record.id))
    }
}

/// Image configuration under the container's own, as dockerd merges them.
enum ImageMerge {
    static func apply(_ image: ContainerConfig, to config: inout ContainerConfig) throws(DaemonError) {
        if (config.User ?? "").isEmpty { config.User = image.User }
        if let exposed = image.ExposedPorts, !exposed.isEmpty { config.ExposedPorts = exposed.merging(config.ExposedPorts ?? [:]) { $1 } }
        var environment = config.Env ?? []
        let names = Set(environment.map { String(Environment.name($0)) })
        for entry in image.Env ?? [] where !names.contains(String(Environment.name(entry))) { environment.append(entry) }
        config.Env = environment
        if let labels = image.Labels { config.Labels = labels.merging(config.Labels ?? [:]) { $1 } }
        if config.Labels == nil { config.Labels = [:] }
        // An entrypoint of one's own stands alone: the image's command belongs to the image's entrypoint. [""] clears the image's.
        if config.Entrypoint == nil || config.Entrypoint?.isEmpty == true {
            if config.Cmd == nil || config.Cmd?.isEmpty == true {
                config.Cmd = image.Cmd
                config.ArgsEscaped = image.ArgsEscaped
            }
            if config.Entrypoint == nil { config.Entrypoint = image.Entrypoint }
        } else if config.Entrypoint == [""] {
            config.Entrypoint = []
        }
        if (config.WorkingDir ?? "").isEmpty { config.WorkingDir = image.WorkingDir }
        if let volumes = image.Volumes, !volumes.isEmpty { config.Volumes = volumes.merging(config.Volumes ?? [:]) { $1 } }
        if (config.StopSignal ?? "").isEmpty { config.StopSignal = image.StopSignal }
        if config.Shell == nil { config.Shell = image.Shell }
        if config.OnBuild == nil { config.OnBuild = image.OnBuild }
        if let inherited = image.Healthcheck {
            if var own = config.Healthcheck {
                if own.Test?.isEmpty ?? true { own.Test = inherited.Test }
                if (own.Interval ?? 0) == 0 { own.Interval = inherited.Interval }
                if (own.Timeout ?? 0) == 0 { own.Timeout = inherited.Timeout }
                if (own.StartPeriod ?? 0) == 0 { own.StartPeriod = inherited.StartPeriod }
                if (own.StartInterval ?? 0) == 0 { own.StartInterval = inherited.StartInterval }
                if (own.Retries ?? 0) == 0 { own.Retries = inherited.Retries }
                config.Healthcheck = own
            } else {
                config.Healthcheck = inherited
            }
        }
    }
}
