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
    static func endpoints(_ networking: NetworkingConfig?, containerWideMAC: String?, mode: String, version: APIVersion) throws(DaemonError) -> [String: EndpointSettings] {
        var result: [String: EndpointSettings] = [:]
        for (name, settings) in networking?.EndpointsConfig ?? [:] { result[name == "default" ? "bridge" : name] = settings ?? EndpointSettings() }
        let sharesNetwork = mode == "host" || mode == "none" || mode.hasPrefix("container:")
        if version < .v(44) {
            // Addresses of endpoints came with 1.44; before, there was the container's only.
            for name in result.keys { result[name]?.MacAddress = nil }
            if sharesNetwork, !(containerWideMAC ?? "").isEmpty { throw .invalid("conflicting options: mac-address and the network mode") }
        }
        guard let address = containerWideMAC, !address.isEmpty, !sharesNetwork else { return result }
        let own = result[mode]?.MacAddress ?? ""
        guard own.isEmpty || own == address else {
            throw .invalid("the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty")
        }
        result[mode, default: EndpointSettings()].MacAddress = address
        return result
    }

    /// `--sysctl net.ipv4.conf.eth0.X` names an interface that is only there when the container has its network: such settings become those of its main endpoint.
    ///
    /// - Returns: a warning when something was moved.
    /// - Throws: for other interfaces, whose order nobody promises, and since API 1.48 for all of them: they are the endpoint's to set.
    static func moveInterfaceSysctls(_ host: inout HostConfig, to endpoints: inout [String: EndpointSettings], mode: String, version: APIVersion) throws(DaemonError) -> String? {
        guard mode != "host", !mode.hasPrefix("container:") else { return nil }
        var moved: [String] = [], options: [String] = []
        for (name, value) in (host.Sysctls ?? [:]).sorted(by: { $0.key < $1.key }) {
            let parts = name.split(separator: ".", maxSplits: 4, omittingEmptySubsequences: false)
            guard parts.count == 5, parts[0] == "net", parts[3].hasPrefix("eth") else { continue }
            if version > .v(47) { throw .invalid("interface specific sysctl setting \"\(name)\" must be supplied using driver option '\(NetworkOption.sysctls)'") }
            guard parts[3] == "eth0" else {
                throw .invalid("unable to determine network endpoint for sysctl \(name), use driver option '\(NetworkOption.sysctls)' to set per-interface sysctls")
            }
            moved.append(name)
            options.append("net.\(parts[1]).\(parts[2]).IFNAME.\(parts[4])=\(value)")
        }
        guard !moved.isEmpty else { return nil }
        let option = options.joined(separator: ",")
        for name in moved { host.Sysctls?[name] = nil }
        var endpoint = endpoints[mode] ?? EndpointSettings()
        // The endpoint's own come last and win.
        endpoint.DriverOpts = (endpoint.DriverOpts ?? [:]).merging([NetworkOption.sysctls: option]) { own, new in new + "," + own }
        endpoints[mode] = endpoint
        return "Migrated sysctl \"\(moved.joined(separator: ","))\" to DriverOpts{\"\(NetworkOption.sysctls)\":\"\(option)\"}."
    }
}
