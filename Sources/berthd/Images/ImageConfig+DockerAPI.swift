import DockerAPI
import OCISpec

extension ContainerConfig {
    /// An image's execution defaults as the API writes them.
    init(_ execution: ImageConfig.Execution) {
        self.init()
        User = execution.user ?? ""
        if !execution.exposedPorts.isEmpty { ExposedPorts = Dictionary(uniqueKeysWithValues: execution.exposedPorts.map { ($0, EmptyObject()) }) }
        Env = execution.env.isEmpty ? nil : execution.env
        Entrypoint = execution.entrypoint.isEmpty ? nil : execution.entrypoint
        Cmd = execution.cmd.isEmpty ? nil : execution.cmd
        if !execution.volumes.isEmpty { Volumes = Dictionary(uniqueKeysWithValues: execution.volumes.map { ($0, EmptyObject()) }) }
        WorkingDir = execution.workingDir ?? ""
        Labels = execution.labels.isEmpty ? nil : execution.labels
        StopSignal = execution.stopSignal
        StopTimeout = execution.stopTimeout
        if execution.argsEscaped { ArgsEscaped = true }
        OnBuild = execution.onBuild.isEmpty ? nil : execution.onBuild
        Shell = execution.shell.isEmpty ? nil : execution.shell
        if let check = execution.healthcheck {
            var health = HealthConfig()
            health.Test = check.test.isEmpty ? nil : check.test
            health.Interval = check.interval
            health.Timeout = check.timeout
            health.StartPeriod = check.startPeriod
            health.StartInterval = check.startInterval
            health.Retries = check.retries
            Healthcheck = health
        }
    }
}

extension ImageConfig.Execution {
    /// A container's configuration as the defaults of an image that is made of it.
    init(_ config: ContainerConfig) {
        self.init(
            user: config.User.flatMap { $0.isEmpty ? nil : $0 }, exposedPorts: Set((config.ExposedPorts ?? [:]).keys), env: config.Env ?? [],
            entrypoint: config.Entrypoint ?? [], cmd: config.Cmd ?? [], volumes: Set((config.Volumes ?? [:]).keys),
            workingDir: config.WorkingDir.flatMap { $0.isEmpty ? nil : $0 }, labels: config.Labels ?? [:], stopSignal: config.StopSignal,
            stopTimeout: config.StopTimeout, argsEscaped: config.ArgsEscaped ?? false, onBuild: config.OnBuild ?? [], shell: config.Shell ?? [])
        if let health = config.Healthcheck {
            healthcheck = ImageConfig.Healthcheck(
                test: health.Test ?? [], interval: health.Interval, timeout: health.Timeout, startPeriod: health.StartPeriod, startInterval: health.StartInterval,
                retries: health.Retries)
        }
    }
}

extension DockerAPI.Descriptor {
    init(_ descriptor: OCISpec.Descriptor, platform: OCISpec.Platform? = nil) {
        self.init()
        mediaType = descriptor.mediaType
        digest = descriptor.digest.description
        size = descriptor.size
        urls = descriptor.urls.isEmpty ? nil : descriptor.urls
        annotations = descriptor.annotations.isEmpty ? nil : descriptor.annotations
        if let platform = platform ?? descriptor.platform { self.platform = Platform(platform) }
    }
}

extension DockerAPI.Descriptor.Platform {
    init(_ platform: OCISpec.Platform) {
        self.init()
        architecture = platform.architecture
        os = platform.os
        variant = platform.variant
        `os.version` = platform.osVersion
    }
}
