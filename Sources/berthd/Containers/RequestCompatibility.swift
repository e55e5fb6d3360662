import DockerAPI

/// What older API versions meant by the same request: fields that came later are taken back, defaults are the old ones.
enum RequestCompatibility {
    /// - Returns: warnings. - Throws: `.invalidArgument` for what the client's version cannot have.
    static func adapt(_ config: inout ContainerConfig, _ host: inout HostConfig, _ networking: NetworkingConfig?, version: APIVersion) throws(DaemonError) -> [String] {
        var warnings: [String] = []
        if (host.NetworkMode ?? "").isEmpty || host.NetworkMode == "default" { host.NetworkMode = "bridge" }
        if version < .v(25) { host.AutoRemove = false }
        if version < .v(40) {
            if (host.IpcMode ?? "").isEmpty { host.IpcMode = "shareable" }
            host.KernelMemoryTCP = nil
        }
        if version < .v(42) { host.ConsoleSize = [0, 0] }
        for index in (host.Mounts ?? []).indices {
            let type = host.Mounts?[index].Type ?? ""
            if version < .v(42) {
                host.Mounts?[index].BindOptions?.CreateMountpoint = false
                if type != "volume" { host.Mounts?[index].VolumeOptions = nil }
                if type != "tmpfs" { host.Mounts?[index].TmpfsOptions = nil }
            } else {
                if host.Mounts?[index].VolumeOptions != nil, type != "volume" { throw .invalid("VolumeOptions must not be specified on mount type \"\(type)\"") }
                if host.Mounts?[index].BindOptions != nil, type != "bind" { throw .invalid("BindOptions must not be specified on mount type \"\(type)\"") }
                if host.Mounts?[index].TmpfsOptions != nil, type != "tmpfs" { throw .invalid("TmpfsOptions must not be specified on mount type \"\(type)\"") }
            }
            if version < .v(44), host.Mounts?[index].BindOptions?.ReadOnlyForceRecursive == true { throw .invalid("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer") }
            if version < .v(45), host.Mounts?[index].VolumeOptions?.Subpath?.isEmpty == false { throw .invalid("VolumeOptions.Subpath needs API v1.45 or newer") }
            if version < .v(48), type == "image" { throw .invalid("Mount type \"Image\" needs API v1.48 or newer") }
        }
        if version < .v(43) { host.Annotations = nil }
        host.KernelMemory = nil
        if version < .v(44) {
            config.Healthcheck?.StartInterval = nil
            if let endpoints = networking?.EndpointsConfig, endpoints.count > 1 {
                throw .invalid("Container cannot be created with multiple network endpoints: \(endpoints.keys.sorted().joined(separator: ", "))")
            }
        } else if let address = config.MacAddress, !address.isEmpty {
            warnings.append("The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.")
        }
        if version >= .v(48), let driver = host.VolumeDriver, !driver.isEmpty,
            host.Mounts?.contains(where: { $0.Type == "volume" && ($0.VolumeOptions?.DriverConfig?.Name ?? "").isEmpty }) == true
        {
            warnings.append(
                "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead")
        }
        return warnings
    }

    /// The wanted endpoints; the name `default` is the bridge. An address for the whole container is the one of its main endpoint.
    static func endpoints(_ networking: NetworkingConfig?, containerWideMAC: String?, mode: String) throws(DaemonError) -> [String: EndpointSettings] {
        var result: [String: EndpointSettings] = [:]
        for (name, settings) in networking?.EndpointsConfig ?? [:] { result[name == "default" ? "bridge" : name] = settings ?? EndpointSettings() }
        guard let address = containerWideMAC, !address.isEmpty, mode != "host", mode != "none", !mode.hasPrefix("container:") else { return result }
        let own = result[mode]?.MacAddress ?? ""
        guard own.isEmpty || own == address else {
            throw .invalid("the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty")
        }
        result[mode, default: EndpointSettings()].MacAddress = address
        return result
    }
}
