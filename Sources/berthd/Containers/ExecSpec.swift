import DockerAPI
import LinuxSystem
import OCISpec

/// The process of an exec in the spec's terms: the container's, with what the request says in its place.
enum ExecSpec {
    static func process(_ exec: ExecRecord, _ record: ContainerRecord, consoleSize: [UInt]?, linkEnvironment: [String], config: DaemonConfig) throws -> RuntimeSpec.Process {
        let request = exec.request
        let user = request.User.flatMap { $0.isEmpty ? nil : $0 } ?? record.config.User ?? ""
        let identity = try UserLookup.identity(user: user, groups: record.hostConfig.GroupAdd ?? [], pid: record.lifecycle.pid)
        let isTerminal = request.Tty ?? false
        var base = [SpecBuilder.defaultPath, "HOSTNAME=\(record.config.Hostname ?? "")"]
        if isTerminal { base.append("TERM=xterm") }
        let environment = Environment.replacing(Environment.replacing(base + linkEnvironment, with: record.config.Env ?? []), with: request.Env ?? [])
        var host = record.hostConfig
        if request.Privileged ?? false { host.Privileged = true }
        let directory = request.WorkingDir.flatMap { $0.isEmpty ? nil : $0 } ?? record.config.WorkingDir ?? ""
        var process = RuntimeSpec.Process(
            terminal: isTerminal, user: .init(uid: identity.uid, gid: identity.gid, additionalGids: identity.additionalGids), args: request.Cmd ?? [],
            env: Environment.withHome(environment, home: identity.home), cwd: directory.isEmpty ? "/" : RootedPath.cleaned(directory),
            capabilities: Capabilities.sets(of: host, uid: identity.uid))
        if isTerminal, let size = consoleSize, size.count == 2, size[0] > 0 { process.consoleSize = .init(height: UInt16(clamping: size[0]), width: UInt16(clamping: size[1])) }
        let defaults = config.defaultUlimits.map { Ulimit(Name: $0.key, Hard: $0.value.hard, Soft: $0.value.soft) }
        process.rlimits = try SpecBuilder.rlimits(defaults, record.hostConfig.Ulimits ?? [])
        let security = try SecurityOptions(record.hostConfig.SecurityOpt ?? [])
        process.noNewPrivileges = security.noNewPrivileges ?? config.noNewPrivileges
        process.apparmorProfile = host.Privileged ?? false ? nil : security.appArmorProfile
        process.oomScoreAdj = record.hostConfig.OomScoreAdj ?? 0
        return process
    }
}
