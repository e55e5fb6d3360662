import DockerAPI
import Glibc
import LinuxSystem

/// What can be refused or settled before anything is made, in dockerd's words and order.
struct CreateValidation: Sendable {
    let daemon: DaemonConfig
    /// Bytes below which dockerd refuses a memory limit.
    private static let leastMemory: Int64 = 6 << 20

    static let nameRule = "[a-zA-Z0-9][a-zA-Z0-9_.-]"

    /// A name without its slash.
    ///
    /// - Throws: `.invalidArgument`, also for names longer than a host name file can carry.
    static func name(_ text: String) throws(DaemonError) -> String {
        let name = text.hasPrefix("/") ? String(text.dropFirst()) : text
        guard name.utf8.count >= 2, name.utf8.count <= 255, isName(name) else {
            throw .invalid("Invalid container name (\(text.utf8.count > 300 ? String(text.prefix(300)) + "…" : text)), only \(nameRule) are allowed")
        }
        return name
    }

    static func isName(_ name: String) -> Bool {
        func alphanumeric(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) }
        guard let first = name.utf8.first, alphanumeric(first) else { return false }
        return name.utf8.allSatisfy { alphanumeric($0) || $0 == 0x5F || $0 == 0x2E || $0 == 0x2D }
    }

    // MARK: Config

    func validate(_ config: inout ContainerConfig) throws(DaemonError) {
        if let directory = config.WorkingDir, !directory.isEmpty {
            guard directory.isAbsolutePath else { throw .invalid("the working directory '\(directory)' is invalid, it needs to be an absolute path") }
            config.WorkingDir = RootedPath.cleaned(directory)
        }
        if let signal = config.StopSignal, !signal.isEmpty { _ = try SignalNumber.parse(signal) }
        for entry in config.Env ?? [] {
            guard !entry.isEmpty, !entry.hasPrefix("=") else { throw .invalid("invalid environment variable: \(entry)") }
            guard !entry.utf8.contains(0) else { throw .invalid("invalid environment variable: \(Environment.name(entry)) contains a NUL character") }
        }
        if let hostname = config.Hostname, hostname.utf8.count > 64 { throw .invalid("invalid hostname \"\(hostname.prefix(80))\": longer than 64 characters") }
        if let hostname = config.Hostname, hostname.utf8.contains(where: { $0 <= 0x20 || $0 == 0x2F || $0 == 0x7F }) { throw .invalid("invalid hostname \"\(hostname)\"") }
        for (label, _) in config.Labels ?? [:] where label.isEmpty { throw .invalid("invalid label: the name is empty") }
        try validate(config.Healthcheck)
    }

    private func validate(_ health: HealthConfig?) throws(DaemonError) {
        guard let health else { return }
        func check(_ value: Int64?, _ name: String) throws(DaemonError) {
            if let value, value != 0, value < 1_000_000 { throw .invalid("\(name) in Healthcheck cannot be less than 1ms") }
        }
        try check(health.Interval, "Interval")
        try check(health.Timeout, "Timeout")
        if let retries = health.Retries, retries < 0 { throw .invalid("Retries in Healthcheck cannot be negative") }
        try check(health.StartPeriod, "StartPeriod")
        try check(health.StartInterval, "StartInterval")
        if let kind = health.Test?.first, !["NONE", "CMD", "CMD-SHELL"].contains(kind) {
            throw .invalid("Unknown healthcheck type '\(kind)' (expected 'CMD')")
        }
    }

    // MARK: HostConfig

    /// Checks, and fills what the engine decides: swap, shm size, IPC and cgroup namespace mode, runtime, log driver.
    ///
    /// - Returns: warnings for the client.
    func settle(_ host: inout HostConfig) throws(DaemonError) -> [String] {
        var warnings: [String] = []
        try validatePolicies(host)
        try validateNamespaces(host)
        try validateLimits(&host, update: false)
        _ = try Capabilities.normalize(host.CapAdd ?? [], field: "CapAdd")
        _ = try Capabilities.normalize(host.CapDrop ?? [], field: "CapDrop")
        for (key, _) in host.Annotations ?? [:] where key.isEmpty { throw .invalid("invalid Annotations: the empty string is not permitted as an annotation key") }
        for entry in host.ExtraHosts ?? [] {
            let parts = entry.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { throw .invalid("bad format for add-host: \"\(entry)\"") }
        }
        try validateSysctls(host)
        for (destination, options) in host.Tmpfs ?? [:] {
            guard destination.isAbsolutePath else { throw .invalid("invalid mount path: '\(destination)' mount path must be absolute") }
            guard RootedPath.cleaned(destination) != "/" else { throw .invalid("invalid specification: destination can't be '/'") }
            try TmpfsOptions.validate(options.split(separator: ",").map(String.init))
        }
        if let score = host.OomScoreAdj, !(-1000...1000).contains(score) { throw .invalid("Invalid value \(score), range for oom score adj is [-1000, 1000]") }
        if let size = host.ShmSize, size < 0 { throw .invalid("SHM size can not be less than 0") }
        for limit in host.Ulimits ?? [] {
            let name = limit.Name ?? ""
            guard UlimitNames.all.contains(name) else { throw .invalid("invalid ulimit type: \(name)") }
            let soft = limit.Soft ?? 0, hard = limit.Hard ?? 0
            if hard != -1, soft > hard || soft == -1 { throw .invalid("ulimit soft limit must be less than or equal to hard limit: \(soft) > \(hard)") }
        }
        for rule in host.DeviceCgroupRules ?? [] { _ = try DeviceList.parse(rule) }
        _ = try StorageOptions.size(host.StorageOpt)
        if host.NetworkMode == "host", host.PortBindings?.isEmpty == false { warnings.append("Published ports are discarded when using host network mode") }
        try SecurityOptions.validate(host.SecurityOpt ?? [])
        try validateLogging(&host)
        fillDefaults(&host)
        return warnings
    }

    private func validatePolicies(_ host: HostConfig) throws(DaemonError) {
        let policy = host.RestartPolicy?.Name ?? ""
        let retries = host.RestartPolicy?.MaximumRetryCount ?? 0
        if host.AutoRemove ?? false, !policy.isEmpty, policy != "no" { throw .invalid("can't create 'AutoRemove' container with restart policy") }
        switch policy {
        case "": break
        case "always", "unless-stopped", "no":
            if retries != 0 {
                throw .invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'" + (retries < 0 ? " and cannot be negative" : ""))
            }
        case "on-failure": if retries < 0 { throw .invalid("invalid restart policy: maximum retry count cannot be negative") }
        default: throw .invalid("invalid restart policy: unknown policy '\(policy)'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'")
        }
        if let isolation = host.Isolation?.lowercased(), !isolation.isEmpty, isolation != "default" { throw .invalid("invalid isolation '\(isolation)' on linux") }
    }

    private func validateNamespaces(_ host: HostConfig) throws(DaemonError) {
        func isContainer(_ mode: String) -> Bool { mode.hasPrefix("container:") && mode.utf8.count > 10 }
        let ipc = host.IpcMode ?? ""
        guard ["", "none", "private", "host", "shareable"].contains(ipc) || isContainer(ipc) else { throw .invalid("invalid IPC mode: \(ipc)") }
        let pid = host.PidMode ?? ""
        guard ["", "host"].contains(pid) || isContainer(pid) else { throw .invalid("invalid PID mode: \(pid)") }
        guard ["", "host"].contains(host.UTSMode ?? "") else { throw .invalid("invalid UTS mode: \(host.UTSMode ?? "")") }
        guard ["", "host"].contains(host.UsernsMode ?? "") else { throw .invalid("invalid user namespace mode: \(host.UsernsMode ?? "")") }
        guard ["", "private", "host"].contains(host.CgroupnsMode ?? "") else { throw .invalid("invalid cgroup namespace mode: \(host.CgroupnsMode ?? "")") }
        if let cgroup = host.Cgroup, !cgroup.isEmpty { throw .invalid("invalid cgroup spec: \(cgroup)") }
        if let links = host.Links, !links.isEmpty, host.NetworkMode == "host" { throw .invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior") }
    }

    /// What a container that lives in another's network, or in the host's UTS namespace, cannot have of its own.
    ///
    /// - Parameter config: as the user sent it, before the image's is merged in.
    func validateSharing(_ config: ContainerConfig, _ host: HostConfig) throws(DaemonError) {
        let hasHostname = !(config.Hostname ?? "").isEmpty
        if host.UTSMode == "host", hasHostname { throw .invalid("conflicting options: hostname and the UTS mode") }
        guard let mode = host.NetworkMode, mode == "container" || mode.hasPrefix("container:") else { return }
        guard mode.utf8.count > "container:".utf8.count else { throw .invalid("invalid network mode: invalid container format container:<name|id>") }
        if hasHostname { throw .invalid("conflicting options: hostname and the network mode") }
        if host.Links?.isEmpty == false { throw .invalid("conflicting options: container type network can't be used with links. This would result in undefined behavior") }
        if host.Dns?.isEmpty == false { throw .invalid("conflicting options: dns and the network mode") }
        if host.ExtraHosts?.isEmpty == false { throw .invalid("conflicting options: custom host-to-IP mapping and the network mode") }
        if host.PortBindings?.isEmpty == false || host.PublishAllPorts == true { throw .invalid("conflicting options: port publishing and the container type network mode") }
        if config.ExposedPorts?.isEmpty == false { throw .invalid("conflicting options: port exposing and the container type network mode") }
    }

    /// Shared with `update`.
    func validateLimits(_ host: inout HostConfig, update: Bool) throws(DaemonError) {
        let memory = host.Memory ?? 0
        if memory != 0, memory < Self.leastMemory { throw .invalid("Minimum memory limit allowed is 6MB") }
        let swap = host.MemorySwap ?? 0
        if memory > 0, swap > 0, swap < memory { throw .invalid("Minimum memoryswap limit should be larger than memory limit, see usage") }
        if memory == 0, swap > 0, !update { throw .invalid("You should always set the Memory limit when using Memoryswap limit, see usage") }
        if swap < -1 { throw .invalid("Invalid value: \(swap), memory-swap is a number of bytes or -1") }
        if host.MemorySwappiness == -1 { host.MemorySwappiness = nil }
        if let swappiness = host.MemorySwappiness, !(0...100).contains(swappiness) { throw .invalid("Invalid value: \(swappiness), valid memory swappiness range is 0-100") }
        let reservation = host.MemoryReservation ?? 0
        if reservation > 0, reservation < Self.leastMemory { throw .invalid("Minimum memory reservation allowed is 6MB") }
        if memory > 0, reservation > memory { throw .invalid("Minimum memory limit can not be less than memory reservation limit, see usage") }
        let nano = host.NanoCpus ?? 0, period = host.CpuPeriod ?? 0, quota = host.CpuQuota ?? 0
        if nano > 0, period > 0 { throw .invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set") }
        if nano > 0, quota > 0 { throw .invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set") }
        let cpus = sysconf(CInt(_SC_NPROCESSORS_ONLN))
        if nano < 0 || nano > Int64(cpus) * 1_000_000_000 { throw .invalid("range of CPUs is from 0.01 to \(cpus).00, as there are only \(cpus) CPUs available") }
        if period != 0, !(1000...1_000_000).contains(period) { throw .invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)") }
        if quota > 0, quota < 1000 { throw .invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)") }
        if let shares = host.CpuShares, shares < 0 { throw .invalid("invalid CPU shares (\(shares)): value must be a positive integer") }
        if let weight = host.BlkioWeight, weight > 0, !(10...1000).contains(weight) { throw .invalid("Range of blkio weight is from 10 to 1000") }
        if (host.IOMaximumIOps ?? 0) != 0 || (host.IOMaximumBandwidth ?? 0) != 0 {
            throw .invalid("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps")
        }
        try CPUList.validate(host.CpusetCpus ?? "", available: "/sys/devices/system/cpu/online", what: "cpuset cpus", noun: "CPUs")
        try CPUList.validate(host.CpusetMems ?? "", available: "/sys/devices/system/node/online", what: "cpuset mems", noun: "memory nodes")
        if let pids = host.PidsLimit, pids <= 0 { host.PidsLimit = update ? 0 : nil }
    }

    private func validateSysctls(_ host: HostConfig) throws(DaemonError) {
        for (name, value) in host.Sysctls ?? [:] {
            guard !value.utf8.contains(where: { $0 == 0 || $0 == 0x0A }), name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x3D && $0 != 0x2B }) else {
                throw .invalid("invalid sysctl \"\(name)\": control characters are not allowed")
            }
            let isNetwork = name.hasPrefix("net.")
            let isIPC = ["kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"].contains(name)
                || name.hasPrefix("fs.mqueue.")
            guard isNetwork || isIPC || name == "kernel.domainname" else { throw .invalid("sysctl '\(name)' is not allowed: it is not in a separate namespace") }
            if isNetwork, host.NetworkMode == "host" { throw .invalid("sysctl '\(name)' not allowed in host network namespace") }
            if isIPC, host.IpcMode == "host" { throw .invalid("sysctl '\(name)' is not allowed in the hosts ipc namespace") }
        }
    }

    private func validateLogging(_ host: inout HostConfig) throws(DaemonError) {
        var log = host.LogConfig ?? LogConfig()
        if (log.Type ?? "").isEmpty {
            log.Type = daemon.logDriver
            log.Config = daemon.logOptions.merging(log.Config ?? [:]) { $1 }
        } else if log.Type == daemon.logDriver {
            log.Config = daemon.logOptions.merging(log.Config ?? [:]) { $1 }
        }
        try LogDriver.validate(log)
        host.LogConfig = log
    }

    private func fillDefaults(_ host: inout HostConfig) {
        if let memory = host.Memory, memory > 0, (host.MemorySwap ?? 0) == 0 { host.MemorySwap = memory * 2 }
        if (host.ShmSize ?? 0) == 0 { host.ShmSize = daemon.defaultShmSizeBytes }
        if (host.IpcMode ?? "").isEmpty { host.IpcMode = daemon.defaultIpcMode }
        if (host.CgroupnsMode ?? "").isEmpty { host.CgroupnsMode = daemon.defaultCgroupnsMode.isEmpty ? "private" : daemon.defaultCgroupnsMode }
        if (host.Runtime ?? "").isEmpty { host.Runtime = daemon.defaultRuntime }
        if host.OomKillDisable == nil { host.OomKillDisable = false }
        if (host.RestartPolicy?.Name ?? "").isEmpty { host.RestartPolicy = RestartPolicy(Name: "no", MaximumRetryCount: 0) }
        if host.ConsoleSize == nil { host.ConsoleSize = [0, 0] }
        if host.PortBindings == nil { host.PortBindings = [:] }
        if host.Dns == nil { host.Dns = [] }
        if host.DnsOptions == nil { host.DnsOptions = [] }
        if host.DnsSearch == nil { host.DnsSearch = [] }
    }
}

/// Lists like `0-2,7`.
enum CPUList {
    /// Refuses what is malformed or not on this machine; the cost does not grow with the numbers (CVE-2018-20699).
    static func validate(_ text: String, available path: String, what: String, noun: String) throws(DaemonError) {
        guard !text.isEmpty else { return }
        guard let wanted = parse(text) else { throw .invalid("Invalid value \(text) for \(what)") }
        let online = (try? Files.readText(path))?.trimmed() ?? "0"
        let present = parse(online) ?? []
        for range in wanted where !present.contains(where: { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }) {
            throw .invalid("Requested \(noun) are not available - requested \(text), available: \(online)")
        }
    }

    static func parse(_ text: String) -> [ClosedRange<UInt32>]? {
        var ranges: [ClosedRange<UInt32>] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
            guard let low = UInt32(ends[0]), let high = ends.count > 1 ? UInt32(ends[1]) : low, low <= high else { return nil }
            ranges.append(low...high)
        }
        return ranges
    }
}

enum SignalNumber {
    private static let names: [String: UInt32] = [
        "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "IOT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14,
        "TERM": 15, "STKFLT": 16, "CHLD": 17, "CLD": 17, "CONT": 18, "STOP": 19, "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26,
        "PROF": 27, "WINCH": 28, "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31,
    ]

    /// `SIGKILL`, `kill`, `9`, `RTMIN+3`.
    ///
    /// - Throws: `.invalidArgument` in dockerd's words.
    static func parse(_ text: String) throws(DaemonError) -> UInt32 {
        if let number = UInt32(text) {
            guard (1...64).contains(number) else { throw .invalid("invalid signal: \(text)") }
            return number
        }
        var name = text.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        if let number = names[name] { return number }
        if name.hasPrefix("RTMIN"), let offset = name.count == 5 ? 0 : Int(name.dropFirst(5)), (0...30).contains(offset) { return UInt32(34 + offset) }
        if name.hasPrefix("RTMAX"), let offset = name.count == 5 ? 0 : Int(name.dropFirst(5)), (-30...0).contains(offset) { return UInt32(64 + offset) }
        throw .invalid("invalid signal: \(text)")
    }
}
